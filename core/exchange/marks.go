package exchange

// Marks is a set of numbers that is emptied in no time and keeps its memory.
// It must be reset before its first use.
type Marks struct {
	slots []mark // a power of two, never full
	n     int    // in this generation
	gen   uint32
}

type mark struct {
	key uint64
	gen uint32 // the generation the mark belongs to; older ones are empty slots
}

// maxKept is the largest table that a set keeps for later.
const maxKept = 1 << 15

// Reset empties the set.
func (m *Marks) Reset() {
	m.n = 0
	m.gen++
	if m.gen == 0 || len(m.slots) > maxKept {
		m.slots, m.gen = nil, 1
	}
}

// Add reports whether key was not in the set, and puts it there.
func (m *Marks) Add(key uint64) bool {
	if m.n*2 >= len(m.slots) {
		m.grow()
	}
	mask := uint64(len(m.slots) - 1)
	for i := spread(key) & mask; ; i = (i + 1) & mask {
		s := &m.slots[i]
		if s.gen != m.gen {
			*s = mark{key: key, gen: m.gen}
			m.n++
			return true
		}
		if s.key == key {
			return false
		}
	}
}

func (m *Marks) grow() {
	old := m.slots
	m.slots = make([]mark, max(64, 2*len(old)))
	m.n = 0
	for _, s := range old {
		if s.gen == m.gen {
			m.Add(s.key)
		}
	}
}

// spread mixes ids, which are dense and in the broker's hand, not a client's.
func spread(key uint64) uint64 {
	key *= 0x9e3779b97f4a7c15
	return key ^ key>>32
}
