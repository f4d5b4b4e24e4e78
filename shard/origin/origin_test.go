package origin_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A client is a session of the node: it publishes, consumes and notes what it is
// told.
type client struct {
	t    *testing.T
	o    *origin.Origin
	said []string
}

func newClient(t *testing.T) *client {
	return &client{t: t, o: origin.New(queue.Incarnation{Node: 1, Number: 4})}
}

func (c *client) say(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

func (c *client) Confirmed(first uint64, n uint32, refused bool) {
	c.say("confirmed %d+%d refused=%v", first, n, refused)
}
func (c *client) Unknown(first uint64, n uint32) { c.say("unknown %d+%d", first, n) }
func (c *client) Wake()                          {}
func (c *client) Deliver(_ *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		c.say("got %d", ds[i].Seq)
	}
}
func (c *client) Cancelled(x *shard.Consumer) { c.say("cancelled %d", x.ID) }

func (c *client) told(what string) func(error) { return func(err error) { c.say("%s: %v", what, err) } }

func (c *client) publish(tag uint64) {
	c.o.In.Publish([]shard.Publish{{Message: &message.Message{Body: []byte("m")}, Queues: []shard.QueueID{1}, To: c, Tag: tag}})
}

// batch publishes and has that numbered and sent.
func (c *client) batch(tag uint64) *origin.Batch {
	c.t.Helper()
	c.publish(tag)
	b := c.o.Next(7)
	if b == nil {
		c.t.Fatal("no batch")
	}
	c.o.Sent()
	return b
}

func (c *client) consumer() *shard.Consumer {
	x := &shard.Consumer{Queue: 1, Sink: c, Session: 3}
	c.o.Name(x)
	if !c.o.Consumed(c.o.Ask(0, shard.Request{Kind: shard.ReqConsume, Queue: 1, Consumer: x, Done: c.told("consume")}), nil) {
		c.t.Fatal("nobody waits for the consumer")
	}
	return x
}

func holding(n uint64) queue.Holding { return queue.Holding{Term: 5, Counter: n} }

func delivery(seq uint64) shard.Delivery {
	return shard.Delivery{Seq: seq, Holding: holding(seq), Size: 9, Acquired: uint16(seq)}
}

func settle(seq uint64, as shard.Outcome) []shard.Settle {
	return []shard.Settle{{Queue: 1, Seq: seq, Holding: holding(seq), Outcome: as}}
}

func (c *client) claims() (out []shard.Claim) {
	for _, a := range c.o.Report(5) {
		out = append(out, a.Claims...)
	}
	return out
}

func (c *client) expect(want ...string) {
	c.t.Helper()
	if !slices.Equal(c.said, want) {
		c.t.Errorf("said %q, want %q", c.said, want)
	}
	c.said = nil
}

// Batches are numbered in the order of what was published, and name the first
// that is not answered and the revision they were routed on.
func TestBatchesAreNumbered(t *testing.T) {
	c := newClient(t)
	for n := uint64(1); n <= 3; n++ {
		b := c.batch(n)
		if want := (shard.BatchID{Node: 1, Incarnation: 4, Number: n, Floor: 1, Revision: 7}); b.ID != want {
			t.Errorf("batch %+v, want %+v", b.ID, want)
		}
	}
	if c.o.Next(7) != nil || c.o.Waiting() || c.o.Number() != 3 || c.o.Answered() != 0 {
		t.Error("there is one more, or they are answered")
	}
	c.o.Answer(2, nil, shard.BatchTook)
	c.expect("confirmed 2+1 refused=false")
	if c.o.Answered() != 0 {
		t.Error("the first is not answered")
	}
	c.o.Answer(1, []uint32{0}, shard.BatchTook)
	c.o.Answer(1, nil, shard.BatchTook) // again: it changes nothing
	c.expect("confirmed 1+1 refused=true")
	if b := c.batch(4); b.ID.Floor != 3 || c.o.Answered() != 2 {
		t.Errorf("floor %d, answered %d", b.ID.Floor, c.o.Answered())
	}
}

