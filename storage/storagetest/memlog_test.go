package storagetest

import (
	"math/rand/v2"
	"testing"

	"github.com/warrenmq/warren/storage"
)

func memEntries(from, to, term uint64) []storage.Entry {
	var ents []storage.Entry
	for i := from; i <= to; i++ {
		ents = append(ents, storage.Entry{Index: i, Term: term, Data: []byte{byte(i)}})
	}
	return ents
}

// Submitted, written and synced are three things, and a crash keeps the last.
func TestMemLogCrash(t *testing.T) {
	m := NewMemLog()
	done := 0
	m.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{}, Entries: memEntries(1, 3, 1), Done: func() { done++ }})
	if _, ok := m.Bounds(1); ok {
		t.Error("readers see what is not written")
	}
	m.Write()
	if gs, ok := m.Bounds(1); !ok || gs.Last != 3 || done != 0 {
		t.Errorf("written: %+v, done %d", gs, done)
	}
	if gs := m.Crash(nil).Groups(); len(gs) != 0 {
		t.Errorf("a crash keeps what was not synced: %+v", gs)
	}

	m = NewMemLog()
	m.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{}, Entries: memEntries(1, 3, 1), Done: func() { done++ }})
	m.Drain()
	if done != 1 {
		t.Errorf("Done called %d times", done)
	}
	m.Submit(&storage.Append{Group: 1, Entries: memEntries(2, 2, 2)}) // replaces 2 and 3
	m.Submit(&storage.Append{Group: 1, State: storage.HardState{Term: 2, Vote: 7}, HasState: true})
	m.Write()
	if gs, _ := m.Bounds(1); gs.Last != 2 || gs.State.Vote != 7 {
		t.Errorf("written: %+v", gs)
	}
	if gs, _ := m.Crash(nil).Bounds(1); gs.Last != 3 || gs.State.Vote != 0 {
		t.Errorf("after a crash: %+v", gs)
	}
}

// A crash may keep any prefix of what was written, never a later part alone.
func TestMemLogCrashKeepsPrefix(t *testing.T) {
	seen := make(map[uint64]int)
	for seed := range uint64(200) {
		m := NewMemLog()
		m.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{}})
		m.Drain()
		for i := uint64(1); i <= 3; i++ {
			m.Submit(&storage.Append{Group: 1, Entries: memEntries(i, i, 1), State: storage.HardState{Commit: i}, HasState: true})
		}
		m.Write()
		gs, _ := m.Crash(rand.New(rand.NewPCG(seed, 1))).Bounds(1)
		if gs.State.Commit != gs.Last {
			t.Fatalf("torn append: %+v", gs)
		}
		seen[gs.Last]++
	}
	if len(seen) != 4 {
		t.Errorf("prefixes kept: %v, want each of 0 to 3", seen)
	}
}

// A lazy append is written and waits for the next sync.
func TestMemLogLazy(t *testing.T) {
	m := NewMemLog()
	m.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{}})
	m.Drain()
	m.Submit(&storage.Append{Group: 1, State: storage.HardState{Commit: 5}, HasState: true, Lazy: true})
	if m.Drain() != 1 || m.Stats().Syncs != 1 {
		t.Errorf("%+v", m.Stats())
	}
	if gs, _, _ := m.Synced(1); gs.State.Commit != 0 {
		t.Error("synced for a lazy append")
	}
	m.Submit(&storage.Append{Group: 1, Entries: memEntries(1, 1, 1)})
	m.Drain()
	if gs, _, _ := m.Synced(1); gs.State.Commit != 5 || gs.Last != 1 {
		t.Errorf("synced: %+v", gs)
	}
}

func TestMemLogCompact(t *testing.T) {
	m := NewMemLog()
	m.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{Index: 4, Term: 2}, Entries: memEntries(5, 9, 3)})
	m.Drain()
	m.Compact(1, 7)
	m.Drain()
	if gs, _ := m.Bounds(1); gs.First != 8 || gs.FirstTerm != 3 || gs.Last != 9 {
		t.Errorf("%+v", gs)
	}
	if _, err := m.Term(1, 6); err != storage.ErrCompacted {
		t.Errorf("term of a compacted entry: %v", err)
	}
	if _, err := m.Entries(nil, 1, 7, 9, 100); err != storage.ErrCompacted {
		t.Errorf("compacted entries: %v", err)
	}
	if _, err := m.Entries(nil, 1, 8, 11, 100); err != storage.ErrUnavailable {
		t.Errorf("entries beyond the log: %v", err)
	}
	if ents, err := m.Entries(nil, 1, 8, 10, 0); err != nil || len(ents) != 1 {
		t.Errorf("at least one entry: %v, %v", ents, err)
	}
	m.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{Drop: true}})
	m.Drain()
	if _, ok := m.Bounds(1); ok {
		t.Error("dropped, and still there")
	}
}
