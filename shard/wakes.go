package shard

// A Waker is told once at the end of a turn that something was handed to it.
type Waker interface{ Wake() }

// Wakes collects who is to be told at the end of a turn.
type Wakes struct {
	order []Waker
	seen  map[Waker]struct{}
}

// Later has w told once, by Wake.
func (x *Wakes) Later(w Waker) {
	if n := len(x.order); n > 0 && x.order[n-1] == w {
		return
	}
	if _, ok := x.seen[w]; ok {
		return
	}
	if x.seen == nil {
		x.seen = map[Waker]struct{}{}
	}
	x.seen[w] = struct{}{}
	x.order = append(x.order, w)
}

// LaterRuns is Later for everybody with a publish in the runs.
func (x *Wakes) LaterRuns(runs []Run) {
	for i := range runs {
		if to := runs[i].To; to != nil {
			x.Later(to)
		}
	}
}

// Wake tells all. It is the last thing of a turn.
func (x *Wakes) Wake() {
	for i, w := range x.order {
		w.Wake()
		x.order[i] = nil
	}
	x.order = x.order[:0]
	clear(x.seen)
}
