package member

import (
	"fmt"
	"slices"
	"time"

	"github.com/warrenmq/warren/internal/sim"
)

// A plant is a bug that the simulation must find.
type plant string

// The plants change what a machine is given or keeps, or what the model of the
// catalog does with a command; the machine itself has no switch for them.
const (
	leaseFromReceive  plant = "the lease counts from the answer, not from the beat"
	shortSilence      plant = "voters report after 1.2 s"
	answersOn         plant = "a voter answers on after it reported"
	noTerm            plant = "a command of an older term takes effect"
	noStart           plant = "a voter does not count from its own start"
	clocksDiffer      plant = "clocks differ by a third"
	extendsAfterwards plant = "a lease that ran out is extended again"
	proofOfNow        plant = "a proof of death counts for whoever lives when it comes"
)

// A world simulates nodes, their clocks, their network and a catalog.
type world struct {
	*sim.World
	net   *sim.Network[[]byte]
	nodes []*node // by id - 1
	plant plant
	// straggling: some messages take a hundred times as long as others.
	straggling bool
	// late: proofs of death come late.
	late bool

	// The catalog: what was committed, and the state after each entry.
	states  []state
	ended   map[uint64]Why // by number
	owner   map[uint64]uint64
	leader  uint64
	term    uint64
	vacant  time.Duration // when the next leader is elected, if it is time for one
	deposed uint64
	pending []*proposal

	bad    string // the first thing that must not happen
	counts struct{ silent, gone, over, served, calls, confs int }
}

type state struct {
	Roster
	nonce map[uint64]uint64 // by node, of the live incarnation
	last  uint64
}

type proposal struct {
	by, term uint64
	apply    func(term uint64)
	done     bool
}

type node struct {
	w       *world
	id      uint64
	m       *Machine // nil: down
	base    time.Duration
	rate    float64 // of its clock
	started time.Duration
	process int // counts starts

	applied   int
	began     uint64 // the configuration it found at its start, and how much later
	skew      uint64 // than that was made the process begins
	nonce     uint64
	asking    bool
	leader    Leader
	paused    bool
	held      []func() // what arrived in a pause
	tickAt    time.Duration
	fx        Effects
	stopped   bool // for good
	waitUntil time.Duration
}

type setup struct {
	nodes, voters int
	weather       sim.Weather
	drift         float64
	plant         plant
}

func newWorld(seed uint64, s setup) *world {
	w := &world{World: sim.NewWorld(seed), plant: s.plant, ended: map[uint64]Why{}, owner: map[uint64]uint64{}}
	w.net = sim.NewNetwork(w.World, func(from, to uint64, b []byte) {
		w.node(to).input(func(n *node) { n.receive(from, b) })
	})
	w.net.Weather = s.weather
	first := state{nonce: map[uint64]uint64{}}
	first.Conf.Index = confStep
	for id := uint64(1); id <= uint64(s.nodes); id++ {
		n := &node{w: w, id: id}
		n.rate = 1 + s.drift*(2*w.Rand.Float64()-1)
		n.base = time.Duration(w.Rand.Int64N(int64(time.Hour)))
		w.nodes = append(w.nodes, n)
		first.Members = append(first.Members, Member{Node: id, Name: fmt.Sprintf("rabbit@%c", 'a'+id-1)})
		if int(id) <= s.voters {
			first.Conf.Voters = append(first.Conf.Voters, id)
		} else {
			first.Conf.Learners = append(first.Conf.Learners, id)
		}
	}
	w.states = []state{first}
	for _, n := range w.nodes {
		w.After(w.Between(0, 300*time.Millisecond), n.start)
	}
	w.raft()
	return w
}

func (w *world) node(id uint64) *node { return w.nodes[id-1] }

func (w *world) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf("at %v: ", w.Now()) + fmt.Sprintf(format, args...)
	}
}

func (w *world) last() *state { return &w.states[len(w.states)-1] }

// both reports whether two nodes can talk.
func (w *world) both(a, b uint64) bool { return a == b || w.oneWay(a, b) && w.oneWay(b, a) }

func (w *world) oneWay(a, b uint64) bool { return !w.net.Blocked(a, b) }

func (n *node) up() bool { return n.m != nil && !n.paused }

