package checker

import (
	"fmt"
	"math/bits"
	"time"
)

func (j *Judge) deliver(e Event) {
	j.counts.Received++
	marked := e.Flag&Redelivered != 0
	if marked {
		j.counts.Marked++
	}
	p := j.clients[e.ID.Producer]
	if p == nil || e.ID.Seq >= uint64(len(p.sent)) {
		j.report.broke(Phantom, "%v came from queue %d to client %d at %v, and was never sent", e.ID, e.Queue, e.Client, e.At)
		return
	}
	q := &j.queues[e.Queue%maxQueues]
	if p.routes>>e.Queue&1 == 0 && !j.died(p, e) {
		return
	}
	if p.sent[e.ID.Seq]&wasRefused != 0 {
		j.report.broke(Ghost, "%v came from queue %d at %v, and was refused", e.ID, e.Queue, e.At)
	}
	m := p.copy(e.Queue, e.ID.Seq)
	if m.state == never {
		j.first(q, e, marked, p.routes>>e.Queue&1 != 0)
	} else {
		j.again(m, e, marked)
	}
	j.tally(q, e)
	j.expired(q, p, e)
	j.active(q, e)
	m.state, m.holder, m.asNew = held, e.Client, m.asNew || !marked
}

// copy returns what is known of a message in a queue.
func (c *client) copy(queue uint8, seq uint64) *copyState {
	s := c.copies[queue]
	for uint64(len(s)) <= seq {
		s = append(s, copyState{})
	}
	c.copies[queue] = s
	return &s[seq]
}

// look is copy for who only reads.
func (c *client) look(queue int, seq uint64) copyState {
	if s := c.copies[queue]; seq < uint64(len(s)) {
		return s[seq]
	}
	return copyState{}
}

// first judges a first delivery. Those that were sent to the queue, and did not die
// into it, are in the order of their publisher.
func (j *Judge) first(q *queue, e Event, marked, ordered bool) {
	if marked && !j.shaken {
		j.report.broke(Flagged, "%v came marked from queue %d at %v, and nobody was lost", e.ID, e.Queue, e.At)
	}
	if !ordered {
		return
	}
	if q.flag&Strict != 0 {
		if last := q.last[e.ID.Producer]; e.ID.Seq+1 < last {
			j.report.broke(Reordered, "%v came first from queue %d at %v, after message %d", e.ID, e.Queue, e.At, last-1)
		} else {
			q.last[e.ID.Producer] = e.ID.Seq + 1
		}
	}
	if marked {
		return
	}
	c := j.client(e.Client)
	if c.first == nil {
		return // it came before the end of its connection, and is told after it
	}
	key := copyKey{e.Queue, e.ID.Producer}
	if last := c.first[key]; e.ID.Seq+1 < last && q.flag&Strict == 0 && !j.returned(q, e) {
		j.report.broke(Reordered, "%v came as new from queue %d to client %d at %v, after message %d", e.ID, e.Queue, e.Client, e.At, last-1)
	} else {
		c.first[key] = max(last, e.ID.Seq+1)
	}
}

// again judges a delivery of what came before. Of two to different consumers the
// earlier one may come behind the later one.
func (j *Judge) again(m *copyState, e Event, marked bool) {
	j.counts.Duplicates++
	switch {
	case marked:
	case m.asNew:
		j.report.broke(Unflagged, "%v came again as new from queue %d to client %d at %v, after client %d", e.ID, e.Queue, e.Client, e.At, m.holder)
	default:
		j.accuseOf(e, nil, Unflagged, "%v came as new from queue %d to client %d at %v, after it came marked to client %d", e.ID, e.Queue, e.Client, e.At, m.holder)
	}
	h := j.clients[m.holder]
	switch m.state {
	case held:
		if !h.gone() {
			j.accuseOf(e, h, Doubled, "%v came from queue %d to client %d at %v, and client %d of node %d, which is well, holds it", e.ID, e.Queue, e.Client, e.At, m.holder, h.node)
		}
	case acked, rejected:
		switch {
		case h != nil && h.ordered:
			j.accuseOf(e, nil, Again, "%v came from queue %d to client %d at %v, and client %d had settled it for certain", e.ID, e.Queue, e.Client, e.At, m.holder)
		case !h.gone():
			j.accuseOf(e, h, TakenBack, "%v came from queue %d to client %d at %v, and client %d of node %d, which is well, had settled it", e.ID, e.Queue, e.Client, e.At, m.holder, h.node)
		}
	}
}

// tally holds the count of deliveries against the one before.
func (j *Judge) tally(q *queue, e Event) {
	if e.N == 0 || q.counts == nil {
		return
	}
	had := q.counts[e.ID]
	if e.N < had {
		j.accuseOf(e, nil, Forgot, "%v came from queue %d at %v as delivered %d times, and %d before", e.ID, e.Queue, e.At, e.N-1, had-1)
	}
	if e.N > 1 {
		q.counts[e.ID] = max(e.N, had)
	}
}

