package member

import (
	"fmt"
	"slices"
	"time"
)

// A Send is a message for a member.
type Send struct {
	To      uint64
	Message Message
}

// An End asks for a logged command that ends an incarnation. It is asked for
// again every second until the View shows it done. Doing it twice is harmless.
type End struct {
	Number uint64
	// Witnesses are the incarnations of the voters that heard nothing. The
	// command is void unless all of them live where it is applied.
	Witnesses []uint64
	// Term in which this node leads. The command is void in an entry of another.
	Term uint64
	Why  Why
}

// Effects are what a Machine wants done. They hold until the next Take.
type Effects struct {
	Sends []Send
	Ends  []End
	// Over: this node's incarnation is over. It stops serving clients, and
	// registers again when it can.
	Over bool
	// Changed: Status is another one.
	Changed bool
}

// sentRing is how many beats are remembered by the time they were sent.
const sentRing = 64

// A Machine is one node's part in membership. Every method but Lease is called
// by one goroutine, with the node's Mono, which must not go back.
type Machine struct {
	o      Options
	lease  Lease
	roster Roster // as applied here
	set    uint64 // sum of its voters
	conf   Conf   // the newest known: the roster's or one from an answer
	leader Leader // its Node is zero when none is known
	term   uint64 // the highest of any leader
	now    time.Duration
	begun  bool // now is set
	born   time.Duration

	life life

	subjects []*subject // the live incarnations of others, by node
	round    uint64     // of the last report

	fx      Effects
	status  Status
	waiting []uint64 // ids of Status.Waiting
	spare   []uint64
	renamed bool   // names may have changed since
	worded  string // see wording
}

// A life is this node's current incarnation, as it sees itself.
type life struct {
	number   uint64
	listed   bool // the View has held it
	over     bool // Effects.Over was given
	draining bool
	repeat   time.Duration // when to ask again for its end

	seq      uint64
	sent     [sentRing]time.Duration // by seq
	nextBeat time.Duration
	peers    []*peer // those that get beats, by id
}

// A peer is a node that gets our beats. The times are when the newest beat was
// sent that it answered at all, and that it answered with yes in this life.
type peer struct {
	id       uint64
	any, yes time.Duration
	anyOK    bool
	yesOK    bool
}

// New returns the machine of a node that has no incarnation yet.
func New(o Options) (*Machine, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Machine{o: o.withDefaults()}, nil
}

// Lease returns what says whether the node may serve. It may be read by any
// goroutine.
func (m *Machine) Lease() *Lease { return &m.lease }

// Take moves what is wanted into fx and forgets it.
func (m *Machine) Take(fx *Effects) {
	*fx, m.fx = m.fx, Effects{Sends: fx.Sends[:0], Ends: fx.Ends[:0]}
}

// enter begins a step. A node that was stopped for a while has heard nothing
// because of itself, and judges nobody by it.
func (m *Machine) enter(now time.Duration) {
	now = max(now, m.now)
	if !m.begun || now-m.now > m.o.Lease/2 {
		if !m.begun {
			m.begun, m.born = true, now
		}
		m.startSilence(now)
	}
	m.now = now
}

// Begin starts a life: the catalog has registered this node under number.
func (m *Machine) Begin(now time.Duration, number uint64) {
	m.enter(now)
	if number == 0 || number <= m.life.number {
		return
	}
	m.life.number, m.life.listed, m.life.over = number, false, false
	for _, p := range m.life.peers {
		p.yesOK = false
	}
	m.lease.begin()
	m.life.nextBeat = m.now
	m.list()
	m.leave()
}

// GiveUp ends this node's life by its own will: it stops. The others are told.
func (m *Machine) GiveUp(now time.Duration) {
	m.enter(now)
	if m.life.number != 0 && !m.life.over {
		m.end()
		m.beat()
	}
	m.leave()
}

// Drain says whether the node is being emptied: it serves, and wants nothing new.
func (m *Machine) Drain(now time.Duration, draining bool) {
	m.enter(now)
	m.life.draining = draining
	m.leave()
}

// Roster gives what the View and the replica of the catalog's group now say.
func (m *Machine) Roster(now time.Duration, r Roster) {
	m.enter(now)
	moved := r.Conf.Index != m.roster.Conf.Index
	m.roster, m.set, m.renamed = r, r.Conf.sum(), true
	m.learn(r.Conf)
	m.list()
	m.meet()
	if moved {
		m.startSilence(m.now)
	}
	m.leave()
}

