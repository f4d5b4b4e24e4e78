package queue

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The model is a list. Every message is ready, held, or on its way; what comes
// next is found by sorting.

type where uint8

const (
	isReady where = iota
	isHeld
	isAway
)

type message struct {
	seq, key  uint64
	rec       Record
	lane      uint8
	where     where
	by        int // index of the consumer
	holding   Holding
	delivered bool // at any time
}

type client struct {
	spec    ConsumerSpec
	gone    bool // cancelled; its session keeps what it holds
	holding int
}

type model struct {
	t       *rapid.T
	s       Settings
	log     []command
	pending []command // decided by the leader, not yet in the log
	leader  *replica
	d       *Dispatcher
	others  []*replica
	term    uint64
	life    uint64 // of the consumers' node
	now     int64
	body    uint32

	messages map[uint64]*message
	posts    bool // what dies is posted
	letters  []posted
	last     uint64 // letter
	sources  map[Source]*taken
	clients  []*client
	lost     [256]uint64
	stale    []Delivery
	accounts Counters
}

func (m *model) check(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

// commit logs a command and applies it everywhere.
func (m *model) commit(c command) {
	m.log = append(m.log, c)
	seq, n := m.leader.apply(c)
	for _, r := range m.others {
		if s2, n2 := r.apply(c); s2 != seq || n2 != n {
			m.t.Fatalf("%+v: replica says %d, %d; leader %d, %d", c, s2, n2, seq, n)
		}
	}
	m.learn(c, seq, n)
}

func (m *model) learn(c command, seq uint64, n uint32) {
	switch c.kind {
	case "enqueue":
		if m.messages[seq] != nil {
			m.t.Fatalf("sequence %d is used twice", seq)
		}
		m.messages[seq] = &message{seq: seq, key: seq, rec: c.record, lane: PriorityOf(seq)}
		if want := min(c.record.Priority, m.s.MaxPriority); PriorityOf(seq) != want {
			m.t.Fatalf("lane of %d, want %d", seq, want)
		}
		m.accounts.Enqueued++
	case "settle", "remove":
		m.each(c, n, func(x *message) { delete(m.messages, x.seq) })
	case "post":
		m.each(c, n, func(x *message) {
			delete(m.messages, x.seq)
			m.last++
			m.letters = append(m.letters, posted{Letter{Number: m.last, Seq: x.seq, At: c.at, Why: c.reason}, x.rec})
		})
	case "return":
		m.each(c, n, func(x *message) {
			if c.raise&RaiseAcquired != 0 {
				x.rec.Acquired++
			}
			if c.raise&RaiseFailed != 0 {
				x.rec.Failed++
			}
			if c.raise&ToTail != 0 {
				x.key = m.leader.l.NextSeq(x.lane)
			}
			x.where, x.holding = isReady, Holding{}
		})
	case "lost":
		for _, ln := range m.leader.l.lanes {
			m.lost[ln.priority] = max(m.lost[ln.priority], min(ln.horizon, ln.next-1))
		}
	}
}

// each visits what a run named, all of it on its way.
func (m *model) each(c command, n uint32, f func(*message)) {
	if n != c.run.N {
		m.t.Fatalf("%+v changed %d messages", c, n)
	}
	bytes := uint64(0)
	for seq := c.run.Seq; seq < c.run.Seq+uint64(c.run.Span); seq++ {
		if x := m.messages[seq]; x != nil {
			if x.where != isAway {
				m.t.Fatalf("%+v names %+v", c, x)
			}
			bytes += uint64(x.rec.Size)
			n--
			f(x)
		}
	}
	if n != 0 || bytes != c.run.Bytes {
		m.t.Fatalf("%+v: %d messages and %d bytes differ", c, n, bytes)
	}
}

func (m *model) ready() (out []*message) {
	for _, x := range m.messages {
		if x.where == isReady {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *message) int {
		return cmp.Or(cmp.Compare(b.lane, a.lane), cmp.Compare(a.key, b.key), cmp.Compare(a.seq, b.seq))
	})
	return out
}

func (m *model) may(c *client) bool {
	return !c.gone && (c.spec.NoAck || c.spec.Prefetch == 0 || c.holding < int(c.spec.Prefetch))
}

// best returns the highest priority of clients that may have a message.
func (m *model) best() (p int32, ok bool) {
	for _, c := range m.clients {
		if m.may(c) && (!ok || c.spec.Priority > p) {
			p, ok = c.spec.Priority, true
		}
	}
	return p, ok
}

func (m *model) decide(kind string, reason Reason, raise Raise, runs []Run) {
	for _, r := range runs {
		for seq := r.Seq; seq < r.Seq+uint64(r.Span); seq++ {
			if x := m.messages[seq]; x != nil {
				x.where = isAway
			}
		}
		if m.posts && kind == "remove" && reason != Purged {
			kind = "post"
		}
		m.pending = append(m.pending, command{kind: kind, run: r, reason: reason, raise: raise, at: m.now})
	}
}

func (m *model) release(x *message) {
	m.clients[x.by].holding--
	x.where = isAway
}

// resolve does what a pause asks for and reports whether to go on.
func (m *model) resolve(p Pause, get bool) bool {
	switch p.Why {
	case NeedPage:
		m.check(m.leader.install(p.Page))
		return true
	case NeedHorizon:
		priority, seq, ok := m.d.WantHorizon()
		if get && !ok {
			priority, seq, ok = m.d.WantHorizonForGet()
		}
		if !ok {
			m.t.Fatalf("a first delivery of %d waits and no horizon is wanted", p.Seq)
		}
		m.commit(command{kind: "horizon", lane: priority, horizon: seq})
		return true
	case NeedExpiry:
		m.expire()
		return true
	default:
		return false
	}
}

func (m *model) delivered(d Delivery, by int) {
	ready := m.ready()
	if len(ready) == 0 || ready[0].seq != d.Seq {
		m.t.Fatalf("delivered %d, want %v", d.Seq, ready[:min(1, len(ready))])
	}
	x := ready[0]
	if d.Record != x.rec {
		m.t.Fatalf("delivered %+v, want %+v", d.Record, x.rec)
	}
	flag := x.rec.Acquired > 0 || x.seq <= m.lost[x.lane]
	if d.Redelivered != flag || x.delivered && !flag {
		m.t.Fatalf("%+v is flagged %v", x, d.Redelivered)
	}
	if !x.delivered && x.key == x.seq && x.seq > m.leader.l.Horizon(x.lane) {
		m.t.Fatalf("first delivery of %d beyond the horizon", x.seq)
	}
	if x.rec.Expires != 0 && x.rec.Expires < m.now {
		m.t.Fatalf("%+v was delivered after its time %d", x, m.now)
	}
	x.where, x.by, x.holding, x.delivered = isHeld, by, d.Holding, true
	m.clients[by].holding++
	m.stale = append(m.stale, d)
}

func (m *model) dispatch() {
	n := rapid.IntRange(1, 30).Draw(m.t, "max")
	for {
		var out []Delivery
		var pause Pause
		for range n { // one by one, so that the model sees each choice
			best, ok := m.best()
			if out, pause = m.d.Dispatch(m.now, 1, out[:0]); len(out) == 0 {
				break
			}
			c := m.clients[out[0].Ref]
			if !ok || !m.may(c) || c.spec.Priority != best {
				m.t.Fatalf("delivered to %+v, best is %d", c, best)
			}
			m.delivered(out[0], int(out[0].Ref))
		}
		if pause.Why == NoMessage && len(m.ready()) > 0 {
			m.t.Fatalf("no message, but %d are ready", len(m.ready()))
		}
		if _, ok := m.best(); pause.Why == NoCredit && ok {
			m.t.Fatal("no credit, but a client may have a message")
		}
		if !m.resolve(pause, false) {
			return
		}
	}
}

func (m *model) expire() {
	var runs []Run
	for {
		var p Pause
		if runs, p = m.d.Expired(m.now, 1000, runs); p.Why != NeedPage {
			break
		}
		m.resolve(p, false)
	}
	for _, x := range m.ready() {
		if x.rec.Expires == 0 || x.rec.Expires > m.now {
			break
		}
		if !covers(runs, x.seq) {
			m.t.Fatalf("%+v is at the head and did not expire at %d", x, m.now)
		}
	}
	m.decide("remove", Expired, 0, runs)
}

func covers(runs []Run, seq uint64) bool {
	return slices.ContainsFunc(runs, func(r Run) bool { return seq >= r.Seq && seq < r.Seq+uint64(r.Span) })
}

func (m *model) node() Incarnation { return Incarnation{Node: 1, Number: m.life} }

// lead makes a new dispatcher. The consumers' node has ended, or it attaches.
func (m *model) lead(ended bool) {
	m.term++
	m.pending = nil
	for _, c := range m.clients {
		c.holding = 0
	}
	for _, x := range m.messages {
		x.where = isReady
	}
	m.d = NewDispatcher(m.leader.l, Life{Term: m.term, Waits: []Incarnation{m.node()}})
	if _, p := m.d.Dispatch(m.now, 1, nil); p.Why != Attaching {
		m.t.Fatalf("dispatches before anybody attached: %+v", p)
	}
	if !ended {
		m.attach(func(x *message) bool { return x.holding != Holding{} })
		return
	}
	var out Outcome
	m.d.EndIncarnation(m.node(), &out)
	if m.d.WantLost() {
		m.commit(command{kind: "lost"})
	}
	if !m.d.Open() || len(out.Returns)+len(out.Spent) > 0 {
		m.t.Fatalf("not open after the end of all: %+v", out)
	}
	for _, c := range m.clients {
		c.gone = true
	}
	for _, x := range m.messages {
		x.holding = Holding{}
	}
	m.life++
}

// attach lets the node report what it has: some of its consumers are gone, and
// some of its deliveries never reached it.
func (m *model) attach(held func(*message) bool) {
	var specs []ConsumerSpec
	for _, c := range m.clients {
		c.gone = c.gone || rapid.IntRange(0, 9).Draw(m.t, "cancelled") == 0
		if !c.gone {
			specs = append(specs, c.spec)
		}
	}
	var claims []Claim
	for _, x := range m.sorted(held) {
		if x.where == isHeld {
			m.clients[x.by].holding--
		}
		if rapid.IntRange(0, 4).Draw(m.t, "received") == 0 {
			x.where, x.delivered, x.holding = isReady, false, Holding{}
			continue
		}
		c := m.clients[x.by]
		claim := Claim{Seq: x.seq, Holding: x.holding, Size: x.rec.Size, Acquired: x.rec.Acquired, Session: c.spec.Session}
		if !c.gone {
			claim.Consumer = c.spec.ID
		}
		claims = append(claims, claim)
		x.where = isHeld
		c.holding++
	}
	// Of two claims of one message the later holding stands, whoever comes first.
	bogus := Claim{Seq: 1, Session: m.session()}
	if x := m.messages[1]; x == nil || x.where != isReady {
		claims = slices.Insert(claims, rapid.IntRange(0, len(claims)).Draw(m.t, "bogus"), bogus)
	}
	half := rapid.IntRange(0, len(claims)).Draw(m.t, "half")
	refused, err := m.d.Attach(m.node(), specs, claims[:half], false, nil)
	m.check(err)
	refused, err = m.d.Attach(m.node(), nil, claims[half:], true, refused)
	m.check(err)
	for _, c := range refused {
		if c != bogus {
			m.t.Fatalf("claim %+v was refused", c)
		}
	}
	if !m.d.Open() {
		m.t.Fatal("not open after all have attached")
	}
}

// sorted returns some messages by sequence.
func (m *model) sorted(which func(*message) bool) (out []*message) {
	for _, x := range m.messages {
		if which(x) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *message) int { return cmp.Compare(a.seq, b.seq) })
	return out
}

