// Package storage declares what a node keeps on disk: the log of all its
// shards (LogStore, implemented by storage/seglog) and everything else
// (State, implemented by storage/state). It owns the interfaces, their errors
// and the directory lock; it never interprets what the shards write.
//
// Everything goes through a vfs.FS that is handed in, so that tests can crash
// it, fill it and make it fail.
package storage

import "errors"

// Errors of LogStore's readers. They mean what raft.ErrCompacted and
// raft.ErrUnavailable mean.
var (
	ErrCompacted   = errors.New("storage: entry was compacted")
	ErrUnavailable = errors.New("storage: entry is not in the log")
	ErrNotFound    = errors.New("storage: key not found")
	// ErrDamaged is returned, wrapped with the place, when data below the last
	// synced mark fails its checksum: acknowledged data was lost.
	ErrDamaged = errors.New("storage: damaged below the synced mark")
)

// An Entry is one entry of a group's Raft log. Data is never changed once it
// was handed over; it may be shared by log, peers, queues and consumers.
type Entry struct {
	Index, Term uint64
	Kind        uint8 // raftpb.EntryType
	Data        []byte
}

// HardState is what a Raft group must not forget.
type HardState struct {
	Term, Vote, Commit uint64
}

// A Reset starts a group's log anew behind (Index, Term): a new group (0, 0),
// a snapshot installed, or, with Drop, the end of the group on this node.
type Reset struct {
	Index, Term uint64
	Drop        bool
}

// An Append is one group's part of a drain. Its parts are applied in the order
// Reset, Entries, State.
type Append struct {
	Group   uint64
	Reset   *Reset
	Entries []Entry // contiguous; what the log holds at Entries[0].Index and above is discarded
	State   HardState
	// HasState says that State is set.
	HasState bool
	// Lazy lets the write stay unsynced until a later drain: right only for a
	// HardState in which nothing but Commit changed.
	Lazy bool
	// Done is called by the writer after the sync that covers the append, in
	// submission order per group, outside any lock. It is never called when
	// the write or the sync failed: the process ends instead.
	Done func()
}

// GroupState is what a LogStore knows of one group.
type GroupState struct {
	Group uint64
	State HardState
	// First is the first index held; FirstTerm the term of First-1; Last the
	// last index held (First-1 when empty).
	First, FirstTerm, Last uint64
	// Damaged says that a hole below the synced mark touches this group:
	// what it holds must not vote.
	Damaged bool
}

// LogStats describes the space of a log.
type LogStats struct {
	Segments      int    // segments holding records
	Free          int    // recycled segments waiting for reuse
	Bytes         uint64 // bytes of records in held segments
	Logged        uint64 // bytes of records logged since the log was opened
	SinceOldest   uint64 // bytes logged since the oldest record still needed
	OldestDead    uint64 // bytes of the oldest held segment that no group needs
	OldestSize    uint64 // bytes of records in the oldest held segment
	Syncs, Drains uint64
}

// LogStore is one log for all groups of a node: one writer, one sync per drain.
//
// Submit may be called from any goroutine. Drain is the step function of the
// writer: it is called by one goroutine at a time (Run's in production, the
// simulator's in tests). Readers see an append once its drain wrote it.
type LogStore interface {
	// Groups returns what recovery found, ordered by group.
	Groups() []GroupState
	// Submit queues an append. It never blocks.
	Submit(a *Append)
	// Drain writes everything queued with one gathered write and at most one
	// sync, then calls the Done functions. It returns how many appends it wrote.
	Drain() int
	// Run drains until stop is closed and everything queued is written.
	Run(stop <-chan struct{})
	// Bounds returns the group's bounds as its readers see them.
	Bounds(group uint64) (GroupState, bool)
	// Term returns the term of an entry in [First-1, Last].
	Term(group, index uint64) (uint64, error)
	// Entries appends the entries [lo, hi) to dst until maxBytes of data are
	// exceeded, but at least one. Every record's checksum is verified.
	Entries(dst []Entry, group, lo, hi, maxBytes uint64) ([]Entry, error)
	// Compact gives up the group's entries up to and including index, once the
	// state that replaces them is durable. The next drain records it.
	Compact(group, index uint64)
	// Stats may be called from any goroutine.
	Stats() LogStats
	// OldestGroups returns the groups whose needed records lie in the oldest
	// held segment.
	OldestGroups() []uint64
	Close() error
}

// Reader, Batch and State are an ordered key-value store without a log of its
// own: what was committed is durable only after Flush. A flush may land any
// prefix of the committed batches, each batch whole or not at all.
type (
	// Reader reads a State.
	Reader interface {
		// Get appends the value of key to dst; ErrNotFound if there is none.
		Get(dst, key []byte) ([]byte, error)
		// Iter iterates over [lower, upper) in key order.
		Iter(lower, upper []byte) (Iterator, error)
	}
	// Iterator starts before the first key. Key and Value are valid until Next.
	Iterator interface {
		Next() bool
		// SeekGE moves to the first key at or after key.
		SeekGE(key []byte) bool
		Key() []byte
		Value() []byte
		Close() error // reports the first error met
	}
	// Batch is a set of changes that lands whole or not at all.
	Batch interface {
		Set(key, value []byte)
		Delete(key []byte)
		DeleteRange(lower, upper []byte)
		Len() int // bytes
		// Commit makes the changes readable, not yet durable; the batch may
		// not be used afterwards.
		Commit() error
	}
	// A Snapshot is a State as it was when it was taken; it costs memory and disk
	// until it is closed.
	Snapshot interface {
		Reader
		Close() error
	}
	// State is the store of everything but the log.
	State interface {
		Reader
		NewBatch() Batch
		// Snapshot returns what is readable now.
		Snapshot() Snapshot
		// Flush returns when everything committed before the call is durable.
		Flush() error
		Close() error
	}
)
