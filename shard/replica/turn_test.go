package replica

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
)

const group = 7

// A fake is group, proposer and catalog of a shard under test. What is proposed
// is committed when the test says so.
type fake struct {
	t       *testing.T
	s       *Shard
	state   *state.Memory
	wakes   int
	drop    bool   // proposals are dropped
	during  func() // called once, from within the next InFlight
	term    uint64
	index   uint64
	flight  []commitlog.Entry
	log     []commitlog.Entry // committed
	said    []string          // confirms and deliveries
	max     queue.Limit
	rule    shard.LetterRule
	single  bool   // queues have one active consumer
	newer   uint64 // revisions of the catalog behind the first
	holding []shard.Settle
	slots   *slot.Slots
	first   *firstLog // instead of an empty log
}

func newFake(t *testing.T, inc uint64) *fake {
	f := &fake{t: t, state: state.NewMemory(), index: 1}
	f.open(inc)
	return f
}

func (f *fake) open(inc uint64) {
	var log storage.LogStore = storagetest.NewMemLog()
	if f.first != nil {
		log = f.first
	}
	s, _, err := Open(Options{
		Group: group, Incarnation: queue.Incarnation{Node: 1, Number: inc}, Catalog: f, State: f.state, Log: log,
		Loader: NewLoader(log, f.state, f.fatal), Budget: 1 << 20, Wall: func() int64 { return 1000 }, Fatal: f.fatal,
		Ended: func(shard.QueueID) {}, Slots: f.slots,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	s.Bind(f)
	f.s = s
}

func (f *fake) fatal(err error)            { f.t.Errorf("fatal: %v", err) }
func (f *fake) Wake()                      { f.wakes++ }
func (f *fake) TryTurn() bool              { f.wakes++; return true }
func (f *fake) Compact(uint64)             {}
func (f *fake) AppendConf(b []byte) []byte { return append(b, 1) }
func (f *fake) Revision() uint64           { return 1 + f.newer }

func (f *fake) Alive(i queue.Incarnation) bool { return i == f.s.o.Incarnation || i.Node != 1 }

func (f *fake) Queue(_ uint64, id shard.QueueID) (s shard.Settings, rev uint64, ok bool) {
	s.MaxLength, s.Overflow, s.Letters = f.max, queue.RejectPublish, f.rule
	s.SingleActive = f.single
	return s, 1, true
}

func (f *fake) Leading() (uint64, bool) { return f.term, f.term != 0 }

func (f *fake) InFlight() (n, bytes int) {
	if d := f.during; d != nil {
		f.during = nil
		d()
	}
	return len(f.flight), 0
}

func (f *fake) Propose(data []byte) (uint64, bool) {
	if f.drop {
		return 0, false
	}
	e := commitlog.Entry{Index: f.index + uint64(len(f.flight)) + 1, Term: f.term, Data: data}
	f.flight = append(f.flight, e)
	return e.Index, true
}

func (f *fake) turn() { f.wakes = 0; f.s.Turn(time.Second, f) }

// lead starts a term with its no-op; what was in flight is lost.
func (f *fake) lead(term uint64) {
	f.flight = nil
	f.commit(commitlog.Entry{Index: f.index + 1, Term: term})
	f.term = term
	f.s.Lead(term)
	f.turn()
}

func (f *fake) follow() {
	f.term = 0
	f.s.Follow(9, 2)
}

func (f *fake) commit(es ...commitlog.Entry) {
	for _, e := range es {
		f.index = e.Index
		f.log = append(f.log, e)
		f.s.Apply([]commitlog.Entry{e})
	}
}

// settle commits what is in flight, and goes on until nothing is.
func (f *fake) settle() {
	for f.turn(); len(f.flight) > 0; f.turn() {
		es := f.flight
		f.flight = nil
		f.commit(es...)
	}
}

func (f *fake) publish(tags ...uint64) {
	for _, tag := range tags {
		f.s.Publish([]shard.Publish{{
			Message: &message.Message{Body: fmt.Append(nil, "m", tag)}, Queues: []shard.QueueID{1}, To: f, Tag: tag,
		}})
	}
}

func (f *fake) Confirmed(first uint64, n uint32, refused bool) {
	what := "confirm"
	if refused {
		what = "refuse"
	}
	f.said = append(f.said, fmt.Sprintf("%s %d+%d", what, first, n))
}

func (f *fake) Unknown(first uint64, n uint32) {
	f.said = append(f.said, fmt.Sprintf("unknown %d", first))
}
func (f *fake) Cancelled(*shard.Consumer) { f.said = append(f.said, "cancelled") }
func (f *fake) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	for _, d := range ds {
		m, err := message.Parse(d.Blob)
		if err != nil {
			f.t.Error(err)
		}
		flag := ""
		if d.Redelivered {
			flag = " again"
		}
		f.said = append(f.said, "deliver "+string(m.Body)+flag)
		f.holding = append(f.holding, shard.Settle{Queue: c.Queue, Seq: d.Seq, Holding: d.Holding})
	}
}

func (f *fake) consume() {
	f.s.Consume(&shard.Consumer{Queue: 1, Sink: f, Session: 1}, func(err error) {
		if err != nil {
			f.said = append(f.said, err.Error())
		}
	})
}

func (f *fake) expect(want ...string) {
	f.t.Helper()
	if fmt.Sprint(f.said) != fmt.Sprint(want) {
		f.t.Errorf("said %q, want %q", f.said, want)
	}
	f.said = nil
}

// What comes between a turn's look into the inbox and its end is not poked: the
// turn must see it.
func TestWakeUpIsNotLost(t *testing.T) {
	for name, call := range map[string]func(f *fake){
		"settle":  func(f *fake) { f.s.Settle([]shard.Settle{{Queue: 1}}, nil) },
		"request": func(f *fake) { f.s.org.In.Settle(nil, func(error) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 1)
			f.lead(2)
			f.s.inflight.Store(1) // as the call sees it
			f.during = func() { call(f); f.wakes = 0 }
			f.turn()
			if f.wakes == 0 {
				t.Error("nobody runs a turn for it")
			}
		})
	}
}