// quorate reports whether a node could lead: up, a voter, and in touch with a
// majority of those that are up.
func (w *world) quorate(id uint64) bool {
	conf := &w.last().Conf
	return w.node(id).up() && conf.voter(id) && conf.majority(func(v uint64) bool { return w.node(v).up() && w.both(id, v) })
}

// raft runs elections, and carries the log to whoever the leader reaches.
func (w *world) raft() {
	if w.leader != 0 && !w.quorate(w.leader) || w.leader == 0 {
		if w.vacant == 0 {
			w.vacant = w.Now() + w.Between(200*time.Millisecond, 1500*time.Millisecond)
		}
	} else {
		w.vacant = 0
	}
	if w.vacant != 0 && w.Now() >= w.vacant {
		w.elect()
	}
	for _, n := range w.nodes {
		if n.m != nil && w.leader != 0 && w.oneWay(w.leader, n.id) && w.Chance(0.7) {
			n.input(func(n *node) { n.catchUp() })
		}
	}
	w.After(w.Between(10*time.Millisecond, 40*time.Millisecond), w.raft)
}

// depose makes the leader lose its place though nothing is wrong with it. It
// learns of it when it is told.
func (w *world) depose() {
	if w.leader != 0 {
		w.deposed, w.leader, w.vacant = w.leader, 0, w.Now()+w.Between(0, 300*time.Millisecond)
	}
}

func (w *world) elect() {
	var able []uint64
	for _, id := range w.last().Conf.Voters {
		if w.quorate(id) {
			able = append(able, id)
		}
	}
	if len(able) == 0 {
		return
	}
	old, oldTerm := w.leader, w.term
	if old == 0 {
		old = w.deposed
	}
	w.deposed = 0
	w.term++
	w.leader, w.vacant = able[w.Rand.IntN(len(able))], 0
	term, leader := w.term, w.leader
	w.Logf("node %d leads in term %d", leader, term)
	if old != 0 && old != leader {
		// The old one goes on believing for a while.
		o := w.node(old)
		w.After(w.Between(0, 2*time.Second), func() {
			o.input(func(n *node) {
				if n.leader.Node == n.id && n.leader.Term == oldTerm {
					n.follow(Leader{Term: oldTerm})
				}
			})
		})
	}
	// What was proposed to the old one and reached the new one is committed with
	// the new one's first entry, which takes its time; the rest is lost.
	inherited := w.pending
	w.pending = nil
	w.After(w.Between(5*time.Millisecond, 1500*time.Millisecond), func() {
		if w.term != term {
			return
		}
		for _, p := range inherited {
			if !p.done && w.Chance(0.6) {
				p.done = true
				p.apply(p.term)
			}
		}
		w.commit(func(*state) {})
		w.node(leader).input(func(n *node) {
			n.catchUp()
			if w.term == term {
				n.follow(Leader{Node: n.id, Term: term})
			}
		})
		for _, n := range w.nodes {
			if n.id != leader {
				w.tellLeader(n, Leader{Node: leader, Term: term})
			}
		}
	})
}

// tellLeader lets a follower know, once it is in touch.
func (w *world) tellLeader(n *node, l Leader) {
	w.After(w.Between(time.Millisecond, 100*time.Millisecond), func() {
		if w.term != l.Term {
			return
		}
		if n.m != nil && w.oneWay(l.Node, n.id) {
			n.input(func(n *node) { n.follow(l) })
		}
		w.tellLeader2(n, l)
	})
}

func (w *world) tellLeader2(n *node, l Leader) {
	w.After(200*time.Millisecond, func() { w.tellLeader(n, l) })
}

// commit appends the state after one more entry.
func (w *world) commit(change func(s *state)) {
	was := w.last()
	s := state{Roster: was.Roster, nonce: map[uint64]uint64{}, last: was.last}
	s.Members = slices.Clone(was.Members)
	for k, v := range was.nonce {
		s.nonce[k] = v
	}
	change(&s)
	w.states = append(w.states, s)
}

// propose tries to have a command committed by a node that believes it leads.
func (w *world) propose(by, term uint64, apply func(term uint64)) {
	p := &proposal{by: by, term: term, apply: apply}
	if w.leader == by && w.term == term {
		w.pending = append(w.pending, p)
	}
	delay := w.Between(2*time.Millisecond, 50*time.Millisecond)
	if w.Chance(0.2) {
		delay = w.Between(0, 2*time.Second)
	}
	w.After(delay, func() {
		w.pending = slices.DeleteFunc(w.pending, func(o *proposal) bool { return o == p })
		if p.done {
			return
		}
		p.done = true
		switch {
		case w.leader == by && w.term == term && w.quorate(by):
			apply(term)
		case w.Chance(0.5):
			// Machinery that sends again what was not answered: in a later term.
			w.After(w.Between(0, time.Second), func() {
				if w.leader == by && w.quorate(by) {
					apply(w.term)
				}
			})
		}
	})
}

