package shard_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/state"
	rig "github.com/warrenmq/warren/test/shard"
)

var errInjected = errors.New("injected error")

// A fuse burns at the k-th call.
type fuse struct {
	left int
	log  bool // it was the log's
}

func (f *fuse) burn() bool {
	f.left--
	return f.left == 0
}

func (f *fuse) burnLog() bool {
	burnt := f.burn()
	f.log = f.log || burnt
	return burnt
}

// burningState fails where its fuse says.
type burningState struct {
	storage.State
	fuse *fuse
}

func (s burningState) Get(dst, key []byte) ([]byte, error) {
	if s.fuse.burn() {
		return dst, errInjected
	}
	return s.State.Get(dst, key)
}

func (s burningState) Iter(lower, upper []byte) (storage.Iterator, error) {
	if s.fuse.burn() {
		return nil, errInjected
	}
	return s.State.Iter(lower, upper)
}

func (s burningState) Flush() error {
	if s.fuse.burn() {
		return errInjected
	}
	return s.State.Flush()
}

func (s burningState) NewBatch() storage.Batch { return burningBatch{s.State.NewBatch(), s.fuse} }

type burningBatch struct {
	storage.Batch
	fuse *fuse
}

func (b burningBatch) Commit() error {
	if b.fuse.burn() {
		return errInjected
	}
	return b.Batch.Commit()
}

// TestErrors lets the k-th write or sync of the log, or the k-th call of the state
// store, fail, for all k of a run: the node must end. When it is the log that
// failed nothing may be confirmed any more, however the process is wound up.
func TestErrors(t *testing.T) {
	k := 1
	for errorRun(t, k) {
		k++
		if t.Failed() {
			return
		}
	}
	if k < 300 {
		t.Errorf("only %d calls", k)
	}
	t.Logf("%d calls", k)
}

// errorRun reports whether its failure came.
func errorRun(t *testing.T, k int) bool {
	f := &fuse{left: k}
	w := &world{}
	d := newDriver(3, w)
	fatals := 0
	fatal := func(error) {
		fatals++
		if d.c != nil {
			d.c.dead = f.log
		}
	}
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose && f.burnLog() {
			return errInjected
		}
		return nil
	}))
	log, err := seglog.Open(seglog.Options{FS: fs, Dir: "log", NodeID: 1, SegmentSize: 64 << 10, MaxFree: 1, FreeRest: -1, Fatal: fatal})
	if err != nil {
		return f.left <= 0
	}
	r, err := rig.NewRig(rig.Options{
		Log: log, State: burningState{state.NewMemory(), f}, Shards: 2, Budget: 8 << 10, HotPages: 1,
		Start: time.Second, Fatal: fatal, Settings: settings,
	})
	if err != nil || fatals > 0 {
		return f.left <= 0
	}
	d.begin(r)
	for range 120 {
		if fatals > 0 {
			break
		}
		if err := d.step(); err != nil {
			t.Errorf("call %d: %v", k, err)
		}
	}
	if f.left > 0 {
		return false
	}
	if fatals == 0 {
		t.Errorf("call %d failed and the node went on", k)
	}
	// Whatever is still done on the way out confirms nothing.
	before := w.snapshot()
	for range 10 {
		log.Drain()
		for _, g := range r.Host.Groups() {
			g.TryTurn()
		}
		r.Rounds.Step(r.Now)
		r.Loader.Step()
	}
	for _, q := range w.queues {
		for i, m := range q.msgs {
			if b := before.queue(q.name).msgs[i]; f.log && (m.confirmed != b.confirmed || m.acked != b.acked) {
				t.Errorf("call %d failed, and message %d was answered after", k, m.id)
			}
		}
	}
	for _, err := range d.c.errs {
		t.Errorf("call %d: %v", k, err)
	}
	return true
}
