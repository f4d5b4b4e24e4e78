package queue

// Grants. Where more than one node may hold a queue, the right of a consumer to
// be the only one is logged before its first delivery under it, so that a later
// leader gives it to nobody else before the consumer has ended, or its
// incarnation.

// only returns the consumer that keeps the others out: an exclusive one, or the
// active one of a queue that has only one; nil if there is none.
func (d *Dispatcher) only() *holder {
	if d.active != nil {
		return d.active
	}
	if len(d.consumers) > 0 && d.consumers[0].spec.Exclusive {
		return d.consumers[0]
	}
	return nil
}

// WantGrant returns a consumer whose grant has to be logged before it gets
// anything. It is asked once; Granted follows when that is applied, unless the grant
// of another was asked for behind it: of grants the last counts.
func (d *Dispatcher) WantGrant() (ConsumerID, bool) {
	if !d.life.Grants || d.Waiting() {
		return 0, false
	}
	h := d.only()
	if h == nil || h.spec.Granted || h.asked {
		return 0, false
	}
	for _, x := range d.consumers {
		x.spec.Granted, x.asked = false, x == h
	}
	return h.spec.ID, true
}

// Granted says that the grant asked for last was applied, and whose it is: nobody's
// if the consumer has ended meanwhile, or is zero.
func (d *Dispatcher) Granted(id ConsumerID) {
	for _, h := range d.consumers {
		if h.spec.Granted = h.spec.ID == id; h.spec.Granted {
			h.asked = false
		}
		d.refresh(h)
	}
}

// allowed reports whether a consumer may have messages as far as grants go.
func (d *Dispatcher) allowed(h *holder) bool {
	switch {
	case !d.l.settings.SingleActive && !h.spec.Exclusive:
		return true
	case d.l.settings.SingleActive && d.active != h:
		return false
	}
	return !d.life.Grants || h.spec.Granted
}
