package checker

import (
	"math/bits"
	"slices"
	"time"
)

// Limits of a history.
const (
	maxQueues = 64
	// A consumer whose connection was closed by the broker may hear of it after
	// somebody else got what it held.
	hears = 2 * time.Second
	// What was sent to it before may also come, and be told of, behind what others
	// got: so long before its end at most, and hears over a slow line.
	crosses = 100 * time.Millisecond
	// The time that a message is stamped with is that of its leader's turn.
	grain = 100 * time.Millisecond
	// What was on its way to a consumer that ended comes to others after what they
	// have, as new, within this time.
	returns = 15 * time.Second
	// A declare or delete that nobody waits for any more is done within this time, or
	// not at all.
	undecided = time.Minute
)

// A Judge holds a history against the rules, event by event. It keeps eight bytes
// for a message in each queue, and no event.
//
// It expects of the run: a connection publishes, with numbers upwards from 0, each
// once, always to the same queues; it consumes, or it does not; a queue that has
// dead letters sends them to one other.
type Judge struct {
	o       JudgeOptions
	counts  Counts
	report  Report
	queues  [maxQueues]queue
	clients map[uint32]*client
	names   map[uint64]nameRecord
	doubts  []doubt
	accused []accusation
	hurt    map[int]int   // nodes that are hurt, and how often
	lines   map[int]line  // between nodes and their clients
	lasting int           // faults that were not healed
	healed  time.Duration // when the last one was
	shaken  bool          // something was hurt, or a connection ended
	calm    calm
	now     time.Duration
}

// JudgeOptions of a Judge.
type JudgeOptions struct {
	// Resume is how soon after Calm every queue has to confirm. Zero: never asked.
	Resume time.Duration
	// Slack is how much later than its time a message may come. None dies earlier,
	// but for the grain of the broker's clock.
	Slack time.Duration
}

type queue struct {
	known   bool
	flag    uint8
	ttl     time.Duration
	dead    int // -1: none
	active  uint32
	owner   uint32
	last    map[uint32]uint64        // strict queues: by producer, 1 + highest number that came
	readers map[uint32]time.Duration // its consumers, and when they ended; 0: not yet
	counts  map[ID]uint64            // deliveries so far, of messages that came again
}

// A client is one connection: a producer, a consumer, or both.
type client struct {
	node    int
	suspect bool // its node was hurt during its life, or it leaves
	ended   bool
	ordered bool // it ended in order

	routes    uint64
	sent      []uint8 // by number
	answered  int
	sentAt    []uint32
	confirmed []uint32 // when; ms; for queues with a time to live
	copies    [maxQueues][]copyState
	first     map[copyKey]uint64 // 1 + highest number of an unmarked first delivery to it
}

// A line is slow or not, since then.
type line struct {
	slow  bool
	since time.Duration
}

type copyKey struct {
	queue    uint8
	producer uint32
}

// A copyState is what is known of a message in a queue.
type copyState struct {
	state  uint8
	asNew  bool // it came unmarked
	holder uint32
}

// States of a copy. Beyond never each says that it came.
const (
	never uint8 = iota
	held
	acked
	given // back
	rejected
)

// Facts about a message.
const (
	wasSent = 1 << iota
	wasConfirmed
	wasRefused
)

type doubt struct {
	id ID
	n  uint64
}

// A nameRecord is what is known of a name. Who uses it asks for one thing at a time;
// what was not answered may be done yet.
type nameRecord struct {
	state      nameState
	asked      Kind                   // Declare or Delete, without an answer so far
	unanswered map[Kind]time.Duration // when it was given up last
}

type nameState uint8

const (
	nameUnknown nameState = iota
	nameThere
	nameGone
)

// An accusation stands unless one of two turns out to have been gone: who had the
// message, or who got it, to whom it was sent before then.
type accusation struct {
	at      time.Duration
	had, to *client
	crosses time.Duration
	rule    Rule
	format  string
	args    []any
}

// calm is what is asked for after all is healed.
type calm struct {
	begun   bool
	at      time.Duration
	waiting uint64 // queues that did not confirm since
}

// NewJudge returns a Judge without a history.
func NewJudge(o JudgeOptions) *Judge {
	j := &Judge{o: o, clients: map[uint32]*client{}, names: map[uint64]nameRecord{}, hurt: map[int]int{}, lines: map[int]line{}}
	for i := range j.queues {
		j.queues[i].dead = -1
	}
	return j
}