// died reports whether a message may come from a queue that it was not sent to: as
// a dead letter of one that it was sent to.
func (j *Judge) died(p *client, e Event) bool {
	for from := p.routes; from != 0; from &= from - 1 {
		n := bits.TrailingZeros64(from)
		q := &j.queues[n]
		if q.dead != int(e.Queue) {
			continue
		}
		m := p.look(n, e.ID.Seq)
		aged := q.ttl > 0 && e.At+grain >= time.Duration(p.sentAt[e.ID.Seq])*time.Millisecond+q.ttl
		if m.state != rejected && !aged && p.look(int(e.Queue), e.ID.Seq).state == never {
			j.report.broke(Early, "%v came at %v as a dead letter of queue %d, which had no cause to give it up", e.ID, e.At, n)
		}
		return true
	}
	j.report.broke(Phantom, "%v came from queue %d to client %d at %v, and was not sent there", e.ID, e.Queue, e.Client, e.At)
	return false
}

func (j *Judge) expired(q *queue, p *client, e Event) {
	if q.ttl == 0 || p.confirmed == nil || p.confirmed[e.ID.Seq] == 0 || j.clients[e.Client].gone() {
		return
	}
	if over := e.At - time.Duration(p.confirmed[e.ID.Seq])*time.Millisecond - q.ttl; over > j.o.Slack {
		j.report.broke(Late, "%v came from queue %d at %v, %v after its time", e.ID, e.Queue, e.At, over)
	}
}

func (j *Judge) active(q *queue, e Event) {
	if q.flag&Single == 0 {
		return
	}
	if q.active != 0 && q.active != e.Client {
		if a := j.clients[q.active]; !a.gone() {
			j.accuseOf(e, a, TwoActive, "queue %d: client %d gets messages at %v, and client %d of node %d, which is well, is active", e.Queue, e.Client, e.At, q.active, a.node)
		}
	}
	q.active = e.Client
}

func (j *Judge) settle(e Event) {
	p := j.clients[e.ID.Producer]
	if p == nil || e.ID.Seq >= uint64(len(p.sent)) {
		return
	}
	m := p.copy(e.Queue, e.ID.Seq)
	if m.state != held || m.holder != e.Client {
		return // somebody else has it: an answer of somebody who was lost
	}
	switch e.Kind {
	case Ack:
		m.state = acked
	case Requeue:
		m.state = given
	case Reject:
		m.state = rejected
	}
}

// Missing returns how many confirmed messages did not come so far, by queue.
func (j *Judge) Missing() (n int) {
	for id, c := range j.clients {
		n += j.missing(id, c, nil)
	}
	return n
}

// missing returns how many copies did not come though their message was confirmed,
// and tells of each.
func (j *Judge) missing(id uint32, c *client, tell func(Rule, string)) (n int) {
	for seq, facts := range c.sent {
		if facts&(wasConfirmed|wasRefused) != wasConfirmed {
			continue
		}
		for to := c.routes; to != 0; to &= to - 1 {
			k := bits.TrailingZeros64(to)
			q, m := &j.queues[k], c.look(k, uint64(seq))
			elsewhere := q.dead >= 0 && c.look(q.dead, uint64(seq)).state != never
			rule := Lost
			switch {
			case elsewhere:
				continue
			case m.state == rejected && q.dead >= 0:
				rule = Unburied
			case m.state != never:
				continue
			}
			if n++; tell != nil {
				tell(rule, fmt.Sprintf("%v of queue %d", ID{Producer: id, Seq: uint64(seq)}, k))
			}
		}
	}
	return n
}

// Report judges the history so far, as one that ended with its queues drained.
func (j *Judge) Report() Report {
	r := j.report
	r.Counts = j.counts
	r.Examples = append([]string(nil), r.Examples...)
	for _, a := range j.accused {
		r.broke(a.rule, a.format, a.args...)
	}
	for id, c := range j.clients {
		j.missing(id, c, func(rule Rule, what string) { r.broke(rule, "%s was confirmed", what) })
	}
	for _, d := range j.doubts {
		j.torn(&r, d)
	}
	if j.calm.begun && j.o.Resume > 0 && j.now-j.calm.at > j.o.Resume {
		for w := j.calm.waiting; w != 0; w &= w - 1 {
			r.broke(Stuck, "queue %d confirmed nothing within %v after all was healed", bits.TrailingZeros64(w), j.o.Resume)
		}
	}
	return r
}

// torn holds a transaction of unknown outcome against all or nothing, in each queue.
func (j *Judge) torn(r *Report, d doubt) {
	c := j.clients[d.id.Producer]
	if c == nil {
		return
	}
	for to := c.routes; to != 0; to &= to - 1 {
		k, came := bits.TrailingZeros64(to), uint64(0)
		for seq := d.id.Seq; seq < d.id.Seq+d.n; seq++ {
			if c.look(k, seq).state != never {
				came++
			}
		}
		if came != 0 && came != d.n {
			r.broke(Torn, "of the transaction with %v %d of %d came from queue %d", d.id, came, d.n, k)
		}
	}
}
