package transfer

import (
	"cmp"
	"math"
	"slices"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// reason is the word for why a message died, as its readers know it.
func reason(why queue.Reason) string {
	switch why {
	case queue.Dropped:
		return "maxlen"
	case queue.Spent:
		return "delivery_limit"
	default:
		return why.String() // expired, rejected
	}
}

// rejected is the reason that ends a cycle.
const rejected = "rejected"

// A dead message is a letter as it is to be published.
type dead struct {
	message.Message
	keys   [][]byte // beside the message's own
	deaths message.Deaths
}

// prepare returns the message of a letter as it is to be sent.
func prepare(l *letter, a *Address) (d dead, err error) {
	if !a.Due {
		return bury(l, a)
	}
	if d.Message, err = message.Parse(l.blob); err == nil {
		shown, hidden, _ := d.Copies()
		d.keys = append(shown, hidden...)
	}
	return d, err
}

// bury makes of a letter the message to be published: it tells of its death, is
// as old as it is new, and goes to where the address says.
func bury(l *letter, a *Address) (d dead, err error) {
	if d.Message, err = message.Parse(l.blob); err != nil {
		return d, err
	}
	m := &d.Message
	if d.deaths, err = m.Deaths(); err != nil {
		return d, err
	}
	shown, hidden, copied := m.Copies()
	x := message.Death{
		Queue: a.Queue, Reason: reason(l.why), Exchange: string(m.Exchange), Keys: []string{string(m.RoutingKey)},
		Time: l.at, TTL: m.TTL, HasTTL: m.HasTTL,
	}
	for _, k := range shown {
		x.Keys = append(x.Keys, string(k))
	}
	d.deaths = d.deaths.Add(x)

	o := m.AppendKept(make([]byte, 0, len(m.Overlay)+256), message.OverlayDeaths, message.OverlayNoTTL, message.OverlayRoute)
	o = message.AppendOverlay(o, message.OverlayDeaths, message.AppendDeaths(nil, d.deaths))
	o = message.AppendOverlay(o, message.OverlayNoTTL, nil)
	m.Exchange, m.TTL, m.HasTTL = []byte(a.Exchange), 0, false
	if a.HasKey {
		m.RoutingKey = a.Key
		if copied {
			m.Overlay = o
			o = message.AppendCopies(m.AppendKept(nil, message.OverlayCopies), nil, nil)
		}
	} else {
		d.keys = append(shown, hidden...)
	}
	m.Overlay = o
	return d, nil
}

// send sends a letter to every queue that has not got it.
func (t *Transfer) send(l *letter, a *Address) {
	l.refused, l.waits, l.once = false, nil, a.AtMostOnce
	l.split, l.resend = l.split || l.resend, false
	d, err := prepare(l, a)
	if err != nil {
		t.log.Error("a dead letter can not be read and is dropped", "vhost", a.VHost, "queue", a.Queue, "err", err)
		t.drop(l.src.queue, unreadable, 1)
		t.end(l)
		return
	}
	ts, ok := t.o.Router.Route(a, &d.Message, d.keys, t.targets[:0])
	switch {
	case !ok:
		t.drop(l.src.queue, noExchange, 1)
	case len(ts) == 0 && a.Due:
		t.drop(l.src.queue, unbound, 1)
	case len(ts) == 0:
		t.drop(l.src.queue, noRoute, 1)
	}
	for i := range ts {
		t.sendTo(l, &ts[i], &d)
	}
	clear(ts)
	t.targets = ts[:0]
	if l.left == 0 {
		t.attempted(l)
	}
}

// sendTo adds one target's publish to the row of its shard, unless the target
// has it, would close a cycle, or has a gate that is shut.
func (t *Transfer) sendTo(l *letter, to *Target, d *dead) {
	if slices.Contains(l.took, to.Queue) {
		return
	}
	if l.why != queue.Rejected && to.Delay == 0 && d.deaths.Cycle(to.Name, rejected) {
		t.drop(l.src.queue, cycle, 1)
		return
	}
	now := t.o.Clock.Mono()
	if to.To == nil {
		l.waits = t.gate(to.Queue)
		l.waits.refused(now)
		return
	}
	g := t.gates[to.Queue]
	if g != nil && !l.once && l.origin != nil {
		if !g.lets(l, now) {
			l.waits = g
			return
		}
		g.open++
	} else {
		g = nil
	}
	t.publishTo(l, to, d, g)
}

func (t *Transfer) publishTo(l *letter, to *Target, d *dead, g *gate) {
	r := t.row(to.To)
	// One publish with all queues of the shard: their records share its body.
	if n := len(r.ps); n > 0 && g == nil && !l.split {
		last := &r.ps[n-1]
		if p, ok := t.parts[last.Tag]; ok && p.l == l && p.gate == nil && p.delay == to.Delay {
			p.queues = append(p.queues, to.Queue)
			t.parts[last.Tag] = p
			last.Queues = p.queues
			return
		}
	}
	t.tag++
	l.left++
	p := part{l: l, queues: []shard.QueueID{to.Queue}, gate: g, delay: to.Delay}
	t.parts[t.tag] = p
	m := d.Message
	x := shard.Publish{Message: &m, Queues: p.queues, Origin: l.origin, To: t, Tag: t.tag}
	switch {
	case to.Delay > 0:
		m.Delayed(to.Delay)
		x.TTL, x.HasTTL = to.Delay, true
	case m.HasTTL: // of what did not die
		x.TTL, x.HasTTL = uint32(min(m.TTL, math.MaxUint32)), true
	}
	if m.HasPriority {
		x.Priority = m.Priority
	}
	r.ps = append(r.ps, x)
}

func (t *Transfer) row(to shard.Shard) *row {
	for i := range t.rows {
		if t.rows[i].to == to {
			return &t.rows[i]
		}
	}
	t.rows = append(t.rows, row{to: to})
	return &t.rows[len(t.rows)-1]
}

// publish hands the rows to their shards. A shard that takes no more has all
// sources wait.
func (t *Transfer) publish() {
	for i := range t.rows {
		r := &t.rows[i]
		if !r.to.Publish(r.ps) {
			t.parked++
			r.to.Ready(func() { t.note(event{kind: resumed}) })
		}
		t.rows[i] = row{}
	}
	t.rows = t.rows[:0]
}

// attempted decides what follows from an attempt whose answers are all there.
func (t *Transfer) attempted(l *letter) {
	switch {
	case l.src.gone:
		t.end(l)
	case l.resend:
		t.again(l)
	case l.waits == nil:
		if len(l.took) > 0 {
			t.counts.Moved++
		}
		t.end(l)
	case l.once || l.origin == nil && l.refused:
		// From the memory of a node it is best effort: sent again, it might be
		// there twice.
		t.drop(l.src.queue, notTaken, 1)
		t.end(l)
	default:
		l.waits.park(l)
	}
}

// end is the end of a letter here: it leaves its outbox.
func (t *Transfer) end(l *letter) {
	t.bytes -= len(l.blob)
	l.blob = nil
	src := l.src
	src.open--
	if src.gone {
		return
	}
	if len(src.done) == 0 {
		t.touched = append(t.touched, src)
	}
	src.done = append(src.done, ended{l.number, l.size})
}

// leave tells the shards which letters have left.
func (t *Transfer) leave() {
	for i, src := range t.touched {
		t.touched[i] = nil
		slices.SortFunc(src.done, func(a, b ended) int { return cmp.Compare(a.number, b.number) })
		var runs []queue.Run
		for _, x := range src.done {
			runs = queue.AppendRun(runs, x.number, x.size)
		}
		src.done = src.done[:0]
		for _, r := range runs {
			src.from.Left(src.queue, r)
		}
		t.list(src)
		t.settleDown(src)
	}
	t.touched = t.touched[:0]
}
