package queue

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// A story tells one topic in a small language, see testdata/order. Messages have
// names. What the dispatcher decides is logged and applied at once, or waits for
// "log" after "delay-log".
type story struct {
	t *testing.T
	s Settings
	r *replica
	d *Dispatcher

	term  uint64
	now   int64
	log   []command
	queue []command // decided, waiting for "log"
	delay bool

	names      map[uint64]string
	seqs       map[string]uint64
	deliveries map[string][]Delivery
	consumers  map[string]ConsumerID
	refs       []string
	shared     map[string]*counter
}

// A counter is a channel's prefetch.
type counter struct{ n int }

func (c *counter) Take() bool {
	if c.n == 0 {
		return false
	}
	c.n--
	return true
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		st := &story{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			st.t = t
			run, ok := verbs[td.Cmd]
			if !ok {
				t.Fatalf("%s: unknown command %q", td.Pos, td.Cmd)
			}
			out := run(st, &args{td})
			if out == "" {
				return "ok"
			}
			return out
		})
	})
}

// args reads a command's arguments: words and key=value pairs.
type args struct{ td *datadriven.TestData }

func (a *args) words() (out []string) {
	for _, x := range a.td.CmdArgs {
		if len(x.Vals) == 0 {
			out = append(out, x.Key)
		}
	}
	return out
}

func (a *args) has(word string) bool { return slices.Contains(a.words(), word) }

func (a *args) text(key, otherwise string) string {
	for _, x := range a.td.CmdArgs {
		if x.Key == key && len(x.Vals) > 0 {
			return x.Vals[0]
		}
	}
	return otherwise
}

func (a *args) num(key string, otherwise int) int {
	n, err := strconv.Atoi(a.text(key, strconv.Itoa(otherwise)))
	if err != nil {
		a.td.Fatalf(nil, "%s: %v", key, err)
	}
	return n
}

func (a *args) limit(key string) Limit {
	if n := a.num(key, -1); n >= 0 {
		return AtMost(uint64(n))
	}
	return 0
}

// sessionOf reads "s1" (of incarnation 1 of node 1) or "2/1/s1".
func sessionOf(name string) SessionID {
	id := SessionID{Incarnation: Incarnation{1, 1}}
	if i := strings.LastIndex(name, "/"); i >= 0 {
		id.Incarnation, name = incarnation(name[:i]), name[i+1:]
	}
	n, _ := strconv.Atoi(strings.TrimLeft(name, "s"))
	id.Number = uint64(n)
	return id
}

func incarnation(name string) (i Incarnation) {
	if _, err := fmt.Sscanf(name, "%d/%d", &i.Node, &i.Number); err != nil {
		panic(fmt.Sprintf("incarnation %q: %v", name, err))
	}
	return i
}

func raises(s string) (r Raise) {
	for word := range strings.SplitSeq(s, "+") {
		r |= map[string]Raise{"acquired": RaiseAcquired, "failed": RaiseFailed, "tail": ToTail}[word]
	}
	return r
}

func (st *story) open(a *args) string {
	*st = story{
		t: st.t, now: 1000, term: 1,
		names: map[uint64]string{}, seqs: map[string]uint64{}, deliveries: map[string][]Delivery{},
		consumers: map[string]ConsumerID{}, shared: map[string]*counter{}, refs: []string{""},
	}
	st.s = settings(a)
	st.r = newReplica(st.s, uint64(a.num("start", 1)))
	st.d = NewDispatcher(st.r.l, Life{Term: 1})
	return ""
}

func settings(a *args) Settings {
	s := Settings{
		Memory: a.has("memory"), MaxPriority: uint8(a.num("priorities", 0)),
		MaxLength: a.limit("max-length"), MaxBytes: a.limit("max-bytes"),
		DeliveryLimit: a.limit("delivery-limit"), SingleActive: a.has("single-active"), Schedule: a.has("schedule"),
	}
	if a.text("overflow", "") == "reject" {
		s.Overflow = RejectPublish
	}
	return s
}

// decide logs what was decided and tells it.
func (st *story) decide(kind string, reason Reason, raise Raise, runs []Run) string {
	var b strings.Builder
	for _, r := range runs {
		c := command{kind: kind, run: r, reason: reason, raise: raise}
		what := kind
		if kind == "remove" {
			what = reason.String()
		}
		fmt.Fprintf(&b, "%s %s (%d, %d bytes)\n", what, st.named(r), r.N, r.Bytes)
		if st.delay {
			st.queue = append(st.queue, c)
		} else {
			st.commit(c)
		}
	}
	return b.String()
}

func (st *story) commit(c command) (uint64, uint32) {
	st.log = append(st.log, c)
	return st.r.apply(c)
}

// named lists the messages of a run by name.
func (st *story) named(r Run) string {
	var out []string
	for seq := r.Seq; seq < r.Seq+uint64(r.Span); seq++ {
		if name := st.names[seq]; name != "" && st.r.l.Live(seq) {
			out = append(out, name)
		}
	}
	if len(out) > 6 {
		return out[0] + ".." + out[len(out)-1]
	}
	return strings.Join(out, " ")
}