// What is not answered is sent again, in order and as it was, before anything new;
// what is answered is not.
func TestBatchesAreSentAgain(t *testing.T) {
	c := newClient(t)
	var first [][]byte
	for n := uint64(1); n <= 3; n++ {
		first = append(first, slices.Clone(c.batch(n).Bytes()))
	}
	c.o.Answer(2, nil, shard.BatchTook)
	for name, again := range map[string]func(){
		"another leader": c.o.Rewind,
		"a gap":          func() { c.o.Answer(1, nil, shard.BatchGap) },
	} {
		again()
		c.publish(4)
		for _, n := range []uint64{1, 3} {
			b := c.o.Next(8)
			if b == nil || b.ID.Number != n || !slices.Equal(b.Bytes(), first[n-1]) {
				t.Fatalf("%s: %+v, want batch %d as it was", name, b, n)
			}
			c.o.Sent()
		}
	}
	c.o.Answer(3, nil, shard.BatchEnded)
	c.expect("confirmed 2+1 refused=false", "unknown 3+1")
}

// What a session holds is claimed with how often it was given back, until it is
// known that it is settled.
func TestClaims(t *testing.T) {
	c := newClient(t)
	x := c.consumer()
	c.o.Report(5)
	if !c.o.Deliver(x, 5, []shard.Delivery{delivery(1), delivery(2)}) || c.o.Deliver(x, 4, []shard.Delivery{delivery(3)}) {
		t.Fatal("the deliveries of the leader count, those of the one before do not")
	}
	c.o.Got(1, 8, &shard.Delivery{Seq: 4, Holding: holding(4), Size: 2})
	c.expect("consume: <nil>", "got 1", "got 2")
	want := []shard.Claim{
		{Queue: 1, Seq: 1, Holding: holding(1), Size: 9, Acquired: 1, Session: 3, Consumer: x.ID},
		{Queue: 1, Seq: 2, Holding: holding(2), Size: 9, Acquired: 2, Session: 3, Consumer: x.ID},
		{Queue: 1, Seq: 4, Holding: holding(4), Size: 2, Session: 8},
	}
	if got := c.claims(); !slices.Equal(got, want) {
		t.Fatalf("claims %+v", got)
	}
	one, ss := c.o.Settle(settle(1, shard.Requeue))
	if one == 0 || len(ss) != 1 || ss[0].Size != 9 || ss[0].Acquired != 1 {
		t.Fatalf("settles %+v under %d", ss, one)
	}
	if n, ss := c.o.Settle(settle(1, shard.Accept)); n != 0 || ss != nil {
		t.Errorf("settled twice: %+v", ss)
	}
	c.o.Committed(c.told("one"))
	two, _ := c.o.Settle(settle(4, shard.Accept))
	c.o.Committed(c.told("two"))
	want[0].Consumer = 0
	if got := c.claims(); !slices.Equal(got, want) {
		t.Fatalf("claims %+v: what is not known to be settled is claimed yet", got)
	}
	c.o.Settled(one)
	c.expect("one: <nil>")
	if got := c.claims(); !slices.Equal(got, want[1:]) {
		t.Fatalf("claims %+v", got)
	}
	c.o.Settled(two)
	c.expect("two: <nil>")
	c.o.Committed(c.told("three"))
	c.expect("three: <nil>")
}

// Of two claims of one message the later counts: that it was given out again
// shows that what was settled before is done.
func TestLatestClaim(t *testing.T) {
	c := newClient(t)
	x := c.consumer()
	c.o.Deliver(x, 5, []shard.Delivery{delivery(1)})
	c.o.Settle(settle(1, shard.Requeue))
	again := shard.Delivery{Seq: 1, Holding: holding(30), Size: 9, Acquired: 2}
	c.o.Deliver(x, 5, []shard.Delivery{again})
	if got := c.claims(); len(got) != 1 || got[0].Holding != again.Holding || got[0].Acquired != 2 {
		t.Errorf("claims %+v", got)
	}
}

// What is refused is not held any more, unless it was given out again meanwhile.
func TestRefusedClaims(t *testing.T) {
	c := newClient(t)
	x := c.consumer()
	c.o.Deliver(x, 5, []shard.Delivery{delivery(1), delivery(2)})
	claims := c.claims()
	c.o.Deliver(x, 5, []shard.Delivery{{Seq: 2, Holding: holding(31), Size: 9}})
	c.o.Attached(&shard.Attached{Term: 6, Refused: claims, Consumers: []uint64{x.ID}}, true)
	if got := c.claims(); len(got) != 1 || got[0].Holding != holding(31) {
		t.Errorf("claims %+v", got)
	}
	if c.o.Term() != 6 || c.o.Consumer(x.ID) != nil || !slices.Contains(c.said, fmt.Sprint("cancelled ", x.ID)) {
		t.Errorf("term %d, said %q", c.o.Term(), c.said)
	}
}

