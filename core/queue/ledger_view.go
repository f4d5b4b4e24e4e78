package queue

// Settings returns the queue's arguments.
func (l *Ledger) Settings() Settings { return l.settings }

// Total is everything in the queue, ready or not, but for letters: see Outbox.
func (l *Ledger) Total() Amount { return l.total }

// Counters returns the ledger's accounts.
func (l *Ledger) Counters() Counters { return l.counters }

// NextSeq is the sequence of the lane's next message.
func (l *Ledger) NextSeq(priority uint8) uint64 { return l.laneOrNew(priority).next }

// Horizon is how far first deliveries may go.
func (l *Ledger) Horizon(priority uint8) uint64 { return l.laneOrNew(priority).horizon }

// LostMark is the sequence up to which everything reads as redelivered.
func (l *Ledger) LostMark(priority uint8) uint64 { return l.laneOrNew(priority).lost }

// laneOrNew is for questions: a lane that is not there is a new one.
func (l *Ledger) laneOrNew(priority uint8) *lane {
	if ln := l.lanes.at(priority); ln != nil {
		return ln
	}
	return newLane(priority)
}

func (l *Ledger) at(seq uint64) (*lane, *page, int) {
	if ln := l.lanes.at(PriorityOf(seq)); ln != nil {
		if p := ln.page(PageOf(seq)); p != nil && p.bits.get(int(seq&slotMask)) {
			return ln, p, int(seq & slotMask)
		}
	}
	return nil, nil, 0
}

// Live reports whether a message is in the queue.
func (l *Ledger) Live(seq uint64) bool {
	_, p, _ := l.at(seq)
	return p != nil
}

// Redelivered reports whether a delivery of the message is not its first, as
// far as anybody can know.
func (l *Ledger) Redelivered(seq uint64) bool {
	ln, p, slot := l.at(seq)
	return p != nil && (seq <= ln.lost || p.exception(slot).acquired > 0)
}

// Record returns a message with its present counts. hot is false when its page
// is cold or the message is gone (Live tells which).
func (l *Ledger) Record(seq uint64) (r Record, hot bool) {
	_, p, slot := l.at(seq)
	if p == nil || !p.has(slot) {
		return Record{}, false
	}
	p.fill(slot, &r)
	return r, true
}

// fill writes all fields of a record.
func (p *page) fill(slot int, out *Record) {
	r := p.at(slot)
	out.Body = r.body
	out.Expires, out.Size = r.expires, r.size
	out.Priority, out.Flags = r.priority, r.flags
	out.Acquired, out.Failed = 0, 0
	if len(p.except) > 0 {
		e := p.exception(slot)
		out.Acquired, out.Failed = e.acquired, e.failed
	}
}

// Browse returns the first live message after seq, by priority and sequence
// (0 starts). Holdings and horizons do not bind browsers.
func (l *Ledger) Browse(after uint64) (seq uint64, ok bool) {
	for _, ln := range l.lanes {
		from := ln.first()
		if after != 0 {
			if ln.priority > PriorityOf(after) {
				continue
			}
			if ln.priority == PriorityOf(after) {
				from = after + 1
			}
		}
		if _, _, seq, ok = ln.liveFrom(from); ok {
			return seq, true
		}
	}
	return 0, false
}

// liveFrom returns the first live message of the lane at or after seq.
func (ln *lane) liveFrom(seq uint64) (p *page, slot int, at uint64, ok bool) {
	for i := ln.find(PageOf(seq)); i < len(ln.pages); i++ {
		p, slot = ln.pages[i], 0
		if p.id == PageOf(seq) {
			slot = int(seq & slotMask)
		}
		if slot = p.bits.next(slot); slot < PageSize {
			return p, slot, p.first() | uint64(slot), true
		}
	}
	return nil, 0, 0, false
}

// Digest is equal on replicas of equal content, whatever is hot or cold.
func (l *Ledger) Digest() uint64 {
	h := fold(l.history, l.total.Messages)
	h = fold(h^l.total.Bytes, l.counters.Enqueued)
	for _, ln := range l.lanes {
		if ln.unused() {
			continue
		}
		h = fold(h^ln.next, ln.horizon)
		h = fold(h, ln.lost)
		for _, p := range ln.pages {
			if p.live > 0 {
				h = p.digest(h)
			}
		}
	}
	if l.out != nil {
		h = l.out.digest(h)
	}
	if l.origins != nil {
		h = l.origins.digest(h)
	}
	return h
}

func (p *page) digest(h uint64) uint64 {
	h = fold(h^p.id, p.bytes)
	for _, w := range p.bits {
		h = fold(h, w)
	}
	for _, e := range p.except {
		if p.bits.get(int(e.slot)) {
			h = fold(h^uint64(e.slot), uint64(e.acquired)<<16|uint64(e.failed))
			h = fold(h^uint64(e.until), e.order)
		}
	}
	return h
}