// Add judges the next event.
func (j *Judge) Add(e Event) {
	j.now = e.At
	switch e.Kind {
	case Queue:
		q := &j.queues[e.Queue%maxQueues]
		*q = queue{known: true, flag: e.Flag, ttl: time.Duration(e.N) * time.Millisecond, dead: int(e.ID.Producer) - 1}
		q.last, q.counts, q.readers = map[uint32]uint64{}, map[ID]uint64{}, map[uint32]time.Duration{}
	case Open, Routes, Leave, Closed, Shut:
		j.connection(e)
	case Send, Confirm, Refuse, Doubt:
		j.publish(e)
	case Attach, Detach:
		j.consumer(e)
	case Deliver:
		j.deliver(e)
	case Garbage:
		j.counts.Received++
		j.report.broke(Corrupted, "client %d got what nobody sent from queue %d at %v", e.Client, e.Queue, e.At)
	case Ack, Requeue, Reject:
		j.settle(e)
	case Fault, Heal:
		j.hurts(e)
	case Calm:
		j.calm = calm{begun: true, at: e.At}
		for _, c := range j.clients {
			j.calm.waiting |= c.routes
		}
	case Counted:
		if e.N != 0 {
			j.report.broke(Left, "node %d counts %d messages in queue %d, which was drained", e.ID.Producer, e.N, e.Queue)
		}
	case Declare, Declared, Delete, Deleted, Present, Missing:
		j.name(e)
	}
}

func (j *Judge) client(n uint32) *client {
	c := j.clients[n]
	if c == nil {
		c = &client{first: map[copyKey]uint64{}}
		j.clients[n] = c
	}
	return c
}

func (j *Judge) connection(e Event) {
	c := j.client(e.Client)
	switch e.Kind {
	case Open:
		c.node = int(e.N)
		c.suspect = j.hurt[c.node] > 0
	case Routes:
		c.routes = e.N
	case Leave:
		c.suspect, j.shaken = true, true
		j.detachAll(e)
	case Closed, Shut:
		j.detachAll(e)
		c.ended, c.ordered, j.shaken = true, e.Kind == Closed, true
		c.first = nil
		j.accused = slices.DeleteFunc(j.accused, func(a accusation) bool {
			return a.had == c && e.At-a.at <= hears || a.to == c && e.At-a.at <= a.crosses
		})
	}
}

// gone reports whether the broker may have taken what a client holds.
func (c *client) gone() bool { return c == nil || c.ended || c.suspect }

// accuse says that something may not have been done to a consumer that is healthy.
func (j *Judge) accuse(had *client, rule Rule, format string, args ...any) {
	j.accused = append(j.accused, accusation{at: j.now, had: had, rule: rule, format: format, args: args})
}

// accuseOf is accuse of a delivery, which may have been sent long before it came; had
// is nil if it may not have been made to anybody.
func (j *Judge) accuseOf(e Event, had *client, rule Rule, format string, args ...any) {
	a := accusation{at: j.now, had: had, to: j.client(e.Client), crosses: crosses, rule: rule, format: format, args: args}
	if a.to.ended {
		return // it came before, and is told after
	}
	if l, ok := j.lines[a.to.node]; ok && (l.slow || e.At-l.since <= hears) {
		a.crosses = hears
	}
	j.accused = append(j.accused, a)
}

func (j *Judge) publish(e Event) {
	c := j.client(e.ID.Producer)
	switch e.Kind {
	case Send:
		if e.ID.Seq != uint64(len(c.sent)) {
			return // the run's own mistake: it will be a phantom
		}
		c.sent = append(c.sent, wasSent)
		j.counts.Sent++
		if j.timed(c.routes) {
			c.sentAt, c.confirmed = append(c.sentAt, ms(e.At)), append(c.confirmed, 0)
		}
	case Confirm, Refuse:
		if e.ID.Seq >= uint64(len(c.sent)) {
			return
		}
		f := &c.sent[e.ID.Seq]
		fact := uint8(wasConfirmed)
		if e.Kind == Refuse {
			fact = wasRefused
		}
		if *f&fact != 0 {
			return
		}
		if *f&(wasConfirmed|wasRefused) == 0 {
			c.answered++
		}
		if *f |= fact; *f&(wasConfirmed|wasRefused) == wasConfirmed|wasRefused {
			j.report.broke(Recanted, "%v was confirmed and refused at %v", e.ID, e.At)
		}
		if e.Kind == Refuse {
			j.counts.Refused++
			return
		}
		j.confirmed(c, e)
	case Doubt:
		j.doubts = append(j.doubts, doubt{e.ID, e.N})
	}
}

