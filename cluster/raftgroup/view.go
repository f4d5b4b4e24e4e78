package raftgroup

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/storage"
)

// view is the group's stable log as Raft may see it: raft.Storage over the
// LogStore and the cache. Owned by the turn.
//
// Its bounds move when the group processed the end of an append, not when the
// log writer wrote it. Raft reads below its unstable log only, which no append
// still under way can change, so the bounds may lag and are never ahead.
type view struct {
	group   uint64
	log     storage.LogStore
	cache   cache
	scratch []storage.Entry

	first, firstTerm uint64 // first index held, and the term of first-1
	last             uint64
	applied          uint64 // as Raft knows it; what is above is never refused

	hard storage.HardState // at start
	conf *raftpb.ConfState // at start
	snap func() (*raftpb.Snapshot, error)
	// take asks for bytes of the host's budget for reading old entries.
	take func(bytes uint64) bool
}

// InitialState implements raft.Storage.
func (v *view) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hs := &raftpb.HardState{Term: &v.hard.Term, Vote: &v.hard.Vote, Commit: &v.hard.Commit}
	return hs, v.conf, nil
}

// FirstIndex implements raft.Storage.
func (v *view) FirstIndex() (uint64, error) { return v.first, nil }

// LastIndex implements raft.Storage.
func (v *view) LastIndex() (uint64, error) { return v.last, nil }

// Term implements raft.Storage.
func (v *view) Term(i uint64) (uint64, error) {
	switch {
	case i+1 < v.first:
		return 0, raft.ErrCompacted
	case i+1 == v.first:
		return v.firstTerm, nil
	case i > v.last:
		return 0, raft.ErrUnavailable
	}
	if e := v.cache.get(i); e != nil {
		return e.GetTerm(), nil
	}
	t, err := v.log.Term(v.group, i)
	if err != nil {
		return 0, v.error(fmt.Sprintf("term of entry %d", i), err)
	}
	return t, nil
}

// Entries implements raft.Storage. What is not yet applied comes from memory,
// except after a start. Old entries for a follower that lags behind the cache
// come from disk within the host's budget: beyond it nothing is returned, which
// makes Raft send an empty append and try again when the follower answers.
func (v *view) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	switch {
	case lo < v.first:
		return nil, raft.ErrCompacted
	case hi > v.last+1:
		return nil, raft.ErrUnavailable
	}
	if v.cache.get(lo) != nil {
		return v.cache.slice(lo, hi, maxBytes), nil
	}
	if len(v.cache.ents) > 0 && v.cache.lo > lo {
		hi = min(hi, v.cache.lo)
	}
	if lo <= v.applied && !v.take(0) {
		return nil, nil
	}
	ents, err := v.log.Entries(v.scratch[:0], v.group, lo, hi, maxBytes)
	if err != nil {
		return nil, v.error(fmt.Sprintf("entries [%d, %d)", lo, hi), err)
	}
	v.scratch = ents
	out := make([]*raftpb.Entry, len(ents))
	var size uint64
	for i := range ents {
		out[i] = newEntry(&ents[i])
		size += entrySize(out[i])
	}
	if lo <= v.applied {
		v.take(size)
	}
	clear(ents)
	return out, nil
}

// Snapshot implements raft.Storage.
func (v *view) Snapshot() (*raftpb.Snapshot, error) { return v.snap() }

// error gives a LogStore's error the meaning Raft expects. Any other error
// makes Raft panic: a log that cannot be read must not go on.
func (v *view) error(what string, err error) error {
	switch {
	case errors.Is(err, storage.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, storage.ErrUnavailable):
		return raft.ErrUnavailable
	}
	return fmt.Errorf("raftgroup: group %d: read %s: %w", v.group, what, err)
}

// compact gives up entries up to index.
func (v *view) compact(index uint64) error {
	term, err := v.Term(index)
	if err != nil {
		return fmt.Errorf("raftgroup: group %d: term at compaction index %d in [%d, %d]: %w", v.group, index, v.first, v.last, err)
	}
	v.first, v.firstTerm = index+1, term
	v.cache.trim(index, index, ^uint64(0))
	v.log.Compact(v.group, index)
	return nil
}

// entryBlock is an entry and what its pointers point to, in one allocation.
type entryBlock struct {
	entry       raftpb.Entry
	index, term uint64
	kind        raftpb.EntryType
}

func newEntry(e *storage.Entry) *raftpb.Entry {
	b := &entryBlock{index: e.Index, term: e.Term, kind: raftpb.EntryType(e.Kind)}
	b.entry.Index, b.entry.Term, b.entry.Type = &b.index, &b.term, &b.kind
	b.entry.Data = e.Data
	return &b.entry
}
