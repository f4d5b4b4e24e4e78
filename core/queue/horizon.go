package queue

// The horizon of a lane is the highest sequence that any leader may have
// delivered first. It is logged ahead of deliveries, a credit's worth at a
// time, so that a leader that lost its predecessor's consumers knows what they
// may have seen.

const (
	minWorth = 256
	maxWorth = 4096
)

// WantHorizon asks for a logged SetHorizon: credit waits, and there are or will
// be messages beyond the horizon. It covers messages in flight, so that an
// enqueue proposed while credit waits is deliverable as soon as it is applied.
// Call it until ok is false whenever a section is built.
func (d *Dispatcher) WantHorizon() (priority uint8, seq uint64, ok bool) {
	if d.l.settings.Memory || !d.Open() || d.turn() == nil {
		return 0, 0, false
	}
	return d.want()
}

// WantHorizonForGet is WantHorizon when a get has paused, with or without
// consumers that wait.
func (d *Dispatcher) WantHorizonForGet() (priority uint8, seq uint64, ok bool) {
	if d.l.settings.Memory || !d.Open() {
		return 0, 0, false
	}
	return d.want()
}

func (d *Dispatcher) want() (priority uint8, seq uint64, ok bool) {
	for _, ln := range d.l.lanes {
		if ln.next-1+ln.ready.inflight <= max(ln.horizon, ln.ready.asked) {
			continue
		}
		ln.fresh() // moves the cursor over what has gone
		// What may be delivered first before the horizon binds again.
		at := max(ln.horizon, ln.ready.asked, ln.ready.cursor-1)
		worth := d.worth()
		if room := at + 1 - ln.ready.cursor; room >= worth/2 {
			continue
		}
		ln.ready.asked = min(at+worth, ln.first()|seqMask)
		return ln.priority, ln.ready.asked, true
	}
	return 0, 0, false
}

// worth is how far one step of the horizon goes: what consumers with credit may
// have at once, within bounds, so that a failure flags no more than what was about to be delivered.
func (d *Dispatcher) worth() uint64 {
	n := uint64(0)
	for _, lv := range d.levels {
		if lv.turn == nil {
			continue
		}
		for h := lv.turn; n < maxWorth; h = h.next {
			n += h.credits()
			if h.next == lv.turn {
				break
			}
		}
	}
	return min(max(n, minWorth), maxWorth)
}

// credits is how many messages a consumer of the rotation may have at once. What
// it holds of them counts: it is settled, as a rule, before the horizon that is
// asked for now is committed, and a consumer with a backlog would otherwise wait
// for a commit every few messages.
func (h *holder) credits() uint64 {
	n := uint64(maxWorth)
	if !h.spec.NoAck && h.spec.Prefetch != 0 {
		n = uint64(h.spec.Prefetch)
	}
	if h.spec.Metered {
		n = min(n, uint64(h.credit))
	}
	return n
}

// ReadAhead appends the ids of cold pages among the next max that will be
// dispatched from.
func (d *Dispatcher) ReadAhead(max int, out []uint64) []uint64 {
	for _, ln := range d.l.lanes {
		for i := ln.find(PageOf(ln.ready.cursor)); i < len(ln.pages) && max > 0; i++ {
			if p := ln.pages[i]; !p.hot() && p.live > 0 {
				out = append(out, p.id)
			}
			max--
		}
	}
	return out
}