// A consumer that ends with all it holds gives that back, as it got it, and is
// reported until the leader knows of its end.
func TestCancel(t *testing.T) {
	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprint("all ", all), func(t *testing.T) {
			c := newClient(t)
			x := c.consumer()
			c.o.Deliver(x, 5, []shard.Delivery{delivery(1), delivery(2)})
			id, number, ss := c.o.Cancel(0, shard.Request{Kind: shard.ReqCancel, Consumer: x, End: all, Done: c.told("cancel")})
			if id == 0 || all != (number != 0) || all != (len(ss) == 2) {
				t.Fatalf("to be asked %d, settles %+v under %d", id, ss, number)
			}
			for i, s := range ss {
				if s.Outcome != shard.Abandon || s.Size != 9 || s.Acquired != uint16(i+1) {
					t.Errorf("settle %+v", s)
				}
			}
			for _, k := range c.claims() {
				if k.Consumer != 0 {
					t.Errorf("claim %+v names a consumer that ended", k)
				}
			}
			if a := c.o.Report(5); len(a) != 1 || len(a[0].Consumers) != 1 || len(a[0].Claims) != 2 {
				t.Errorf("report %+v", a)
			} else if y := a[0].Consumers[0]; y.ID != x.ID || y.Shared == nil || y.Shared.Take() {
				t.Errorf("a consumer that ended is reported as %+v, which may be given something", y)
			}
			c.o.Told(id, nil)
			if a := c.o.Report(5); len(a[0].Consumers) != 0 {
				t.Errorf("report %+v behind the answer", a)
			}
			c.expect("consume: <nil>", "got 1", "got 2", "cancel: <nil>")
		})
	}
}

// A registration that is cancelled before it is answered is cancelled at the
// leader too.
func TestCancelOfWhatIsAsked(t *testing.T) {
	c := newClient(t)
	x := &shard.Consumer{Queue: 1, Sink: c}
	c.o.Name(x)
	id := c.o.Ask(0, shard.Request{Kind: shard.ReqConsume, Consumer: x, Done: c.told("consume")})
	if again, _, _ := c.o.Cancel(0, shard.Request{Kind: shard.ReqCancel, Consumer: x, Done: c.told("cancel")}); again != 0 {
		t.Error("there is nothing to be told yet")
	}
	if c.o.Consumed(id, nil) {
		t.Error("the consumer stays, and nobody has it")
	}
	c.expect("consume: "+shard.ErrGone.Error(), "cancel: <nil>")
}

// A get that nobody waits for, or of a leader that is none any more, is void.
func TestTaken(t *testing.T) {
	c := newClient(t)
	get := func() uint64 {
		return c.o.Ask(0, shard.Request{Kind: shard.ReqGet, Queue: 1, Session: 3, DoneGet: func(g shard.GetResult, err error) {
			c.say("get %d: %v", g.Seq, err)
		}})
	}
	c.o.Report(5)
	id := get()
	if !c.o.Taken(id, 4, shard.GetResult{Delivery: delivery(1)}, nil) || len(c.said) != 0 {
		t.Fatalf("of the leader before: %q", c.said)
	}
	if !c.o.Taken(id, 5, shard.GetResult{Delivery: delivery(2)}, nil) || c.o.Taken(id, 5, shard.GetResult{Delivery: delivery(3)}, nil) {
		t.Fatal("the first answer counts, the second is to be given back")
	}
	c.expect("get 2: <nil>")
	number, ss := c.o.Stray(1, []shard.Delivery{delivery(3)})
	if number == 0 || len(ss) != 1 || ss[0].Outcome != shard.Release {
		t.Errorf("given back: %+v", ss)
	}
	if got := c.claims(); len(got) != 2 || got[0].Seq != 2 || got[1].Seq != 3 {
		t.Errorf("claims %+v: what is given back is claimed until that is known", got)
	}
}

// A report is in chunks, consumers before claims; the first begins it and the last
// ends it.
func TestReportInChunks(t *testing.T) {
	c := newClient(t)
	x := c.consumer()
	for range 2000 {
		c.consumer()
	}
	var ds []shard.Delivery
	for seq := uint64(1); seq <= 3000; seq++ {
		ds = append(ds, delivery(seq))
	}
	c.o.Deliver(x, 5, ds)
	as := c.o.Report(6)
	consumers, claims := 0, 0
	for i, a := range as {
		if a.Begin != (i == 0) || a.End != (i == len(as)-1) || len(a.Consumers) > 1024 || len(a.Claims) > 1024 {
			t.Errorf("chunk %d: begin %v, end %v, %d consumers, %d claims", i, a.Begin, a.End, len(a.Consumers), len(a.Claims))
		}
		if consumers += len(a.Consumers); len(a.Claims) > 0 && consumers < 2001 {
			t.Errorf("chunk %d has claims before consumers", i)
		}
		claims += len(a.Claims)
	}
	if consumers != 2001 || claims != 3000 || c.o.Term() != 6 {
		t.Errorf("%d consumers, %d claims, term %d", consumers, claims, c.o.Term())
	}
}

