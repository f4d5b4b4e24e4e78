package checker

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// A history is events, each a millisecond after the one before unless it says when.
type history []Event

func send(seqs ...uint64) history    { return each(Send, seqs) }
func confirm(seqs ...uint64) history { return each(Confirm, seqs) }
func refuse(seqs ...uint64) history  { return each(Refuse, seqs) }

// each has messages of the producer 1.
func each(k Kind, seqs []uint64) (h history) {
	for _, s := range seqs {
		h = append(h, Event{Kind: k, ID: ID{1, s}})
	}
	return h
}

// published are messages that were sent and confirmed.
func published(seqs ...uint64) history { return slices.Concat(send(seqs...), confirm(seqs...)) }

// of has messages of queue 0 at a consumer.
func of(k Kind, client uint32, flag uint8, seqs ...uint64) history {
	h := each(k, seqs)
	for i := range h {
		h[i].Client, h[i].Flag = client, flag
	}
	return h
}

func come(client uint32, seqs ...uint64) history  { return of(Deliver, client, 0, seqs...) }
func again(client uint32, seqs ...uint64) history { return of(Deliver, client, Redelivered, seqs...) }
func ack(client uint32, seqs ...uint64) history   { return of(Ack, client, 0, seqs...) }
func reject(client uint32, seqs ...uint64) history {
	return of(Reject, client, 0, seqs...)
}
func requeue(client uint32, seqs ...uint64) history { return of(Requeue, client, 0, seqs...) }

func do(k Kind, client uint32) history    { return history{{Kind: k, Client: client}} }
func name(k Kind, number uint64) history  { return history{{Kind: k, N: number}} }
func node(k Kind, numbers uint64) history { return history{{Kind: k, N: numbers}} }

// lines has the lines between nodes and their clients become slow, or good again.
func lines(k Kind, numbers uint64) history { return history{{Kind: k, N: numbers, Flag: Slow}} }

// rest lets time pass.
func rest(d time.Duration) history { return history{{At: d}} }

// in moves events to another queue.
func in(queue uint8, h history) history {
	for i := range h {
		h[i].Queue = queue
	}
	return h
}

// counting gives deliveries a count.
func counting(n uint64, h history) history {
	for i := range h {
		h[i].N = n + 1
	}
	return h
}

// Producer 1 is on node 1, the consumers 2, 3 and 4 are on the nodes of their number.
func judge(queues history, hs ...history) *Judge {
	j := NewJudge(JudgeOptions{Resume: 10 * time.Second, Slack: time.Second})
	start := history{
		{Kind: Queue},
		{Kind: Queue, Queue: 1},
		{Kind: Open, Client: 1, N: 1},
		{Kind: Routes, Client: 1, N: 1},
		{Kind: Open, Client: 2, N: 2},
		{Kind: Open, Client: 3, N: 3},
		{Kind: Open, Client: 4, N: 4},
	}
	now := time.Duration(0)
	for _, e := range slices.Concat(append([]history{start, queues}, hs...)...) {
		now += time.Millisecond + e.At
		if e.Kind == 0 {
			continue
		}
		e.At = now
		j.Add(e)
	}
	j.now = now
	return j
}

