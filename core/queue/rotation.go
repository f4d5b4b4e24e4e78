package queue

import (
	"cmp"
	"slices"
)

// A level is the consumers of one priority that may have a message now, in a
// ring: each gets one, then it is the next one's turn.
type level struct {
	priority int32
	turn     *holder
}

// may reports whether a consumer may have another message.
func (d *Dispatcher) may(h *holder) bool {
	switch s := &h.spec; {
	case h.getter, h.cancelled, h.parked, h.detached:
		return false
	case s.Metered && h.credit == 0:
		return false
	case !s.NoAck && s.Prefetch != 0 && h.held >= s.Prefetch:
		return false
	case s.Window != 0 && h.heldBytes >= uint64(s.Window):
		return false
	default:
		return d.allowed(h)
	}
}

// refresh puts a consumer into the rotation or takes it out.
func (d *Dispatcher) refresh(h *holder) {
	switch may := d.may(h); {
	case may && h.level == nil:
		d.enter(h)
	case !may && h.level != nil:
		d.leave(h)
	}
}

// enter puts a consumer behind all others of its priority.
func (d *Dispatcher) enter(h *holder) {
	lv := d.levelOf(h.spec.Priority)
	h.level = lv
	if lv.turn == nil {
		h.next, h.prev = h, h
		lv.turn = h
		return
	}
	h.next, h.prev = lv.turn, lv.turn.prev
	h.prev.next, h.next.prev = h, h
}

func (d *Dispatcher) leave(h *holder) {
	lv := h.level
	if h.next == h {
		lv.turn = nil
	} else {
		h.prev.next, h.next.prev = h.next, h.prev
		if lv.turn == h {
			lv.turn = h.next
		}
	}
	h.level, h.next, h.prev = nil, nil, nil
}

// levelOf returns the level of a priority. Levels are few; empty ones go when a
// new one comes.
func (d *Dispatcher) levelOf(priority int32) *level {
	i, ok := slices.BinarySearchFunc(d.levels, priority, func(lv *level, p int32) int { return cmp.Compare(p, lv.priority) })
	if ok {
		return d.levels[i]
	}
	d.levels = slices.DeleteFunc(d.levels, func(lv *level) bool { return lv.turn == nil })
	i, _ = slices.BinarySearchFunc(d.levels, priority, func(lv *level, p int32) int { return cmp.Compare(p, lv.priority) })
	lv := &level{priority: priority}
	d.levels = slices.Insert(d.levels, i, lv)
	return lv
}

// turn returns the consumer whose turn it is, or nil.
func (d *Dispatcher) turn() *holder {
	for _, lv := range d.levels {
		if lv.turn != nil {
			return lv.turn
		}
	}
	return nil
}

// Add registers a consumer.
func (d *Dispatcher) Add(c ConsumerSpec) error {
	if d.byID[c.ID] != nil || c.ID == 0 {
		return ErrConsumer
	}
	if c.Exclusive && d.l.settings.SingleActive {
		return ErrExclusive // the queue says itself who is the only one
	}
	if n := len(d.consumers); n > 0 && (c.Exclusive || d.consumers[0].spec.Exclusive) {
		return ErrExclusive
	}
	h := d.newHolder(c)
	d.byID[c.ID] = h
	d.consumers = append(d.consumers, h)
	d.elect()
	d.refresh(h)
	return nil
}

// elect fills the place of the single active consumer: the one that has the
// grant, else the first registered, after it the next by priority, then by order.
// It stays until it goes. Nobody is elected before all have attached.
func (d *Dispatcher) elect() {
	if !d.l.settings.SingleActive {
		d.active = nil
		return
	}
	if d.active != nil || d.Waiting() {
		return
	}
	for _, h := range d.consumers {
		if h.spec.Granted {
			d.active = h
			break
		}
		if d.active == nil || h.spec.Priority > d.active.spec.Priority {
			d.active = h
		}
	}
	if d.active != nil {
		d.refresh(d.active)
	}
}

// Active returns the single active consumer.
func (d *Dispatcher) Active() (ConsumerID, bool) {
	if d.active == nil {
		return 0, false
	}
	return d.active.spec.ID, true
}

// Consumers counts the consumers.
func (d *Dispatcher) Consumers() int { return len(d.consumers) }

// SetCredit gives a metered consumer its credit.
func (d *Dispatcher) SetCredit(id ConsumerID, credit uint32) bool {
	h := d.byID[id]
	if h == nil {
		return false
	}
	h.credit = credit
	d.refresh(h)
	return true
}

// Wake says that a consumer's shared credit may be taken again.
func (d *Dispatcher) Wake(id ConsumerID) bool {
	h := d.byID[id]
	if h == nil {
		return false
	}
	h.parked = false
	d.refresh(h)
	return true
}

// Cancel removes a consumer; what it holds stays with its session.
func (d *Dispatcher) Cancel(id ConsumerID) bool {
	h := d.byID[id]
	if h == nil {
		return false
	}
	d.unregister(h)
	d.settleDown(h)
	return true
}

// unregister ends a consumer as such.
func (d *Dispatcher) unregister(h *holder) {
	delete(d.byID, h.spec.ID)
	h.cancelled = true
	if h.level != nil {
		d.leave(h)
	}
	d.consumers = slices.DeleteFunc(d.consumers, func(x *holder) bool { return x == h })
	if d.active == h {
		d.active = nil
		d.elect()
	}
}
