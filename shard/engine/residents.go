package engine

// Residents are the log entries whose data is still in memory, because bodies
// in them are live. The ring covers a window of log indexes; what lies before
// it, or was evicted, is read from the log or the state store.
//
// Two tiers share the budget: the newest quarter stays because its messages are
// about to be dispatched, the rest holds the oldest entries because a backlog is
// consumed from its head. What is between them goes first.
type Residents struct {
	Budget int // bytes; set before use
	ring   []resident
	first  uint64 // index of the oldest slot in use
	next   uint64 // index behind the newest
	recent uint64 // first index of the recent tier
	// bytes of data held, by tier
	oldBytes, newBytes int
}

type resident struct {
	data []byte
	live int32 // records whose body lies in data
}

// window bounds the ring: an old message that stays must not make it grow.
const window = 1 << 16

func (r *Residents) slot(index uint64) *resident { return &r.ring[index&uint64(len(r.ring)-1)] }

// Add takes the data of the entry at index, which has so many live bodies.
// Indexes are added in order; gaps are entries without bodies.
func (r *Residents) Add(index uint64, data []byte, live int32) {
	if r.next == 0 || r.first == r.next {
		r.first, r.recent = index, index
	}
	r.next = index + 1
	for r.next-r.first > uint64(len(r.ring)) {
		if len(r.ring) < window {
			r.grow()
			continue
		}
		r.drop(r.first)
		r.first++
		if r.recent < r.first {
			r.recent = r.first
		}
	}
	*r.slot(index) = resident{data, live}
	r.newBytes += len(data)
	for r.newBytes > r.Budget/4 && r.recent < index {
		s := r.slot(r.recent)
		if s.data != nil {
			if r.oldBytes+len(s.data) > r.Budget-r.Budget/4 {
				r.drop(r.recent)
			} else {
				r.newBytes -= len(s.data)
				r.oldBytes += len(s.data)
			}
		}
		r.recent++
	}
}

func (r *Residents) grow() {
	old := r.ring
	n := max(64, 2*len(old))
	r.ring = make([]resident, n)
	if len(old) == 0 {
		return
	}
	for i := r.first; i < min(r.next, r.first+uint64(len(old))); i++ {
		r.ring[i&uint64(n-1)] = old[i&uint64(len(old)-1)]
	}
}

// drop lets the data at index go.
func (r *Residents) drop(index uint64) {
	s := r.slot(index)
	if s.data == nil {
		return
	}
	if index >= r.recent {
		r.newBytes -= len(s.data)
	} else {
		r.oldBytes -= len(s.data)
	}
	*s = resident{}
}

// Get returns the data of the entry at index, nil if it is not in memory.
func (r *Residents) Get(index uint64) []byte {
	if index < r.first || index >= r.next {
		return nil
	}
	return r.slot(index).data
}

// Release says that n bodies of the entry at index are dead.
func (r *Residents) Release(index uint64, n int32) {
	if index < r.first || index >= r.next {
		return
	}
	s := r.slot(index)
	if s.live -= n; s.live <= 0 {
		r.drop(index)
	}
	for r.first < r.next && r.slot(r.first).data == nil {
		r.first++
	}
	if r.recent < r.first {
		r.recent = r.first
	}
}

// Bytes returns how many bytes of entries are in memory.
func (r *Residents) Bytes() int { return r.oldBytes + r.newBytes }