// The plants: for every rule histories that break it, this often, and others that
// are near them and legal.
var plants = []struct {
	rule   Rule
	name   string
	want   int
	queues history
	run    []history
}{
	{Lost, "all is well", 0, nil, []history{published(0, 1, 2), come(2, 0, 1, 2), ack(2, 0, 1, 2)}},
	{Lost, "who is not confirmed may vanish", 0, nil, []history{send(0, 1), confirm(0), come(2, 0)}},
	{Lost, "a confirm is no condition of a delivery", 0, nil, []history{send(0, 1), come(2, 0, 1)}},
	{Lost, "the last", 1, nil, []history{published(0, 1), come(2, 0)}},
	{Lost, "in the middle", 1, nil, []history{published(0, 1, 2), come(2, 0, 2)}},
	{Lost, "all", 2, nil, []history{published(0, 1)}},
	{Lost, "in one of two queues", 1, history{{Kind: Routes, Client: 1, N: 3}}, []history{published(0), come(2, 0)}},
	{Lost, "in neither of two queues", 0, history{{Kind: Routes, Client: 1, N: 3}}, []history{published(0), come(2, 0), in(1, come(3, 0))}},
	{Lost, "a rejected message has come", 0, nil, []history{published(0), come(2, 0), reject(2, 0)}},

	{Corrupted, "garbage", 1, nil, []history{do(Garbage, 2)}},
	{Corrupted, "none", 0, nil, []history{published(0), come(2, 0)}},

	{Phantom, "never sent", 1, nil, []history{send(0), come(2, 5)}},
	{Phantom, "of nobody", 1, nil, []history{{{Kind: Deliver, Client: 2, ID: ID{77, 0}}}}},
	{Phantom, "to another queue", 1, nil, []history{send(0), in(1, come(2, 0))}},
	{Phantom, "sent", 0, nil, []history{send(0), come(2, 0)}},

	{Ghost, "refused and delivered", 1, nil, []history{send(0), refuse(0), come(2, 0)}},
	{Ghost, "refused and gone", 0, nil, []history{send(0), refuse(0)}},

	{Recanted, "confirmed, then refused", 1, nil, []history{published(0), come(2, 0), refuse(0)}},
	{Recanted, "refused, then confirmed", 1, nil, []history{send(0), refuse(0), confirm(0)}},
	{Recanted, "told twice", 0, nil, []history{published(0), confirm(0), come(2, 0)}},

	{Again, "settled and closed", 1, nil, []history{published(0), come(2, 0), ack(2, 0), do(Leave, 2), do(Closed, 2), again(3, 0)}},
	{Again, "rejected and closed", 1, nil, []history{published(0), come(2, 0), reject(2, 0), do(Leave, 2), do(Closed, 2), again(3, 0)}},
	{Again, "settled and closed, before it came over a slow line", 0, nil, []history{published(0), lines(Fault, 1<<3), come(2, 0), ack(2, 0), do(Leave, 2), do(Closed, 2), again(3, 0), do(Shut, 3)}},
	{Again, "settled and broken off", 0, nil, []history{published(0), come(2, 0), ack(2, 0), do(Shut, 2), again(3, 0)}},
	{Again, "held and closed", 0, nil, []history{published(0), come(2, 0), do(Leave, 2), do(Closed, 2), again(3, 0)}},
	{Again, "settled after it was taken away is not settled", 0, nil, []history{published(0), come(2, 0), node(Fault, 1<<2), again(3, 0), ack(2, 0), do(Closed, 2), do(Shut, 3), again(4, 0)}},

	{Unflagged, "as new", 1, nil, []history{published(0), come(2, 0), do(Shut, 2), come(3, 0)}},
	{Unflagged, "late, over a slow line, to one that was gone", 0, nil, []history{published(0), lines(Fault, 1<<3), again(2, 0), ack(2, 0), come(3, 0), rest(time.Second), do(Shut, 3)}},
	{Unflagged, "the same, told after its end", 0, nil, []history{published(0), lines(Fault, 1<<3), again(2, 0), ack(2, 0), do(Shut, 3), come(3, 0)}},
	{Unflagged, "over a slow line, to one that stays", 1, nil, []history{published(0), lines(Fault, 1<<3), again(2, 0), requeue(2, 0), come(3, 0)}},
	{Unflagged, "over a slow line, twice as new", 1, nil, []history{published(0), come(2, 0), do(Shut, 2), lines(Fault, 1<<3), come(3, 0), do(Shut, 3)}},
	{Unflagged, "to one whose connection ended at that moment", 0, nil, []history{published(0), do(Shut, 4), again(2, 0), ack(2, 0), come(3, 0), do(Shut, 3)}},
	{Unflagged, "to one whose connection ends soon", 1, nil, []history{published(0), node(Fault, 1<<3), again(2, 0), requeue(2, 0), come(3, 0), rest(200 * time.Millisecond), do(Shut, 3)}},
	{Unflagged, "the same, over a line that was slow long ago", 1, nil, []history{published(0), lines(Fault, 1<<3), lines(Heal, 1<<3), rest(3 * time.Second), again(2, 0), requeue(2, 0), come(3, 0), rest(200 * time.Millisecond), do(Shut, 3)}},
	{Unflagged, "marked", 0, nil, []history{published(0), come(2, 0), do(Shut, 2), again(3, 0)}},

	{Flagged, "in peace", 1, nil, []history{published(0), again(2, 0)}},
	{Flagged, "after a fault", 0, nil, []history{published(0), node(Fault, 1<<3), again(2, 0)}},

	{Forgot, "the count goes down", 1, nil, []history{published(0), counting(1, come(2, 0)), requeue(2, 0), counting(2, again(2, 0)), do(Shut, 2), counting(1, again(3, 0))}},
	{Forgot, "a lower one was long on its way", 0, nil, []history{published(0), lines(Fault, 1<<3), counting(0, come(2, 0)), requeue(2, 0), counting(2, again(2, 0)), requeue(2, 0), counting(1, again(3, 0)), do(Shut, 3)}},
	{Forgot, "the count goes up or stays", 0, nil, []history{published(0), counting(0, come(2, 0)), requeue(2, 0), counting(1, again(2, 0)), do(Shut, 2), counting(1, again(3, 0))}},

	{Doubled, "held by a healthy consumer", 1, nil, []history{published(0), come(2, 0), again(3, 0)}},
	{Doubled, "to the same consumer", 1, nil, []history{published(0), come(2, 0), again(2, 0)}},
	{Doubled, "while another node is hurt", 1, nil, []history{published(0), come(2, 0), node(Fault, 1<<4), again(3, 0)}},
	{Doubled, "its connection ends much later", 1, nil, []history{published(0), come(2, 0), again(3, 0), rest(3 * time.Second), do(Shut, 2)}},
	{Doubled, "it hears of its end in a moment", 0, nil, []history{published(0), come(2, 0), again(3, 0), do(Shut, 2)}},
	{Doubled, "its node is hurt", 0, nil, []history{published(0), come(2, 0), node(Fault, 1<<2), again(3, 0)}},
	{Doubled, "its node was hurt before it came", 1, nil, []history{node(Fault, 1<<2), node(Heal, 1<<2), {{Kind: Open, Client: 5, N: 2}}, published(0), come(5, 0), again(3, 0)}},
	{Doubled, "its node was hurt when it came", 0, nil, []history{node(Fault, 1<<2), {{Kind: Open, Client: 5, N: 2}}, node(Heal, 1<<2), published(0), come(5, 0), again(3, 0)}},
	{Doubled, "given back", 0, nil, []history{published(0), come(2, 0), requeue(2, 0), again(3, 0)}},

	{TakenBack, "settled by a healthy consumer", 1, nil, []history{published(0), come(2, 0), ack(2, 0), again(3, 0)}},
	{TakenBack, "settled, and long on its way to another that was gone", 0, nil, []history{published(0), come(4, 0), do(Shut, 4), lines(Fault, 1<<3), again(2, 0), ack(2, 0), again(3, 0), do(Shut, 3)}},
	{TakenBack, "settled, and over a slow line to one that stays", 1, nil, []history{published(0), come(4, 0), do(Shut, 4), lines(Fault, 1<<3), again(2, 0), ack(2, 0), again(3, 0)}},
	{TakenBack, "settled, and over a slow line to one that ends much later", 1, nil, []history{published(0), come(4, 0), do(Shut, 4), lines(Fault, 1<<3), again(2, 0), ack(2, 0), again(3, 0), rest(3 * time.Second), do(Shut, 3)}},
	{TakenBack, "settled by one that was lost", 0, nil, []history{published(0), come(2, 0), ack(2, 0), node(Fault, 1<<2), again(3, 0)}},

	{Reordered, "to one consumer", 1, nil, []history{published(0, 1, 2), come(2, 0, 2, 1)}},
	{Reordered, "what was lost on its way comes late, and marked", 0, nil, []history{published(0, 1, 2), come(2, 0, 2), do(Shut, 3), again(2, 1)}},
	{Reordered, "while another consumer stays", 1, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0), published(0, 1, 2), come(2, 0, 2, 1)}},
	{Reordered, "what was on its way to a consumer that ended", 0, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0), published(0, 1, 2), come(2, 0), do(Shut, 3), come(2, 2, 1)}},
	{Reordered, "what was on its way to a node that is hurt", 0, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0), published(0, 1, 2), come(2, 0), node(Fault, 1<<3), come(2, 2, 1)}},
	{Reordered, "what was on its way from a leader that is gone", 0, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0), published(0, 1, 2), come(2, 0), node(Fault, 1<<4), come(2, 2, 1)}},
	{Reordered, "of one consumer, whatever is hurt", 1, nil, []history{of(Attach, 2, 0, 0), published(0, 1, 2), come(2, 0), node(Fault, 1<<4), come(2, 2, 1)}},
	{Reordered, "long after a leader was gone", 1, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0), published(0, 1, 2), node(Fault, 1<<4), node(Heal, 1<<4), come(2, 0, 2), rest(20 * time.Second), come(2, 1)}},
	{Reordered, "long after another consumer ended", 1, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0), published(0, 1, 2), of(Detach, 3, 0, 0), come(2, 0, 2), rest(20 * time.Second), come(2, 1)}},
	{Reordered, "messages die in any order", 0, history{{Kind: Queue, ID: ID{Producer: 2}}}, []history{published(0, 1), come(2, 0, 1), reject(2, 1, 0), in(1, come(3, 1, 0))}},
	{Reordered, "to two consumers", 0, nil, []history{published(0, 1, 2), come(2, 0, 2), come(3, 1)}},
	{Reordered, "in a strict queue, to two consumers", 1, history{{Kind: Queue, Flag: Strict}}, []history{published(0, 1, 2), come(2, 0, 2), do(Shut, 2), come(3, 1)}},
	{Reordered, "in a strict queue, marked", 1, history{{Kind: Queue, Flag: Strict}}, []history{published(0, 1), do(Shut, 3), come(2, 1), again(2, 0)}},
	{Reordered, "what comes again comes in any order", 0, history{{Kind: Queue, Flag: Strict}}, []history{published(0, 1), come(2, 0, 1), do(Shut, 2), again(3, 1, 0)}},

	{Torn, "a part", 1, nil, []history{send(0, 1, 2), {{Kind: Doubt, ID: ID{1, 0}, N: 3}}, come(2, 0, 1)}},
	{Torn, "all", 0, nil, []history{send(0, 1, 2), {{Kind: Doubt, ID: ID{1, 0}, N: 3}}, come(2, 0, 1, 2)}},
	{Torn, "nothing", 0, nil, []history{send(0, 1, 2), {{Kind: Doubt, ID: ID{1, 0}, N: 3}}}},

	{Left, "counted", 1, nil, []history{{{Kind: Counted, N: 3, ID: ID{2, 0}}}}},
	{Left, "empty", 0, nil, []history{{{Kind: Counted, ID: ID{2, 0}}}}},

	{Early, "dead without a cause", 1, history{{Kind: Queue, ID: ID{Producer: 2}}}, []history{published(0), in(1, come(2, 0))}},
	{Early, "dead before its time", 1, history{{Kind: Queue, ID: ID{Producer: 2}, N: 5000}}, []history{published(0), rest(2 * time.Second), in(1, come(2, 0))}},
	{Early, "dead a little before its time", 1, history{{Kind: Queue, ID: ID{Producer: 2}, N: 5000}}, []history{published(0), rest(4800 * time.Millisecond), in(1, come(2, 0))}},
	{Early, "dead in its time", 0, history{{Kind: Queue, ID: ID{Producer: 2}, N: 5000}}, []history{published(0), rest(5 * time.Second), in(1, come(2, 0))}},
	{Early, "rejected", 0, history{{Kind: Queue, ID: ID{Producer: 2}}}, []history{published(0), come(2, 0), reject(2, 0), in(1, come(2, 0))}},

	{Late, "long after its time", 1, history{{Kind: Queue, N: 500}}, []history{published(0), rest(3 * time.Second), come(2, 0)}},
	{Late, "in its time", 0, history{{Kind: Queue, N: 500}}, []history{published(0), rest(time.Second), come(2, 0)}},
	{Late, "told by a node that slept", 0, history{{Kind: Queue, N: 500}}, []history{published(0), node(Fault, 1<<2), rest(3 * time.Second), come(2, 0)}},

	{Unburied, "rejected, and nowhere", 1, history{{Kind: Queue, ID: ID{Producer: 2}}}, []history{published(0), come(2, 0), reject(2, 0)}},
	{Unburied, "rejected by one that was lost, and back", 0, history{{Kind: Queue, ID: ID{Producer: 2}}}, []history{published(0), come(2, 0), reject(2, 0), do(Shut, 2), again(3, 0), ack(3, 0)}},

	{TwoActive, "both get messages", 1, history{{Kind: Queue, Flag: Single}}, []history{published(0, 1), come(2, 0), come(3, 1)}},
	{TwoActive, "one after the other", 0, history{{Kind: Queue, Flag: Single}}, []history{published(0, 1), come(2, 0), do(Detach, 2), come(3, 1)}},
	{TwoActive, "the other one gets what was long on its way", 0, history{{Kind: Queue, Flag: Single}}, []history{published(0, 1), lines(Fault, 1<<3), come(2, 0), come(3, 1), do(Shut, 3)}},
	{TwoActive, "the other one is lost", 0, history{{Kind: Queue, Flag: Single}}, []history{published(0, 1), come(2, 0), node(Fault, 1<<2), come(3, 1)}},

	{TwoOwners, "at once", 1, nil, []history{of(Attach, 2, Exclusive, 0), of(Attach, 3, Exclusive, 0)}},
	{TwoOwners, "one after the other", 0, nil, []history{of(Attach, 2, Exclusive, 0), of(Detach, 2, 0, 0), of(Attach, 3, Exclusive, 0)}},
	{TwoOwners, "not alone", 0, nil, []history{of(Attach, 2, 0, 0), of(Attach, 3, 0, 0)}},

	{Vanished, "declared and gone", 1, nil, []history{name(Declare, 4), name(Declared, 4), name(Missing, 4)}},
	{Vanished, "perhaps deleted", 0, nil, []history{name(Declare, 4), name(Declared, 4), name(Delete, 4), name(Missing, 4)}},
	{Revived, "deleted and there", 1, nil, []history{name(Declared, 4), name(Delete, 4), name(Deleted, 4), name(Present, 4)}},
	{Revived, "by a declare that had no answer", 0, nil, []history{name(Declare, 4), name(Delete, 4), name(Deleted, 4), name(Present, 4)}},
	{Revived, "the same, twice", 1, nil, []history{name(Declare, 4), name(Delete, 4), name(Deleted, 4), name(Present, 4), name(Delete, 4), name(Deleted, 4), name(Present, 4)}},
	{Revived, "the same, much later", 1, nil, []history{name(Declare, 4), name(Delete, 4), name(Deleted, 4), rest(2 * time.Minute), name(Present, 4)}},
	{Vanished, "by a delete that had no answer", 0, nil, []history{name(Delete, 4), name(Missing, 4), name(Declare, 4), name(Declared, 4), name(Missing, 4)}},
	{Revived, "declared anew", 0, nil, []history{name(Deleted, 4), name(Declare, 4), name(Present, 4)}},

	{Stuck, "nothing is confirmed", 1, nil, []history{published(0), come(2, 0), node(Fault, 1<<1), node(Heal, 1<<1), do(Calm, 0), rest(11 * time.Second)}},
	{Stuck, "confirmed too late", 1, nil, []history{published(0), come(2, 0), do(Calm, 0), rest(11 * time.Second), published(1), come(2, 1)}},
	{Stuck, "confirmed in time", 0, nil, []history{published(0), come(2, 0), do(Calm, 0), rest(2 * time.Second), published(1), come(2, 1), rest(20 * time.Second)}},
}

