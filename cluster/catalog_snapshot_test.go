package cluster

import (
	"testing"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/slot"
)

// round does a checkpoint of one catalog.
func round(t *testing.T, c *Catalog, l *heldLog) {
	t.Helper()
	var cut checkpoint.Cut
	c.Cut(func(x checkpoint.Cut) { cut = x })
	l.TryTurn()
	written(t, c, cut)
	l.TryTurn()
}

func written(t *testing.T, c *Catalog, cut checkpoint.Cut) {
	t.Helper()
	b := c.o.State.NewBatch()
	if err := cut.State(b); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	cut.Durable()
}

// A follower that takes a snapshot has the sender's catalog, says what is
// different, does not disturb the cut under way, and has it after a restart too.
func TestCatalogInstall(t *testing.T) {
	leader, held := newHeld(t, nil)
	leader.Start(&catalog.SetParameter{VHost: "/", Component: "c", Name: "x", Value: []byte("1")}, func(catalog.Result, error) {})
	held.all()
	round(t, leader, held)
	mark, ok, err := CatalogMark(leader.o.State, leader.slot)
	if err != nil || !ok || mark.Index != leader.applied || mark.Term != 1 {
		t.Fatalf("mark %+v, %v, %v", mark, ok, err)
	}

	var told []catalog.Result
	f, fl := newHeld(t, func(_ *catalog.View, rs []catalog.Result) { told = append(told, rs...) })
	slots, err := slot.Open(f.o.State)
	if err != nil {
		t.Fatal(err)
	}
	f.o.Slots = slots
	f.Start(&catalog.AddVHost{Name: "gone"}, func(catalog.Result, error) {})
	fl.all()
	st, err := slots.Stage(CatalogGroup, mark)
	if err != nil {
		t.Fatal(err)
	}
	if err := slot.Copy(leader.o.State, leader.slot, nil, st.Put); err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(); err != nil {
		t.Fatal(err)
	}

	var open checkpoint.Cut
	f.Cut(func(x checkpoint.Cut) { open = x })
	fl.TryTurn()
	told = nil
	installed := false
	f.Install(raftgroup.Snapshot{Index: mark.Index}, func() { installed = true })
	fl.TryTurn()
	if installed {
		t.Fatal("switched while a cut was being written")
	}
	written(t, f, open)
	fl.TryTurn()
	if !installed {
		t.Fatal("not installed")
	}
	if f.View().Digest() != leader.View().Digest() {
		t.Fatal("another catalog than the sender's")
	}
	if len(told) != 1 || len(told[0].Removed.VHosts) != 1 || told[0].Removed.VHosts[0].Name != "gone" {
		t.Fatalf("told %+v", told)
	}

	// A checkpoint and a restart later it is the same.
	fl.entries, fl.applied = make([]commitlog.Entry, mark.Index), int(mark.Index)
	f.Start(&catalog.AddVHost{Name: "after"}, func(catalog.Result, error) {})
	fl.all()
	round(t, f, fl)
	if slots, err = slot.Open(f.o.State); err != nil {
		t.Fatal(err)
	}
	o := f.o
	o.Slots = slots
	again, at, err := OpenCatalog(o)
	if err != nil {
		t.Fatal(err)
	}
	if at.Applied != mark.Index+1 || again.View().Digest() != f.View().Digest() || again.View().VHost("after") == nil {
		t.Fatalf("after a restart at %d", at.Applied)
	}
}
