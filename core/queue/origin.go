package queue

// A Source names where messages come from that may be sent again: a queue whose
// dead letters come here, a producer with an identity. Spaces keep the kinds of
// sources apart.
type Source struct{ Space, ID uint64 }

// Spaces of sources. The numbers are in the log.
const (
	// OutboxSpace: the ID is that of the queue whose outbox it is.
	OutboxSpace uint64 = iota + 1
)

// An Origin makes a message recognisable when it is sent again: the Seq-th of
// its source, which sends nothing at or below Floor any more.
type Origin struct {
	Source
	Seq, Floor uint64
}

const (
	// OriginWindow is how many sequences above the floor are remembered. What a
	// source sends beyond moves the floor.
	OriginWindow = 1024
	// maxOrigins and originAge bound the sources remembered: the one that was
	// silent longest is forgotten, and each after a week of silence.
	maxOrigins = 4096
	originAge  = 7 * 24 * 3600 * 1000
)

// origins is what a queue took from its sources.
type origins struct {
	windows map[Source]*window
	// The windows by their last use, the oldest first.
	first, last *window
}

// A window is what was taken of one source above its floor: bit i stands for
// the sequence floor + 1 + i.
type window struct {
	source     Source
	floor      uint64
	bits       [OriginWindow / 64]uint64
	used       int64 // log time
	next, prev *window
}

// Take notes that a message came from an origin; false says that it is here
// already, or was: it is not to be taken again. now is log time.
func (l *Ledger) Take(o Origin, now int64) bool {
	if l.origins == nil {
		l.origins = &origins{windows: map[Source]*window{}}
	}
	l.changed = true
	return l.origins.window(o.Source, now).take(o)
}

// Took reports what Take would say, and changes nothing.
func (l *Ledger) Took(o Origin) bool {
	if l.origins == nil {
		return false
	}
	w := l.origins.windows[o.Source]
	return w != nil && w.took(o.Seq)
}

// Origins returns the number of sources remembered.
func (l *Ledger) Origins() int {
	if l.origins == nil {
		return 0
	}
	return len(l.origins.windows)
}

// window returns the window of a source, as the one used last.
func (x *origins) window(s Source, now int64) *window {
	w := x.windows[s]
	if w == nil {
		for x.first != nil && (len(x.windows) >= maxOrigins || now-x.first.used > originAge) {
			delete(x.windows, x.first.source)
			x.unlink(x.first)
		}
		w = &window{source: s}
		x.windows[s] = w
	} else {
		x.unlink(w)
	}
	w.used = now
	x.link(w)
	return w
}

func (x *origins) link(w *window) {
	w.prev, w.next = x.last, nil
	if x.last != nil {
		x.last.next = w
	} else {
		x.first = w
	}
	x.last = w
}

func (x *origins) unlink(w *window) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		x.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		x.last = w.prev
	}
	w.prev, w.next = nil, nil
}

func (w *window) took(seq uint64) bool {
	if seq <= w.floor {
		return true
	}
	i := seq - w.floor - 1
	return i < OriginWindow && w.bits[i/64]>>(i%64)&1 != 0
}

func (w *window) take(o Origin) bool {
	w.advance(o.Floor)
	if w.took(o.Seq) {
		return false
	}
	if o.Seq > w.floor+OriginWindow {
		w.advance(o.Seq - OriginWindow)
	}
	i := o.Seq - w.floor - 1
	w.bits[i/64] |= 1 << (i % 64)
	return true
}

// advance moves the floor up.
func (w *window) advance(floor uint64) {
	if floor <= w.floor {
		return
	}
	n := floor - w.floor
	w.floor = floor
	if n >= OriginWindow {
		clear(w.bits[:])
		return
	}
	words, rest := int(n/64), n%64
	copy(w.bits[:], w.bits[words:])
	clear(w.bits[len(w.bits)-words:])
	if rest == 0 {
		return
	}
	for i := range w.bits {
		w.bits[i] >>= rest
		if i+1 < len(w.bits) {
			w.bits[i] |= w.bits[i+1] << (64 - rest)
		}
	}
}

// words returns how many words of bits are in use.
func (w *window) words() int {
	n := len(w.bits)
	for n > 0 && w.bits[n-1] == 0 {
		n--
	}
	return n
}

func (x *origins) digest(h uint64) uint64 {
	for w := x.first; w != nil; w = w.next {
		h = fold(h^w.source.Space, w.source.ID)
		h = fold(h^w.floor, uint64(w.used))
		for _, b := range w.bits[:w.words()] {
			h = fold(h, b)
		}
	}
	return h
}

// append encodes the windows, the oldest first: count, windows*{space id floor
// used words*{bits}}.
func (x *origins) append(dst []byte) []byte {
	if x == nil {
		return appendUvarints(dst, 0)
	}
	dst = appendUvarints(dst, uint64(len(x.windows)))
	for w := x.first; w != nil; w = w.next {
		dst = appendUvarints(dst, w.source.Space, w.source.ID, w.floor, uint64(w.used), uint64(w.words()))
		for _, b := range w.bits[:w.words()] {
			dst = appendUvarints(dst, b)
		}
	}
	return dst
}

func (d *decoder) origins() *origins {
	n := int(d.upTo(maxOrigins))
	if n == 0 {
		return nil
	}
	x := &origins{windows: map[Source]*window{}}
	for i := 0; i < n && d.err == nil; i++ {
		w := &window{source: Source{d.uvarint(), d.uvarint()}, floor: d.uvarint(), used: int64(d.uvarint())}
		words := int(d.upTo(uint64(len(w.bits))))
		for k := range words {
			w.bits[k] = d.uvarint()
		}
		if x.windows[w.source] != nil || words > 0 && w.bits[words-1] == 0 {
			d.fail("window of source %+v", w.source)
		}
		x.windows[w.source] = w
		x.link(w)
	}
	return x
}