// A plant breaks its rule and no other; what is legal breaks none. Every rule has
// both: I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I12, I13, I14, I17.
func TestPlants(t *testing.T) {
	var broken, kept [rules]bool
	for _, p := range plants {
		t.Run(p.rule.String()+"/"+p.name, func(t *testing.T) {
			r := judge(p.queues, p.run...).Report()
			if got := r.Broken[p.rule]; got != p.want || r.Violations() != p.want {
				t.Errorf("broken %d times, want %d: %v\n%s", got, p.want, &r, strings.Join(r.Examples, "\n"))
			}
			if len(r.Examples) != r.Violations() {
				t.Errorf("%d examples of %d violations", len(r.Examples), r.Violations())
			}
		})
		broken[p.rule] = broken[p.rule] || p.want > 0
		kept[p.rule] = kept[p.rule] || p.want == 0
	}
	for r := range rules {
		if !broken[r] || !kept[r] {
			t.Errorf("%v has no history that breaks it, or none that is legal", r)
		}
	}
}

func TestVerdict(t *testing.T) {
	good := []history{published(0), node(Fault, 2), published(1), node(Heal, 2), come(2, 0, 1)}
	for _, row := range []struct {
		name    string
		run     []history
		drained bool
		want    string
	}{
		{"hurt, loaded, drained", good, true, Pass},
		{"not drained", good, false, Unknown},
		{"a rule is broken", append(good, come(2, 9)), false, Fail},
		{"nothing sent", []history{node(Fault, 2), node(Heal, 2)}, true, Unknown},
		{"most is not confirmed", []history{send(0, 1, 2), node(Fault, 2), confirm(0), come(2, 0)}, true, Unknown},
		{"nothing was hurt", []history{published(0), come(2, 0)}, true, Unknown},
		{"something was on its way", []history{send(0, 1), confirm(0), node(Fault, 2), node(Heal, 2), confirm(1), come(2, 0, 1)}, true, Pass},
		{"nothing was on its way", []history{published(0), node(Fault, 2), node(Heal, 2), come(2, 0)}, true, Unknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := judge(nil, row.run...).Report()
			if got, why := r.Verdict(row.drained); got != row.want || (got == Pass) != (why == "") {
				t.Errorf("%s (%s), want %s: %v", got, why, row.want, &r)
			}
		})
	}
}