// A dropped proposal is offered again, its section with what came since.
func TestDropped(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.drop = true
	f.publish(1, 2)
	f.turn()
	f.publish(3)
	f.turn()
	f.expect()
	f.drop = false
	f.settle()
	f.expect("confirm 1+2", "confirm 3+1")
}

// Over a change of the leader what was not applied is proposed again, in order,
// before anything new; nothing twice.
func TestLeaderChange(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.turn()
	first := f.flight[0] // will be committed by the next leader
	f.publish(2)
	f.s.Settle(nil, func(err error) { f.said = append(f.said, fmt.Sprint("settled: ", err)) })
	f.turn()
	f.follow()
	f.expect("settled: <nil>") // there was nothing
	f.publish(3)
	f.turn()
	f.commit(commitlog.Entry{Index: f.index + 1, Term: 3})
	f.commit(commitlog.Entry{Index: f.index + 1, Term: first.Term, Data: first.Data})
	f.expect("confirm 1+1")
	f.lead(4)
	f.settle()
	f.expect("confirm 2+2")
	f.consume()
	f.settle()
	f.expect("deliver m1", "deliver m2", "deliver m3")
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

// A batch that is there twice counts once, and is answered as the first time.
func TestDouble(t *testing.T) {
	f := newFake(t, 1)
	f.max = queue.AtMost(1)
	f.lead(2)
	f.publish(1, 2)
	f.turn()
	e := f.flight[0]
	f.follow()
	f.commit(commitlog.Entry{Index: f.index + 1, Term: e.Term, Data: e.Data})
	f.expect("confirm 1+1", "refuse 2+1")
	// Another life of the process does not know that it was applied.
	f.s.org = origin.New(queue.Incarnation{Node: 1, Number: 1})
	f.publish(1, 2)
	f.s.org.Next(1)
	f.commit(commitlog.Entry{Index: f.index + 1, Term: 3, Data: e.Data})
	f.expect("confirm 1+1", "refuse 2+1")
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A batch behind a gap is not applied, and everything from the gap on is sent
// again.
func TestGap(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.turn()
	f.flight = nil // lost
	f.publish(2)
	f.turn()
	f.settle()
	f.expect("confirm 1+1", "confirm 2+1")
}

// A section that was decided under another term is void; the batch beside it
// stands, and has its queue.
func TestVoidSection(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.settle()
	f.consume()
	f.settle()
	f.s.Settle(f.holding, nil)
	f.publish(2)
	f.turn()
	e := f.flight[0]
	f.follow()
	f.said = nil
	e.Term++ // as if a leader of term 3 had proposed it
	e.Index = f.index + 1
	f.commit(e)
	f.expect("confirm 2+1")
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 2 {
		t.Errorf("%d messages, want both: the settle is void", n)
	}
	f.lead(5)
	f.settle()
	f.expect("deliver m2")        // to the consumer of before
	f.at(1100 * time.Millisecond) // whose settle is offered again
	f.settle()
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 1 {
		t.Errorf("%d messages, want one", n)
	}
}

// What the shard's own incarnation left before is ended by its next one.
func TestIncarnations(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.settle()
	f.open(2)
	f.index = 1
	log := f.log
	f.log = nil
	f.commit(log...)
	f.lead(3)
	f.publish(2)
	f.settle()
	f.expect("confirm 1+1", "confirm 2+1")
	if st := f.s.streams[1]; st.ended != 1 || st.inc != 2 || st.last != 1 {
		t.Errorf("stream %+v", st)
	}
}

// A get, a purge and a count see what was published before them.
func TestBehind(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1, 2)
	f.s.Get(1, 1, func(g shard.GetResult, err error) {
		f.said = append(f.said, fmt.Sprint("get ", g.Empty, g.Remaining, err))
	})
	f.s.Counts(1, func(c shard.Counts, err error) { f.said = append(f.said, fmt.Sprint("counts ", c.Ready)) })
	f.s.Purge(1, func(n uint64, err error) { f.said = append(f.said, fmt.Sprint("purged ", n, err)) })
	f.settle()
	f.expect("confirm 1+2", "counts 2", "get true 0 <nil>", "purged 2 <nil>")
}

// A body or page that is nowhere ends the process only if its message is there.
func TestGoneWhileRead(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.settle()
	var fatal error
	f.s.o.Fatal = func(err error) { fatal = err }
	f.s.pageLoaded(f.s.e.Queue(1), 5, nil, storage.ErrNotFound)
	if fatal != nil {
		t.Fatal(fatal)
	}
	f.s.e.Residents.Release(f.index, 1, 1)
	f.consume()
	f.settle()
	for f.s.o.Loader.Step() {
		f.turn()
	}
	if !errors.Is(fatal, storage.ErrDamaged) {
		t.Errorf("the body of a live message is lost: %v", fatal)
	}
}
