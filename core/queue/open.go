package queue

import "fmt"

// OpenLedger restores a queue from its record; OpenPage follows for each page
// in ascending order of ids, then Opened. Records stay cold.
func OpenLedger(s Settings, record []byte) (*Ledger, error) {
	st, err := decodeQueue(record)
	if err != nil {
		return nil, fmt.Errorf("open queue record: %w", err)
	}
	l := &Ledger{settings: s, total: st.total, counters: st.counters, history: st.history, out: st.out, origins: st.origins}
	for _, ls := range st.lanes {
		l.lanes = append(l.lanes, &lane{priority: ls.priority, next: ls.next, horizon: ls.horizon, lost: ls.lost, ready: readyLane{cursor: uint64(ls.priority) << laneShift}})
	}
	return l, nil
}

// OpenPage restores the header of a page.
func (l *Ledger) OpenPage(id uint64, header []byte) error {
	p, err := decodeHeader(id, header)
	if err != nil {
		return fmt.Errorf("open page %d: %w", id, err)
	}
	ln := l.lanes.at(uint8(id >> (laneShift - pageShift)))
	switch {
	case ln == nil:
		return fmt.Errorf("open page %d: %w: no such lane", id, ErrDamaged)
	case len(ln.pages) > 0 && ln.pages[len(ln.pages)-1].id >= id:
		return fmt.Errorf("open page %d: %w: pages out of order", id, ErrDamaged)
	case p.first()+uint64(p.end) > ln.next, id == PageOf(ln.next) && p.first()+uint64(p.end) != ln.next:
		return fmt.Errorf("open page %d: %w: its end %d does not meet the lane's next %d", id, ErrDamaged, p.end, ln.next)
	}
	ln.pages = append(ln.pages, p)
	return nil
}

// Opened checks that the pages add up to the queue record.
func (l *Ledger) Opened() error {
	if err := l.openOutbox(); err != nil {
		return err
	}
	var sum Amount
	for _, ln := range l.lanes {
		for _, p := range ln.pages {
			if p.empty() {
				return fmt.Errorf("open queue: %w: nothing is live in page %d", ErrDamaged, p.id)
			}
			sum.Messages += uint64(p.live)
			sum.Bytes += p.bytes
		}
	}
	if sum != l.total {
		return fmt.Errorf("open queue: %w: pages hold %+v, the record says %+v", ErrDamaged, sum, l.total)
	}
	return nil
}