func isHeldNow(x *message) bool { return x.where == isHeld }

func (m *model) session() SessionID {
	return SessionID{Incarnation: m.node(), Number: rapid.Uint64Range(1, 4).Draw(m.t, "session")}
}

func (m *model) pick() *message {
	all := m.sorted(isHeldNow)
	if len(all) == 0 {
		m.t.Skip("nothing is held")
	}
	return rapid.SampledFrom(all).Draw(m.t, "held")
}

func (m *model) raise() Raise {
	return RaiseAcquired | rapid.SampledFrom([]Raise{0, 0, RaiseFailed, ToTail}).Draw(m.t, "raise")
}

// invariant compares what can be counted.
func (m *model) invariant() {
	var ready, held, total Amount
	for _, x := range m.messages {
		total.add(1, uint64(x.rec.Size))
		switch x.where {
		case isReady:
			ready.add(1, uint64(x.rec.Size))
		case isHeld:
			held.add(1, uint64(x.rec.Size))
		}
	}
	if got := [3]Amount{m.d.Ready(), m.d.Held(), m.leader.l.Total()}; got != [3]Amount{ready, held, total} {
		m.t.Fatalf("ready, held, total are %v, want %v", got, [3]Amount{ready, held, total})
	}
	m.holders()
	m.checkLetters()
	digest := m.leader.l.Digest()
	for i, r := range m.others {
		if r.l.Digest() != digest {
			m.t.Fatalf("digest of replica %d differs", i+1)
		}
	}
	c := m.leader.l.Counters()
	if c.Enqueued != m.accounts.Enqueued || c.Enqueued != c.Settled+c.Expired+c.Dropped+c.Purged+c.Rejected+c.Spent+c.Cleared+total.Messages {
		m.t.Fatalf("accounts do not add up: %+v with %d there", c, total.Messages)
	}
	hot := 0
	for p := range m.leader.l.Pages() {
		if pg := m.leader.l.pageByID(p.ID); pg.base < pg.end {
			hot++
		}
	}
	if hot != m.leader.l.HotPages() {
		m.t.Fatalf("%d pages are hot, counted %d", hot, m.leader.l.HotPages())
	}
}

