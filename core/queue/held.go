package queue

// The dispatcher's knowledge of single messages lies beside the ledger's pages,
// only where there is any: a heldPage per page, a chunk per 64 slots. Chunks
// that become empty are used again, so that the steady state allocates nothing.

// A state is what the dispatcher knows of a live message.
type state uint8

const (
	// free: a first delivery to come if the cursor has not passed it; otherwise
	// it was named for removal (drop, expiry, purge) and leaves.
	free      state = iota
	requeued        // given back: in the lane's heap
	held            // delivered
	returning       // given back, the logged return is not applied yet
	leaving         // settled or named for removal, not applied yet
	laidDown        // given back, and not ready yet
)

// A slot is the state of one message.
type slot struct {
	counter uint64 // of the holding; claimed is set if d.claims has the rest. If declined, until when it rests
	size    uint32
	owner   uint32 // state, confirmed, index of the holder
}

const (
	stateShift = 28
	ownerMask  = 1<<27 - 1
	// confirmed marks holdings that an attaching node has claimed again.
	confirmed = 1 << 27
	claimed   = 1 << 63
)

func (s *slot) state() state   { return state(s.owner >> stateShift) }
func (s *slot) become(x state) { s.owner = uint32(x) << stateShift }

const chunkSlots = 64

type chunk struct {
	used  int
	slots [chunkSlots]slot
}

type heldPage struct {
	used   int // chunks
	chunks [PageSize / chunkSlots]*chunk
}

func (h *heldPage) state(at int) state {
	if c := h.chunks[at/chunkSlots]; c != nil {
		return c.slots[at%chunkSlots].state()
	}
	return free
}

// slot returns the slot of a message if anything but free is known of it.
func (p *page) slot(at int) *slot {
	if p.held == nil {
		return nil
	}
	c := p.held.chunks[at/chunkSlots]
	if c == nil || c.slots[at%chunkSlots].state() == free {
		return nil
	}
	return &c.slots[at%chunkSlots]
}

// spares keeps what became empty, bounded.
type spares struct {
	chunks []*chunk
	pages  []*heldPage
}

const (
	maxSpareChunks = 128
	maxSparePages  = 4
)

// occupy returns the slot of a message for a state other than free.
func (sp *spares) occupy(p *page, at int) *slot {
	if p.held == nil {
		p.held = take(&sp.pages)
	}
	c := p.held.chunks[at/chunkSlots]
	if c == nil {
		c = take(&sp.chunks)
		p.held.chunks[at/chunkSlots] = c
		p.held.used++
	}
	s := &c.slots[at%chunkSlots]
	if s.state() == free {
		c.used++
	}
	return s
}

// vacate makes a slot free.
func (sp *spares) vacate(p *page, at int) {
	c := p.held.chunks[at/chunkSlots]
	c.slots[at%chunkSlots] = slot{}
	if c.used--; c.used > 0 {
		return
	}
	p.held.chunks[at/chunkSlots] = nil
	give(&sp.chunks, c, maxSpareChunks)
	if p.held.used--; p.held.used == 0 {
		give(&sp.pages, p.held, maxSparePages)
		p.held = nil
	}
}

func take[T any](from *[]*T) *T {
	n := len(*from)
	if n == 0 {
		return new(T)
	}
	t := (*from)[n-1]
	*from = (*from)[:n-1]
	return t
}

func give[T any](to *[]*T, t *T, bound int) {
	if len(*to) < bound {
		*to = append(*to, t)
	}
}