// What a replica hands over when it loses the lead it gets back when it leads.
func TestHoldAndYield(t *testing.T) {
	c := newClient(t)
	b := c.batch(1)
	x := &shard.Consumer{Queue: 1, Sink: c}
	c.o.Name(x)
	h := origin.Holdings{
		Consumers: []*shard.Consumer{x},
		Claims:    []shard.Claim{{Queue: 1, Seq: 1, Holding: holding(1), Size: 9, Acquired: 3, Session: 2, Consumer: x.ID}},
		Settles:   []shard.Settle{{Queue: 1, Seq: 2, Holding: holding(2), Size: 9, Acquired: 4}},
		Done:      []func(error){c.told("settled")},
		Requests:  []shard.Request{{Kind: shard.ReqCounts, Queue: 1, Counts: func(shard.Counts, error) {}}},
	}
	c.o.Hold(0, h)
	want := append(slices.Clone(h.Claims), shard.Claim{Queue: 1, Seq: 2, Holding: holding(2), Size: 9, Acquired: 4})
	if got := c.claims(); !slices.Equal(got, want) {
		t.Errorf("claims %+v", got)
	}
	got := c.o.Yield(8)
	if !slices.Equal(got.Settles, h.Settles) || len(got.Done) != 1 || len(got.Requests) != 1 || got.Requests[0].Kind != shard.ReqCounts {
		t.Errorf("yields %+v", got)
	}
	if len(c.claims()) != 0 || len(c.o.Consumers()) != 0 || c.o.Term() != 8 {
		t.Error("it is not empty")
	}
	if c.o.Next(7) != b {
		t.Error("the batch is not sent again")
	}
	c.expect()
}

// Without a leader requests are answered after a while, ends of consumers never.
func TestRequestsExpire(t *testing.T) {
	c := newClient(t)
	x := c.consumer()
	c.said = nil
	c.o.Park(time.Second, []shard.Request{
		{Kind: shard.ReqGet, Queue: 1, DoneGet: func(_ shard.GetResult, err error) { c.say("get: %v", err) }},
		{Kind: shard.ReqPurge, Queue: 1, DoneN: func(_ uint64, err error) { c.say("purge: %v", err) }},
		{Kind: shard.ReqCancel, Consumer: x, Done: c.told("cancel")},
		{Kind: shard.ReqSettle, Done: c.told("settled")},
	})
	c.expect("cancel: <nil>", "settled: <nil>")
	c.o.Expire(10 * time.Second)
	c.expect()
	c.o.Expire(12 * time.Second)
	c.expect("get: "+shard.ErrUnavailable.Error(), "purge: "+shard.ErrUnavailable.Error())
	kinds := []shard.RequestKind{}
	c.o.Asked(func(_ uint64, r *shard.Request) { kinds = append(kinds, r.Kind) })
	if !slices.Equal(kinds, []shard.RequestKind{shard.ReqCancel}) {
		t.Errorf("asked again: %v", kinds)
	}
}

// A transaction that is refused after the lead changed gives back what it would
// have settled: nobody remembers who held it.
func TestRefusedTx(t *testing.T) {
	for _, changed := range []bool{false, true} {
		t.Run(fmt.Sprint("changed ", changed), func(t *testing.T) {
			c := newClient(t)
			x := c.consumer()
			c.o.Deliver(x, 5, []shard.Delivery{delivery(1)})
			c.o.Tx(&shard.Tx{Settles: settle(1, shard.Accept)}, func(err error) {
				if !errors.Is(err, shard.ErrRefused) {
					t.Errorf("the transaction: %v", err)
				}
			})
			b := c.o.Next(7)
			c.o.Sent()
			if changed {
				c.o.Yield(6)
				c.o.Hold(0, origin.Holdings{})
			}
			c.o.Answer(b.ID.Number, []uint32{0}, shard.BatchTook)
			_, ss := c.o.In.TakeRequests(nil, nil)
			if changed != (len(ss) == 1 && ss[0].Outcome == shard.Abandon) {
				t.Errorf("settles %+v", ss)
			}
		})
	}
}
