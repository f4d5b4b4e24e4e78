package engine

import (
	"cmp"
	"slices"

	"github.com/warrenmq/warren/core/queue"
)

// Residents are the log entries whose data is still in memory, because bodies
// in them are live. The ring covers a window of log indexes; what lies before
// it, or was evicted, is read from the log or the state store.
//
// Two tiers share the budget: the newest quarter stays because its messages are
// about to be dispatched, the rest holds the oldest entries because a backlog is
// consumed from its head. What is between them goes first.
type Residents struct {
	Budget int // bytes; set before use
	// Keep says that nothing may be let go: the data is nowhere else. What
	// falls out of the ring is then kept beside it, and an entry that is mostly
	// dead is announced by Thin.
	Keep bool

	ring   []resident
	first  uint64 // index of the oldest slot in use
	next   uint64 // index behind the newest
	recent uint64 // first index of the recent tier
	// bytes of data held, by tier
	oldBytes, newBytes int

	far   map[uint64]resident  // kept, before first
	moved map[uint64][]shifted // where the bodies of thinned entries are
	thin  []uint64             // announced
}

type resident struct {
	data []byte
	live int32  // records whose body lies in data
	used uint32 // bytes of those bodies
}

// A shifted body lies elsewhere in its entry's data than where it was born.
type shifted struct{ born, at uint32 }

// window bounds the ring: an old message that stays must not make it grow.
const window = 1 << 16

func (r *Residents) slot(index uint64) *resident { return &r.ring[index&uint64(len(r.ring)-1)] }

// Add takes the data of the entry at index, which has so many live bodies of so
// many bytes. Indexes are added in order; gaps are entries without bodies.
func (r *Residents) Add(index uint64, data []byte, live int32, used int) {
	if r.next == 0 || r.first == r.next {
		r.first, r.recent = index, index
	}
	r.next = index + 1
	for r.next-r.first > uint64(len(r.ring)) {
		if len(r.ring) < window {
			r.grow()
			continue
		}
		r.leave(r.first)
		r.first++
		if r.recent < r.first {
			r.recent = r.first
		}
	}
	*r.slot(index) = resident{data, live, uint32(used)}
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

// leave takes the oldest entry out of the ring.
func (r *Residents) leave(index uint64) {
	s := r.slot(index)
	if !r.Keep || s.data == nil {
		r.drop(index)
		return
	}
	if r.far == nil {
		r.far = map[uint64]resident{}
	}
	r.far[index] = *s
	*r.tier(index) -= len(s.data)
	r.oldBytes += len(s.data)
	*s = resident{}
}

// drop lets the data at index go.
func (r *Residents) drop(index uint64) {
	s := r.slot(index)
	if s.data == nil {
		return
	}
	*r.tier(index) -= len(s.data)
	*s = resident{}
	delete(r.moved, index)
}

// tier returns the account of the tier that an index of the ring is in.
func (r *Residents) tier(index uint64) *int {
	if index >= r.recent {
		return &r.newBytes
	}
	return &r.oldBytes
}

func (r *Residents) find(index uint64) *resident {
	if index < r.first || index >= r.next {
		return nil
	}
	return r.slot(index)
}

// Body returns a body, nil if it is not in memory.
func (r *Residents) Body(b queue.Body) []byte {
	var data []byte
	if s := r.find(b.Index); s != nil {
		data = s.data
	} else if len(r.far) > 0 {
		data = r.far[b.Index].data
	}
	if data == nil {
		return nil
	}
	at := b.Off
	if len(r.moved) > 0 {
		if m := r.moved[b.Index]; m != nil {
			i, ok := slices.BinarySearchFunc(m, b.Off, func(s shifted, off uint32) int { return cmp.Compare(s.born, off) })
			if !ok {
				return nil
			}
			at = m[i].at
		}
	}
	return data[at : at+b.Len : at+b.Len]
}

// Release says that n bodies of the entry at index are dead, of so many bytes.
func (r *Residents) Release(index uint64, n int32, bytes int) {
	s := r.find(index)
	if s == nil {
		r.releaseFar(index, n, bytes)
		return
	}
	s.live -= n
	s.used -= uint32(bytes)
	switch {
	case s.live <= 0:
		r.drop(index)
	case r.Keep:
		r.watch(index, s)
	}
	for r.first < r.next && r.slot(r.first).data == nil {
		r.first++
	}
	if r.recent < r.first {
		r.recent = r.first
	}
}

func (r *Residents) releaseFar(index uint64, n int32, bytes int) {
	s, ok := r.far[index]
	if !ok {
		return
	}
	s.live -= n
	s.used -= uint32(bytes)
	if s.live <= 0 {
		*r.tier(index) -= len(s.data)
		delete(r.far, index)
		delete(r.moved, index)
		return
	}
	r.watch(index, &s)
	r.far[index] = s
}

// worthThinning is the size below which a mostly dead entry may stay.
const worthThinning = 4 << 10

func (r *Residents) watch(index uint64, s *resident) {
	if len(s.data) >= worthThinning && uint64(s.used)*4 < uint64(len(s.data)) {
		if n := len(r.thin); n == 0 || r.thin[n-1] != index {
			r.thin = append(r.thin, index)
		}
	}
}

// Thin calls survivors for every entry that has become mostly dead, and keeps
// of its data only the bodies that are returned, which are all that live.
func (r *Residents) Thin(survivors func(index uint64) []queue.Body) {
	thin := r.thin
	r.thin = nil
	for _, index := range thin {
		s := r.find(index)
		far, isFar := resident{}, false
		if s == nil {
			if far, isFar = r.far[index]; !isFar {
				continue
			}
			s = &far
		}
		if s.data == nil || uint64(s.used)*4 >= uint64(len(s.data)) {
			continue // gone, or done already
		}
		r.rewrite(index, s, survivors(index))
		if isFar {
			r.far[index] = far
		}
	}
}

func (r *Residents) rewrite(index uint64, s *resident, bodies []queue.Body) {
	slices.SortFunc(bodies, func(a, b queue.Body) int { return cmp.Compare(a.Off, b.Off) })
	data := make([]byte, 0, s.used)
	m := make([]shifted, 0, len(bodies))
	for _, b := range bodies {
		m = append(m, shifted{b.Off, uint32(len(data))})
		data = append(data, r.Body(b)...)
	}
	if r.moved == nil {
		r.moved = map[uint64][]shifted{}
	}
	r.moved[index] = m
	*r.tier(index) += len(data) - len(s.data)
	s.data = data
}

// Has reports whether the data of the entry at index is in memory.
func (r *Residents) Has(index uint64) bool {
	if s := r.find(index); s != nil {
		return s.data != nil
	}
	_, ok := r.far[index]
	return ok
}

// Len bounds the number of entries in memory.
func (r *Residents) Len() int { return int(r.next-r.first) + len(r.far) }

// Bytes returns how many bytes of entries are in memory.
func (r *Residents) Bytes() int { return r.oldBytes + r.newBytes }