// What was written is judged as it was when it happened.
func TestReplay(t *testing.T) {
	for _, p := range plants {
		var file bytes.Buffer
		now := time.Duration(0)
		o := JudgeOptions{Resume: 10 * time.Second, Slack: time.Second}
		rec := NewRecorder(&file, NewJudge(o), func() time.Duration { now += time.Millisecond; return now })
		for _, e := range slices.Concat(append([]history{p.queues}, p.run...)...) {
			if e.Kind == 0 {
				now += e.At
				continue
			}
			rec.Add(e)
		}
		if err := rec.Flush(); err != nil {
			t.Fatal(err)
		}
		j := NewJudge(o)
		if err := Replay(&file, j); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		was, is := rec.Report(), j.Report()
		if was.String() != is.String() {
			t.Errorf("%v/%s:\nwas %v\nis  %v", p.rule, p.name, &was, &is)
		}
	}
}

func TestParseEvent(t *testing.T) {
	e := Event{At: 1234567 * time.Microsecond, Kind: Deliver, Client: 1<<32 - 1, Queue: 63, ID: ID{7, 1 << 40}, N: 1<<64 - 1, Flag: 255}
	got, err := ParseEvent(e.Append(nil))
	if err != nil || got != e {
		t.Errorf("%+v, %v, want %+v", got, err, e)
	}
	for _, bad := range []string{"", "1 deliver", "1 nonsense 0 0 0 0 0 0", "x ack 0 0 0 0 0 0", "1 ack 0 256 0 0 0 0", "1 ack 0 0 0 0 0 0 0"} {
		if _, err := ParseEvent([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// Examples are bounded, whatever breaks.
func TestExamplesAreBounded(t *testing.T) {
	j := NewJudge(JudgeOptions{})
	for range 5 * maxExamples {
		j.Add(Event{Kind: Garbage})
	}
	if r := j.Report(); len(r.Examples) != maxExamples || r.Violations() != 5*maxExamples {
		t.Errorf("%d examples of %d", len(r.Examples), r.Violations())
	}
}

func BenchmarkJudge(b *testing.B) {
	j := NewJudge(JudgeOptions{})
	j.Add(Event{Kind: Queue})
	j.Add(Event{Kind: Routes, Client: 1, N: 1})
	j.Add(Event{Kind: Open, Client: 2})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := ID{1, uint64(i)}
		j.Add(Event{Kind: Send, ID: id})
		j.Add(Event{Kind: Confirm, ID: id})
		j.Add(Event{Kind: Deliver, Client: 2, ID: id})
		j.Add(Event{Kind: Ack, Client: 2, ID: id})
	}
}