// applyEnd is what the catalog does with the command, in an entry of a term.
func (w *world) applyEnd(e End, term uint64) {
	s := w.last()
	x := w.owner[e.Number]
	if s.incarnation(x) != e.Number || e.Term != term && w.plant != noTerm {
		return
	}
	for _, witness := range e.Witnesses {
		if s.incarnation(w.owner[witness]) != witness {
			return
		}
	}
	n := w.node(x)
	w.Logf("incarnation %d of node %d ends: %v, witnesses %v", e.Number, x, e.Why, e.Witnesses)
	w.Note(e.Number, uint64(e.Why))
	w.commit(func(s *state) { s.Members[x-1].Incarnation = 0 })
	w.ended[e.Number] = e.Why
	switch e.Why {
	case Silent:
		w.counts.silent++
	case Gone:
		w.counts.gone++
		if n.m != nil && n.m.life.number == e.Number {
			w.fail("incarnation %d of node %d was ended as gone and lives", e.Number, x)
		}
	case Over:
		w.counts.over++
	}
	n.checkLease("when it was ended")
}

func (w *world) register(id, nonce uint64) {
	w.commit(func(s *state) {
		s.last++
		s.Members[id-1].Incarnation = s.last
		s.nonce[id] = nonce
		w.owner[s.last] = id
		w.Logf("node %d registers as %d", id, s.last)
	})
}

// mono is the node's own clock.
func (n *node) mono() time.Duration {
	return n.base + time.Duration(float64(n.w.Now()-n.started)*n.rate)
}

func (n *node) start() {
	if n.m != nil || n.stopped {
		return
	}
	o := Options{Self: n.id}
	m, err := New(o)
	if err != nil {
		panic(err)
	}
	if n.w.plant == shortSilence {
		m.o.Silence = 1200 * time.Millisecond
	}
	n.m, n.nonce, n.asking, n.leader, n.paused, n.held, n.tickAt = m, n.w.Rand.Uint64(), false, Leader{}, false, nil, 0
	n.process++
	n.base, n.started = time.Duration(n.w.Rand.Int64N(int64(time.Hour))), n.w.Now()
	n.applied = max(0, n.applied-n.w.Rand.IntN(4))
	n.began, n.skew = n.w.states[n.applied].Conf.Index, (n.id*7919+uint64(n.process)*104729)%confStep
	n.w.Logf("node %d starts", n.id)
	n.step(func() { m.Roster(n.mono(), n.roster()) })
	n.live(n.process)
}

func (n *node) kill() {
	if n.m == nil {
		return
	}
	n.w.Logf("node %d is killed", n.id)
	n.m, n.paused, n.held = nil, false, nil
	if n.w.leader == n.id {
		n.w.leader = 0
	}
}

// input hands something to a running node, after its pause if it has one.
func (n *node) input(f func(n *node)) {
	switch process := n.process; {
	case n.m == nil:
	case n.paused:
		n.held = append(n.held, func() {
			if n.m != nil && n.process == process {
				f(n)
			}
		})
	default:
		f(n)
	}
}

func (n *node) pause(d time.Duration) {
	if !n.up() {
		return
	}
	n.w.Logf("node %d is stopped for %v", n.id, d)
	n.paused = true
	process := n.process
	n.w.After(d, func() {
		if n.process != process || n.m == nil {
			return
		}
		n.w.Logf("node %d goes on", n.id)
		n.paused = false
		held := n.held
		n.held = nil
		for _, f := range held {
			f()
		}
		n.tickAt = 0
		n.step(func() { n.m.Tick(n.mono()) })
	})
}

// step runs one step of the machine and does what it wants.
func (n *node) step(f func()) {
	process := n.process
	f()
	n.m.Take(&n.fx)
	for _, s := range n.fx.Sends {
		n.w.net.Send(n.id, s.To, s.Message.Append(nil))
		if s.Message.Kind == CallOff {
			n.w.counts.calls++
		}
	}
	for _, e := range n.fx.Ends {
		n.w.propose(n.id, e.Term, func(term uint64) { n.w.applyEnd(e, term) })
	}
	if n.m != nil && n.process == process {
		n.checkLease("later")
		n.schedule()
	}
}