func (j *Judge) confirmed(c *client, e Event) {
	j.counts.Confirmed++
	if j.lasting > 0 {
		j.counts.Under++
	}
	if c.confirmed != nil {
		c.confirmed[e.ID.Seq] = ms(e.At)
	}
	if j.calm.begun && (j.o.Resume == 0 || e.At-j.calm.at <= j.o.Resume) {
		j.calm.waiting &^= c.routes
	}
}

// timed reports whether one of some queues ends messages.
func (j *Judge) timed(routes uint64) bool {
	for ; routes != 0; routes &= routes - 1 {
		if j.queues[bits.TrailingZeros64(routes)].ttl > 0 {
			return true
		}
	}
	return false
}

func ms(d time.Duration) uint32 { return uint32(d.Milliseconds()) }

func (j *Judge) consumer(e Event) {
	q := &j.queues[e.Queue%maxQueues]
	switch e.Kind {
	case Attach:
		q.attach(e)
		if e.Flag&Exclusive == 0 {
			return
		}
		if q.owner != 0 && q.owner != e.Client {
			if o := j.clients[q.owner]; !o.gone() {
				j.accuse(o, TwoOwners, "queue %d: client %d consumes alone, and so does client %d at %v", e.Queue, q.owner, e.Client, e.At)
			}
		}
		q.owner = e.Client
	case Detach:
		q.detach(e)
		if q.owner == e.Client {
			q.owner = 0
		}
		if q.active == e.Client {
			q.active = 0
		}
	}
}

// attach notes a consumer, and forgets those that ended long ago.
func (q *queue) attach(e Event) {
	if q.readers == nil {
		return
	}
	for c, end := range q.readers {
		if end != 0 && e.At-end > returns {
			delete(q.readers, c)
		}
	}
	q.readers[e.Client] = 0
}

func (q *queue) detach(e Event) {
	if end, ok := q.readers[e.Client]; ok && end == 0 {
		q.readers[e.Client] = e.At
	}
}

func (j *Judge) detachAll(e Event) {
	for i := range j.queues {
		j.queues[i].detach(e)
	}
}

// returned reports whether messages may come to a consumer that were on their way
// to another one: to one that ended, or from a leader that is gone.
func (j *Judge) returned(q *queue, e Event) bool {
	led := j.lasting > 0 || j.counts.Faults > 0 && e.At-j.healed <= returns
	for c, end := range q.readers {
		if c != e.Client && (end != 0 && e.At-end <= returns || end == 0 && (led || j.client(c).suspect)) {
			return true
		}
	}
	return false
}

func (j *Judge) hurts(e Event) {
	j.shaken = true
	if e.Kind == Fault {
		j.counts.Faults++
		j.lasting++
		for _, c := range j.clients {
			if !c.ended {
				j.counts.Caught += len(c.sent) - c.answered
			}
		}
	} else {
		j.lasting--
		j.healed = e.At
	}
	for n := range 64 {
		if e.N>>n&1 == 0 {
			continue
		}
		if e.Flag&Slow != 0 {
			j.lines[n] = line{slow: e.Kind == Fault, since: e.At}
		}
		if e.Kind == Heal {
			j.hurt[n]--
			continue
		}
		j.hurt[n]++
		for _, c := range j.clients {
			if c.node == n && !c.ended {
				c.suspect = true
			}
		}
	}
}

func (j *Judge) name(e Event) {
	n := j.names[e.N]
	switch e.Kind {
	case Declared:
		n.state, n.asked = nameThere, 0
	case Deleted:
		n.state, n.asked = nameGone, 0
	default:
		n.giveUp(e.At)
	}
	switch e.Kind {
	case Declare, Delete:
		n.state, n.asked = nameUnknown, e.Kind
	case Present:
		if n.state == nameGone && !n.late(Declare, e.At) {
			j.report.broke(Revived, "name %d is there at %v, and was deleted", e.N, e.At)
		}
	case Missing:
		if n.state == nameThere && !n.late(Delete, e.At) {
			j.report.broke(Vanished, "name %d is gone at %v, and nobody deleted it", e.N, e.At)
		}
	}
	j.names[e.N] = n
}

// giveUp notes that what was asked for has no answer.
func (n *nameRecord) giveUp(at time.Duration) {
	if n.asked == 0 {
		return
	}
	if n.unanswered == nil {
		n.unanswered = map[Kind]time.Duration{}
	}
	n.unanswered[n.asked], n.asked = at, 0
}

// late reports whether something that was given up may have been done since: once.
func (n *nameRecord) late(what Kind, at time.Duration) bool {
	since, ok := n.unanswered[what]
	delete(n.unanswered, what)
	n.state = nameUnknown
	return ok && at-since <= undecided
}
