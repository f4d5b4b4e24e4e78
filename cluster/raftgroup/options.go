package raftgroup

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/warrenmq/warren/storage"
)

// Options configure a Host. Sizes are in bytes, times in ticks unless said
// otherwise; a zero takes the default.
type Options struct {
	// NodeID is this node's id in every group. It is never used again after
	// the node lost its disk. Required.
	NodeID uint64
	// Log stores all groups. Required.
	Log storage.LogStore
	// Transport reaches the peers; nil for a node without any.
	Transport Transport
	// Now is the monotonic clock handed to Machine.Turn. Required.
	Now func() time.Duration
	// Forgot is called, in a turn, for a group that turns out to lack what it had
	// acknowledged: it does nothing any more, and is to be closed. Default: Raft
	// panics.
	Forgot func(group uint64, err error)
	// Logger receives what Raft has to say; nil discards it.
	Logger *slog.Logger

	// Inline has Tick and Deliver do the turns of groups that have nothing but
	// ticks and heartbeats to do, on the goroutine of their caller.
	Inline bool

	// HeartbeatTicks is the interval of heartbeats (1).
	HeartbeatTicks int
	// ElectionTicks is the base of the election timeout, which is drawn from
	// [ElectionTicks, 2*ElectionTicks); at least five heartbeats. The default of
	// 10 means one second with a tick of 100 ms.
	ElectionTicks int

	// MaxMessageSize bounds the entries of one append to a peer (2 MiB).
	MaxMessageSize uint64
	// MaxInflightMessages and MaxInflightBytes bound what is on its way to one
	// peer and not yet acknowledged (256, 32 MiB).
	MaxInflightMessages int
	MaxInflightBytes    uint64
	// MaxApplyingBytes bounds committed entries handed out and not yet applied
	// (16 MiB).
	MaxApplyingBytes uint64
	// MaxUncommittedBytes bounds what a leader proposed and has not applied.
	// It is the last resort: machines hold back long before (256 MiB).
	MaxUncommittedBytes int
	// ApplyBytesPerTurn bounds the work of one turn (1 MiB).
	ApplyBytesPerTurn int
	// CacheBytes bounds a group's applied entries kept in memory for its
	// followers; entries not yet applied are always kept (8 MiB).
	CacheBytes uint64
	// CatchUpBytesPerTick bounds what all groups together read from disk for
	// followers that lag behind the cache (8 MiB).
	CatchUpBytesPerTick int64
	// MaxInboxMessages bounds the peers' messages that wait for a group's
	// turn; more are dropped, as by a network (4096).
	MaxInboxMessages int
	// SnapshotHoldTicks is how long the log behind a snapshot on its way is
	// kept before the snapshot counts as failed (600).
	SnapshotHoldTicks int
}

func (o Options) withDefaults() Options {
	def(&o.HeartbeatTicks, 1)
	def(&o.ElectionTicks, 10*o.HeartbeatTicks)
	def(&o.MaxMessageSize, 2<<20)
	def(&o.MaxInflightMessages, 256)
	def(&o.MaxInflightBytes, 32<<20)
	def(&o.MaxApplyingBytes, 16<<20)
	def(&o.MaxUncommittedBytes, 256<<20)
	def(&o.ApplyBytesPerTurn, 1<<20)
	def(&o.CacheBytes, 8<<20)
	def(&o.CatchUpBytesPerTick, 8<<20)
	def(&o.MaxInboxMessages, 4096)
	def(&o.SnapshotHoldTicks, 600)
	if o.Transport == nil {
		o.Transport = noTransport{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func def[T int | int64 | uint64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (o Options) validate() error {
	var errs []error
	if o.NodeID == 0 {
		errs = append(errs, errors.New("NodeID is missing"))
	}
	if o.Log == nil {
		errs = append(errs, errors.New("Log is missing"))
	}
	if o.Now == nil {
		errs = append(errs, errors.New("Now is missing"))
	}
	if o.HeartbeatTicks < 1 {
		errs = append(errs, fmt.Errorf("HeartbeatTicks is %d, want at least 1", o.HeartbeatTicks))
	}
	if o.ElectionTicks < 5*o.HeartbeatTicks {
		errs = append(errs, fmt.Errorf("ElectionTicks is %d, want at least five heartbeats (%d)", o.ElectionTicks, 5*o.HeartbeatTicks))
	}
	if o.MaxInflightBytes < o.MaxMessageSize {
		errs = append(errs, fmt.Errorf("MaxInflightBytes is %d, want at least MaxMessageSize (%d)", o.MaxInflightBytes, o.MaxMessageSize))
	}
	return errors.Join(errs...)
}