func (st *story) enqueue(a *args) string {
	names := a.words()
	for i := range a.num("n", 0) {
		names = append(names, fmt.Sprintf("%s%d", a.text("prefix", "m"), i+1))
	}
	for _, name := range names {
		r := Record{
			Body: Body{Index: uint64(len(st.log) + 1), Len: uint32(a.num("size", 10))}, Size: uint32(a.num("size", 10)),
			Priority: uint8(a.num("priority", 0)), Acquired: uint16(a.num("acquired", 0)),
		}
		if ttl := a.num("ttl", -1); ttl >= 0 {
			r.Expires = st.now + int64(ttl)
		}
		seq, _ := st.commit(command{kind: "enqueue", record: r})
		st.names[seq], st.seqs[name] = name, seq
	}
	return ""
}

func (st *story) spec(name string, a *args) ConsumerSpec {
	id, ok := st.consumers[name]
	if !ok {
		id = ConsumerID(len(st.refs))
		st.refs = append(st.refs, name)
		st.consumers[name] = id
	}
	c := ConsumerSpec{
		ID: id, Ref: uint64(id), Session: sessionOf(a.text("session", "s1")),
		NoAck: a.has("no-ack"), Exclusive: a.has("exclusive"), Priority: int32(a.num("priority", 0)),
		Prefetch: uint32(a.num("prefetch", 0)), Window: uint32(a.num("window", 0)),
		Metered: a.num("credit", -1) >= 0, Credit: uint32(a.num("credit", 0)),
	}
	if ch := a.text("shared", ""); ch != "" {
		c.Shared = st.shared[ch]
	}
	return c
}

func (st *story) consume(a *args) string {
	for _, name := range a.words() {
		if name == "no-ack" || name == "exclusive" {
			continue
		}
		if err := st.d.Add(st.spec(name, a)); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (st *story) delivery(d Delivery) string {
	name := st.names[d.Seq]
	st.deliveries[name] = append(st.deliveries[name], d)
	s := st.refs[d.Ref] + " <- " + name
	if d.Redelivered {
		s += " redelivered"
	}
	if d.Record.Failed > 0 {
		s += fmt.Sprintf(" failed=%d", d.Record.Failed)
	}
	return s + "\n"
}

var whys = map[Why]string{
	NotPaused: "done", NoMessage: "no message", NoCredit: "no credit", NeedPage: "needs page", NeedHorizon: "needs horizon",
	NeedExpiry: "needs expiry", LimitReached: "limit", Attaching: "attaching",
}

func (st *story) pause(p Pause) string {
	s := "pause: " + whys[p.Why]
	switch p.Why {
	case NeedPage:
		s += fmt.Sprintf(" %d", p.Page)
	case NeedHorizon, NeedExpiry:
		s += " for " + st.names[p.Seq]
	}
	return s + "\n"
}

// dispatch moves the horizon by itself unless it is told not to.
func (st *story) dispatch(a *args) string {
	var b strings.Builder
	for {
		if !a.has("keep-horizon") {
			for p, seq, ok := st.d.WantHorizon(); ok; p, seq, ok = st.d.WantHorizon() {
				st.commit(command{kind: "horizon", lane: p, horizon: seq})
			}
		}
		out, pause := st.d.Dispatch(st.now, a.num("max", 100), nil)
		for _, d := range out {
			b.WriteString(st.delivery(d))
		}
		if pause.Why == NeedHorizon && !a.has("keep-horizon") {
			continue
		}
		return b.String() + st.pause(pause)
	}
}

func (st *story) get(a *args) string {
	s := a.text("session", "s1")
	for {
		d, pause := st.d.Get(sessionOf(s), 0, st.now)
		switch pause.Why {
		case NotPaused:
			return s + strings.TrimSuffix(st.delivery(d), "\n") + fmt.Sprintf(", %d left\n", st.d.Ready().Messages)
		case NeedHorizon:
			p, seq, _ := st.d.WantHorizonForGet()
			st.commit(command{kind: "horizon", lane: p, horizon: seq})
		default:
			return st.pause(pause)
		}
	}
}

// holdingOf is the latest delivery of a message, or "the=n"th.
func (st *story) holdingOf(name string, a *args) (uint64, Holding) {
	ds := st.deliveries[name]
	n := a.num("delivery", len(ds))
	if n < 1 || n > len(ds) {
		st.t.Fatalf("%s was delivered %d times", name, len(ds))
	}
	return ds[n-1].Seq, ds[n-1].Holding
}

func (st *story) settle(a *args) string {
	var runs []Run
	var stale string
	for _, name := range a.words() {
		seq, h := st.holdingOf(name, a)
		if size, ok := st.d.Settle(seq, h); ok {
			runs = AppendRun(runs, seq, size)
		} else {
			stale += "stale " + name + "\n"
		}
	}
	return st.decide("settle", 0, 0, runs) + stale
}

func (st *story) giveBack(a *args) string {
	raise := raises(a.text("raise", "acquired"))
	var out string
	for _, name := range a.words() {
		seq, h := st.holdingOf(name, a)
		switch size, v := st.d.Return(seq, h, raise); v {
		case Return:
			out += st.decide("return", 0, raise, AppendRun(nil, seq, size))
		case Spend:
			out += st.decide("remove", Spent, 0, AppendRun(nil, seq, size))
		default:
			out += "stale " + name + "\n"
		}
	}
	return out
}

func (st *story) outcome(out Outcome, raise Raise) string {
	return st.decide("return", 0, raise, out.Returns) + st.decide("remove", Spent, 0, out.Spent)
}

// show counts what is there.
func (st *story) show(*args) string {
	r, h, t := st.d.Ready(), st.d.Held(), st.r.l.Total()
	return fmt.Sprintf("ready %d (%d bytes), held %d, total %d\n", r.Messages, r.Bytes, h.Messages, t.Messages)
}