func (n *node) schedule() {
	at := n.w.Now() + max(0, time.Duration(float64(n.m.Next()-n.mono())/n.rate)) + 1
	if n.tickAt > n.w.Now() && n.tickAt <= at {
		return
	}
	n.tickAt = at
	process := n.process
	n.w.After(at-n.w.Now(), func() {
		if n.up() && n.process == process && n.tickAt == at {
			n.tickAt = 0
			n.step(func() { n.m.Tick(n.mono()) })
		}
	})
}

// live is what a node does besides: it registers when it has no life.
func (n *node) live(process int) {
	n.w.After(n.w.Between(20*time.Millisecond, 60*time.Millisecond), func() {
		if n.m == nil || n.process != process {
			return
		}
		w := n.w
		if n.up() && !n.asking && n.w.Now() >= n.waitUntil && (n.m.life.number == 0 || n.m.life.over) && n.leader.Node != 0 && w.leader != 0 && w.both(n.id, w.leader) {
			n.asking, n.nonce = true, w.Rand.Uint64()
			nonce := n.nonce
			w.propose(w.leader, w.term, func(uint64) {
				if n.m != nil && n.process == process && n.nonce == nonce {
					w.register(n.id, nonce)
				}
			})
			w.After(time.Second, func() { n.asking = false })
		}
		n.live(process)
	})
}

// confStep is how many entries there are from one configuration to the next.
const confStep = 1000

func (n *node) roster() Roster {
	r := n.w.states[n.applied].Roster
	if r.Conf.Index == n.began {
		r.Conf.Index += n.skew
	}
	return r
}

// catchUp applies what the leader has sent, perhaps not all of it.
func (n *node) catchUp() {
	to := len(n.w.states) - 1
	if n.id != n.w.leader && to-n.applied > 1 && n.w.Chance(0.3) {
		to = n.applied + 1
	}
	n.catchUpTo(to)
}

func (n *node) catchUpTo(to int) {
	if to <= n.applied {
		return
	}
	n.applied = to
	s := &n.w.states[to]
	n.step(func() {
		n.m.Roster(n.mono(), n.roster())
		if n.w.plant == noStart {
			for _, x := range n.m.subjects {
				if x.seen == x.since {
					x.since -= 10 * time.Second
				}
			}
		}
		if number := s.incarnation(n.id); number != 0 && s.nonce[n.id] == n.nonce && number > n.m.life.number {
			n.m.Begin(n.mono(), number)
			n.asking = false
		}
	})
}

func (n *node) follow(l Leader) {
	if n.leader == l || l.Term < n.leader.Term {
		return
	}
	n.leader = l
	n.step(func() { n.m.Leader(n.mono(), l) })
}

func (n *node) receive(from uint64, b []byte) {
	msg, err := Decode(b)
	if err != nil {
		panic(err)
	}
	restore := func() {}
	switch {
	case n.w.plant == leaseFromReceive && msg.Kind == Answer:
		n.m.life.sent[msg.Seq%sentRing] = n.mono()
	case n.w.plant == extendsAfterwards && msg.Kind == Answer && n.m.lease.over():
		n.m.life.over = n.w.states[n.applied].incarnation(n.id) != n.m.life.number
		if !n.m.life.over {
			n.m.lease.begin()
		}
	case n.w.plant == answersOn && msg.Kind == Beat:
		if s := n.m.subject(msg.Incarnation); s != nil && s.reported {
			s.reported = false
			restore = func() { s.reported = true }
		}
	}
	n.step(func() {
		n.m.Receive(n.mono(), from, &msg)
		restore()
	})
}

// checkLease is the property: what was ended by the others serves nothing, by
// its own clock, from then on.
func (n *node) checkLease(when string) {
	if n.m == nil {
		return
	}
	number := n.m.life.number
	why, ended := n.w.ended[number]
	if !ended || why == Gone {
		return
	}
	if until := time.Duration(n.m.lease.until.Load()); until > n.mono() {
		n.w.fail("incarnation %d of node %d, ended because %v, may serve %v longer %s", number, n.id, why, until-n.mono(), when)
	}
}
