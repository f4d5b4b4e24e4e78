package queue

import (
	"slices"

	"github.com/warrenmq/warren/internal/plant"
)

// Dispatch hands up to max messages to consumers, appending to out. One message
// to each consumer in turn, those of the highest priority first as long as they
// have credit. The Pause says why it stopped.
func (d *Dispatcher) Dispatch(now int64, max int, out []Delivery) ([]Delivery, Pause) {
	if !d.Open() {
		return out, Pause{Why: Attaching}
	}
	d.rise(now)
	for n := 0; n < max; {
		h := d.turn()
		if h == nil {
			return out, Pause{Why: NoCredit}
		}
		hd, pause := d.deliverable(now)
		if pause.Why != NotPaused {
			return out, pause
		}
		if h.spec.Shared != nil && !h.spec.Shared.Take() {
			h.parked = true
			d.leave(h)
			continue
		}
		out = d.deliver(&hd, h, h.spec.Ref, out)
		n++
		h.level.turn = h.next
		if h.spec.Metered {
			h.credit--
		}
		if !d.may(h) {
			d.leave(h)
		}
	}
	return out, Pause{Why: LimitReached}
}

// Get hands the next message to a session without a consumer.
func (d *Dispatcher) Get(s SessionID, ref uint64, now int64) (Delivery, Pause) {
	if !d.Open() {
		return Delivery{}, Pause{Why: Attaching}
	}
	d.rise(now)
	hd, pause := d.deliverable(now)
	if pause.Why != NotPaused {
		return Delivery{}, pause
	}
	var one [1]Delivery
	return d.deliver(&hd, d.getter(s), ref, one[:0])[0], Pause{}
}

// next returns the head of the highest lane that has one.
func (d *Dispatcher) next() (hd head, ok bool) {
	for d.top < len(d.l.lanes) {
		if hd = d.l.lanes[d.top].head(); hd.page != nil {
			return hd, true
		}
		d.top++
	}
	return head{}, false
}

// deliverable returns the next message if it may be delivered now.
func (d *Dispatcher) deliverable(now int64) (head, Pause) {
	hd, ok := d.next()
	if !ok {
		return hd, Pause{Why: NoMessage}
	}
	if !hd.page.has(hd.slot) {
		return hd, Pause{Why: NeedPage, Page: hd.page.id}
	}
	if x := hd.page.at(hd.slot).expires; x != 0 && x < now {
		return hd, Pause{Why: NeedExpiry, Seq: hd.seq()}
	}
	if !hd.returned && !d.l.settings.Memory && hd.seq() > hd.lane.horizon {
		return hd, Pause{Why: NeedHorizon, Seq: hd.seq()}
	}
	return hd, Pause{}
}

// deliver appends the head's delivery to out, written in place.
func (d *Dispatcher) deliver(hd *head, h *holder, ref uint64, out []Delivery) []Delivery {
	hd.take()
	if len(out) == cap(out) {
		out = slices.Grow(out, 1)
	}
	out = out[:len(out)+1]
	x := &out[len(out)-1]
	x.Consumer, x.Ref, x.NoAck = h.spec.ID, ref, h.spec.NoAck
	x.Seq = hd.seq()
	d.counter++
	x.Holding = Holding{d.life.Epoch, d.life.Term, d.counter}
	hd.page.fill(hd.slot, &x.Record)
	x.Redelivered = x.Record.Acquired > 0 || x.Seq <= hd.lane.lost && !plant.Is(plant.RedeliveredFlagLost)
	d.hold(h, hd.page, hd.slot, x.Record.Size, d.counter)
	return out
}

// take removes the head from what is ready.
func (hd *head) take() {
	if hd.returned {
		hd.lane.ready.pop()
	} else {
		hd.lane.ready.cursor++
	}
}

// drop takes the head away for removal, appending it to out.
func (d *Dispatcher) drop(hd *head, out []Run) []Run {
	size := hd.page.at(hd.slot).size
	hd.take()
	if s := hd.page.slot(hd.slot); s != nil {
		s.size = size
		s.become(leaving)
	}
	d.away.add(1, uint64(size))
	return AppendRun(out, hd.seq(), size)
}