// learn takes a configuration if it is newer than what is known.
func (m *Machine) learn(c Conf) {
	if len(c.Voters) == 0 || len(m.conf.Voters) > 0 && c.Index < m.conf.Index {
		return
	}
	m.conf = c
	old := m.life.peers
	m.life.peers = nil
	for _, id := range c.targets(m.o.Self, nil) {
		p := &peer{id: id}
		if i := slices.IndexFunc(old, func(p *peer) bool { return p.id == id }); i >= 0 {
			p = old[i]
		}
		m.life.peers = append(m.life.peers, p)
	}
	slices.SortFunc(m.life.peers, func(a, b *peer) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
}

// list looks for this life in the roster.
func (m *Machine) list() {
	number := m.roster.incarnation(m.o.Self)
	switch {
	case m.life.number == 0 || m.life.over:
	case number == m.life.number:
		m.life.listed = true
	case m.life.listed, number > m.life.number:
		m.end() // ended by the cluster, or a newer one registered
	}
}

// incarnation returns the live incarnation of a node, or zero.
func (r *Roster) incarnation(node uint64) uint64 {
	for i := range r.Members {
		if r.Members[i].Node == node {
			return r.Members[i].Incarnation
		}
	}
	return 0
}

// Leader tells who leads the catalog's group.
func (m *Machine) Leader(now time.Duration, l Leader) {
	m.enter(now)
	if l.Term >= m.term && l != m.leader {
		m.term, m.leader = l.Term, l
		m.forgetReports()
	}
	m.leave()
}

// Receive takes a message of another node.
func (m *Machine) Receive(now time.Duration, from uint64, msg *Message) {
	m.enter(now)
	switch msg.Kind {
	case Beat:
		m.takeBeat(from, msg)
	case Answer:
		m.takeAnswer(from, msg)
	case Report:
		m.takeReport(from, msg)
	case CallOff:
		m.takeCallOff(msg)
	}
	m.leave()
}

// Tick lets time pass. It is due at Next.
func (m *Machine) Tick(now time.Duration) {
	m.enter(now)
	if m.now >= m.life.nextBeat {
		m.beat()
	}
	m.judge()
	m.endOwn()
	m.leave()
}

// leave ends a step: what follows from all of it.
func (m *Machine) leave() {
	m.renew()
	m.refresh()
}

// Next returns when Tick is due.
func (m *Machine) Next() time.Duration {
	next := m.life.nextBeat
	if until := m.lease.until.Load(); until > 0 {
		next = min(next, time.Duration(until))
	}
	for _, s := range m.subjects {
		next = min(next, m.due(s))
	}
	return max(next, m.now)
}

// beat sends one beat to everybody who gets them.
func (m *Machine) beat() {
	l := &m.life
	l.seq++
	l.sent[l.seq%sentRing] = m.now
	l.nextBeat = m.now + m.o.Beat
	if !m.lease.held() && !l.over {
		l.nextBeat = m.now + m.o.Beat/5 // waiting to serve
	}
	for _, p := range l.peers {
		m.send(p.id, Message{
			Kind: Beat, Incarnation: l.number, Seq: l.seq, Over: l.over, Conf: Conf{Index: m.conf.Index},
		})
	}
}

func (m *Machine) send(to uint64, msg Message) {
	m.fx.Sends = append(m.fx.Sends, Send{To: to, Message: msg})
}

// takeAnswer notes who answered. What counts is when the beat was sent.
func (m *Machine) takeAnswer(from uint64, msg *Message) {
	l := &m.life
	if msg.Conf.Index > m.conf.Index {
		m.learn(msg.Conf)
	}
	i := slices.IndexFunc(l.peers, func(p *peer) bool { return p.id == from })
	if i < 0 || msg.Seq == 0 || msg.Seq > l.seq || msg.Seq+sentRing <= l.seq {
		return
	}
	p, sent := l.peers[i], l.sent[msg.Seq%sentRing]
	p.any, p.anyOK = max(p.any, sent), true
	if msg.Yes && msg.Incarnation == l.number {
		if !p.yesOK {
			p.yes = sent
		}
		p.yes, p.yesOK = max(p.yes, sent), true
	}
}

// renew gives the lease what the answers allow, and ends the life whose lease
// has run out.
func (m *Machine) renew() {
	l := &m.life
	if l.number == 0 || l.over {
		return
	}
	if m.lease.held() && !m.lease.Valid(m.now) || m.lease.over() {
		m.end()
		return
	}
	if !l.listed {
		return
	}
	if until, ok := m.leaseUntil(); ok && !m.lease.set(m.now, until) {
		m.end()
	}
}

// leaseUntil returns until when the answers let this life serve.
func (m *Machine) leaseUntil() (until int64, ok bool) {
	if len(m.conf.Voters) == 0 {
		return 0, false
	}
	if len(m.conf.Outgoing) == 0 && len(m.conf.Voters) == 1 && m.conf.Voters[0] == m.o.Self {
		return leaseForever, true
	}
	until = leaseForever
	for _, set := range [][]uint64{m.conf.Voters, m.conf.Outgoing} {
		if len(set) > 0 {
			until = min(until, m.setUntil(set))
		}
	}
	return until, true
}

// setUntil returns until when a majority of one set of voters lets this life
// serve: from when the oldest beat was sent that the majority answered.
func (m *Machine) setUntil(set []uint64) int64 {
	var buf [maxSet]int64
	ends := buf[:0]
	for _, id := range set {
		end := int64(0) // never
		if id == m.o.Self {
			end = int64(m.now + m.o.Lease)
		} else if p := m.peer(id); p != nil && p.yesOK {
			end = int64(p.yes + m.o.Lease)
		}
		ends = append(ends, end)
	}
	slices.Sort(ends)
	return ends[(len(ends)-1)/2] // as many or more are above it as below: a majority reaches this far
}

func (m *Machine) peer(id uint64) *peer {
	for _, p := range m.life.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

// end ends this node's life for good.
func (m *Machine) end() {
	m.lease.end()
	m.life.over = true
	m.life.nextBeat = m.now
	m.fx.Over = true
}

// String returns where the machine stands, for a failing test.
func (m *Machine) String() string {
	return fmt.Sprintf("node %d life %d %s", m.o.Self, m.life.number, m.status.Text)
}