// holders wants nothing kept of whom has gone and holds nothing.
func (m *model) holders() {
	alive := 0
	for _, c := range m.clients {
		if !c.gone {
			alive++
		}
	}
	if m.d.Consumers() != alive || len(m.d.byID) != alive {
		m.t.Fatalf("%d consumers, %d by id, want %d", m.d.Consumers(), len(m.d.byID), alive)
	}
	kept, claims := 0, 0
	for _, h := range m.d.holders {
		if h == nil {
			continue
		}
		if kept++; (h.getter || h.cancelled) && h.held == 0 {
			m.t.Fatalf("holder %+v is kept", h)
		}
	}
	inSessions := 0
	for _, s := range m.d.sessions {
		inSessions += len(s.holders)
	}
	for _, x := range m.messages {
		if x.where == isHeld && x.holding.Term != m.term {
			claims++
		}
	}
	if inSessions != kept || len(m.d.claims) != claims {
		m.t.Fatalf("%d holders, %d in sessions; %d claims, want %d", kept, inSessions, len(m.d.claims), claims)
	}
}

func (m *model) all() []*replica { return append([]*replica{m.leader}, m.others...) }

func (m *model) replica() *replica { return rapid.SampledFrom(m.all()).Draw(m.t, "replica") }

func (m *model) enqueue(n int) {
	priority := uint8(0)
	if m.s.MaxPriority > 0 {
		priority = rapid.Uint8Range(0, m.s.MaxPriority+2).Draw(m.t, "priority")
	}
	for range n {
		m.body++
		r := Record{
			Body: Body{Index: uint64(len(m.log) / 10), Off: m.body, Len: 100}, Priority: priority,
			Size: rapid.Uint32Range(0, 300).Draw(m.t, "size"),
		}
		if rapid.IntRange(0, 3).Draw(m.t, "expiring") == 0 {
			r.Expires = m.now + rapid.Int64Range(0, 20).Draw(m.t, "ttl")
		}
		m.commit(command{kind: "enqueue", record: r})
	}
}

