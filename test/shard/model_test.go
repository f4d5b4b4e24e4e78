package shard_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
	rig "github.com/warrenmq/warren/test/shard"
)

// A recorder keeps all entries that were ever logged, compacted or not.
type recorder struct {
	*storagetest.MemLog
	ents map[uint64]map[uint64]storage.Entry
}

func (r *recorder) Submit(a *storage.Append) {
	m := r.ents[a.Group]
	if m == nil {
		m = map[uint64]storage.Entry{}
		r.ents[a.Group] = m
	}
	for _, e := range a.Entries {
		m[e.Index] = e
	}
	r.MemLog.Submit(a)
}

// source lets rapid draw what a driver draws, so that it can shrink it.
type source struct{ t *rapid.T }

func (s source) Uint64() uint64 { return rapid.Uint64().Draw(s.t, "r") }

// TestModel compares shards with what clients know, over crashes that keep any
// prefix of what was not synced, restarts and checkpoints at any time; and what
// a shard holds with what a replay of its log gives, from the beginning and
// from its last checkpoint.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := modelRun(rand.New(source{t}), rapid.IntRange(10, 10+racing.Less(110)).Draw(t, "ops")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestModelLong is TestModel over longer runs, which rapid does not draw.
func TestModelLong(t *testing.T) {
	for seed := range uint64(racing.Less(15)) {
		if err := modelRun(rand.New(rand.NewPCG(seed, 5)), 600); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func modelRun(rng *rand.Rand, ops int) error {
	var err error
	fatal := func(e error) { err = fmt.Errorf("fatal: %w", e) }
	w := &world{}
	log := &recorder{storagetest.NewMemLog(), map[uint64]map[uint64]storage.Entry{}}
	st := state.NewMemory()
	d := newDriver(0, w)
	d.rng = rng
	start := func(at time.Duration) {
		r, e := rig.NewRig(rig.Options{Log: log, State: st, Shards: 2, Budget: 2 << 10, HotPages: 1, Start: at, Fatal: fatal, Settings: settings})
		if e != nil {
			err = e
			return
		}
		d.begin(r)
	}
	if start(time.Second); err == nil {
		d.found()
	}
	for op := 0; op < ops && err == nil; op++ {
		switch n := rng.IntN(40); {
		case n == 0:
			at := d.r.Now + time.Duration(rng.IntN(5))*time.Second
			before := w.snapshot()
			d.c.dead = true
			log = &recorder{log.Crash(rng), log.ents}
			st.Crash(rng.IntN(st.Unflushed() + 1))
			if start(at); err != nil {
				break
			}
			if err = replays(d.r, log, st); err != nil {
				break
			}
			var got map[string]*contained
			if got, err = contents(d.r); err == nil {
				err = check(before, before, got)
			}
			adopt(w, d.r, got)
			at = d.r.Now
			// The consumers that looked are gone with this life.
			log = &recorder{log.Crash(nil), log.ents}
			st.Crash(0)
			start(at)
		case n == 1:
			err = replays(d.r, log, st)
		default:
			if e := d.step(); e != nil && err == nil {
				err = e
			}
		}
		if err != nil {
			return fmt.Errorf("operation %d: %w", op, err)
		}
	}
	return err
}

// adopt makes the world what it was found to be: what was open is decided.
func adopt(w *world, r *rig.Rig, got map[string]*contained) {
	w.txs = nil // decided
	keep := w.queues[:0]
	for _, q := range w.queues {
		in, there := got[q.name]
		if !there {
			continue
		}
		q.declared, q.deleting, q.closed, q.reopening = true, false, false, false
		q.id = r.Catalog.View().Queue("/", q.name).ID
		found := map[uint64]bool{}
		for _, f := range in.fs {
			m := q.message(f.id)
			found[f.id] = true
			m.delivered, m.confirmed, m.answered, m.acking = true, true, true, false
		}
		for _, m := range q.msgs {
			if !found[m.id] {
				m.acked, m.acking, m.answered = true, true, true // for good
			}
		}
		keep = append(keep, q)
	}
	w.queues = keep
}

// replays compares the shards with what their logs give.
func replays(r *rig.Rig, log *recorder, st *state.Memory) (fatal error) {
	for _, id := range r.IDs {
		index, want := r.Shards[id].Digest()
		for _, from := range []storage.State{state.NewMemory(), st} {
			s, at, err := replica.Open(replica.Options{
				Group: id, Catalog: none{}, State: from, Log: log, Wall: func() int64 { return 0 },
				Incarnation: queue.Incarnation{Node: 99, Number: 1},
				Fatal:       func(e error) { fatal = e },
			})
			if err != nil {
				return err
			}
			if at.Applied == 0 {
				at.Applied = 1 // where a group is founded
			}
			for i := at.Applied + 1; i <= index; i++ {
				e, ok := log.ents[id][i]
				if !ok {
					return fmt.Errorf("entry %d of shard %d was never logged", i, id)
				}
				x := commitlog.Entry{Index: e.Index, Term: e.Term}
				if e.Kind == 0 {
					x.Data = e.Data
				}
				s.Apply([]commitlog.Entry{x})
			}
			if at, got := s.Digest(); at != index || got != want {
				return fmt.Errorf("shard %d: digest %x at %d, a replay from its checkpoint or the beginning gives %x at %d", id, want, index, got, at)
			}
		}
	}
	return fatal
}

// none is a catalog that is not asked: a replay makes what the log says.
type none struct{}

func (none) Queue(uint64, shard.QueueID) (shard.Settings, uint64, bool) {
	return shard.Settings{}, 0, false
}
func (none) Revision() uint64 { return 0 }

func (none) Alive(queue.Incarnation) bool { return true }