func (m *model) someClient() int {
	var alive []int
	for i, c := range m.clients {
		if !c.gone {
			alive = append(alive, i)
		}
	}
	if len(alive) == 0 {
		m.t.Skip("no consumer")
	}
	return rapid.SampledFrom(alive).Draw(m.t, "client")
}

// ended expects exactly the holdings of some clients to come back.
func (m *model) ended(who func(*client) bool, raise Raise, out Outcome) {
	limit, limited := m.s.DeliveryLimit.Set()
	for _, x := range m.messages {
		back, spent := covers(out.Returns, x.seq), covers(out.Spent, x.seq)
		if x.where != isHeld || !who(m.clients[x.by]) {
			if back || spent {
				m.t.Fatalf("%+v was given back", x)
			}
			continue
		}
		over := raise&RaiseFailed != 0 && limited && uint64(x.rec.Failed)+1 > limit
		if back == over || spent != over {
			m.t.Fatalf("%+v: back %v, spent %v", x, back, spent)
		}
		m.release(x)
	}
	for _, c := range m.clients {
		c.gone = c.gone || who(c)
	}
	m.decide("return", 0, raise, out.Returns)
	m.decide("remove", Spent, 0, out.Spent)
}

// TestModel drives leader and followers with the same log and different fates
// against the list.
func TestModel(t *testing.T) {
	limited := Settings{MaxLength: AtMost(30), MaxBytes: AtMost(4000), DeliveryLimit: AtMost(1)}
	for _, c := range []struct {
		s     Settings
		posts bool
	}{{}, {s: Settings{MaxPriority: 3}}, {s: limited}, {s: limited, posts: true}, {s: Settings{MaxPriority: 2}, posts: true}} {
		s := c.s
		t.Run(fmt.Sprintf("priorities=%d/length=%d/posts=%v", s.MaxPriority, s.MaxLength, c.posts), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &model{t: t, s: s, posts: c.posts, messages: map[uint64]*message{}, sources: map[Source]*taken{}, now: 1000}
				start := rapid.SampledFrom([]uint64{1, PageSize - 15, 3*PageSize - 5}).Draw(t, "start")
				m.leader = newReplica(s, start)
				m.others = []*replica{newReplica(s, start), newReplica(s, start)}
				m.lead(true)
				t.Repeat(m.actions())
			})
		})
	}
}
