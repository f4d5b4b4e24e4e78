package seglog

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// put gathers one record of a group, or of none, into the write buffer and
// returns where it will lie. After an error it does nothing; finish reports it.
func (l *Log) put(g *group, r *record, data []byte) loc {
	w := &l.w
	size := recordSize(len(data))
	if w.err == nil && (w.active == nil || w.end+size > w.active.cap) {
		w.err = l.roll(size)
	}
	if w.err != nil {
		return loc{}
	}
	r.seq, r.len, r.dataCRC = w.active.seq, uint32(len(data)), checksum(0, data)
	if g != nil {
		if g.ord = nextOrdinal(g.ord); !g.born {
			g.ord, g.born = bornOrdinal(r.seq, w.end), true
		}
		r.ord = g.ord
	}
	w.logged += uint64(size)
	at := loc{term: r.term, seq: r.seq, off: uint32(w.end), len: r.len}
	r.put(l.space(recordHeaderSize), l.salt)
	l.gather(data)
	pad := l.space(int(size) - recordHeaderSize - len(data))
	clear(pad)
	return at
}

// space returns the next n bytes of the buffer, a few, to be filled.
func (l *Log) space(n int) []byte {
	w := &l.w
	if cap(w.buf)-len(w.buf) < n {
		l.flush()
	}
	w.buf = w.buf[:len(w.buf)+n]
	w.end += int64(n)
	return w.buf[len(w.buf)-n:]
}

func (l *Log) gather(data []byte) {
	w := &l.w
	for len(data) > 0 {
		if len(w.buf) == cap(w.buf) {
			l.flush()
		}
		n := copy(w.buf[len(w.buf):cap(w.buf)], data)
		w.buf = w.buf[:len(w.buf)+n]
		w.end += int64(n)
		data = data[n:]
	}
}

// flush writes the buffer.
func (l *Log) flush() {
	w := &l.w
	if w.err == nil && len(w.buf) > 0 {
		w.dirty = true
		w.err = l.insist(func() error { return w.active.writeAt(w.buf, w.end-int64(len(w.buf))) })
	}
	w.buf = w.buf[:0]
}

// insist does f, a write, again for as long as the disk is full and NoSpace says
// so. A write that found no space did no harm: it is the same bytes in the same
// place. A failed sync is another matter and never done again.
func (l *Log) insist(f func() error) error {
	for {
		err := f()
		if err == nil || !errors.Is(err, syscall.ENOSPC) || l.opts.NoSpace == nil || !l.opts.NoSpace(err) {
			return err
		}
	}
}

// finish writes the rest of a drain and syncs it if it must be.
func (l *Log) finish(mustSync bool) bool {
	w := &l.w
	l.flush()
	if w.err == nil {
		w.err = l.growAhead()
	}
	if w.err == nil && mustSync {
		w.err = l.syncActive()
	}
	if w.err != nil {
		l.fatal(w.err)
		return false
	}
	return true
}

// growAhead keeps a file that was not zero-filled before its use from growing
// with every drain: it grows by steps.
func (l *Log) growAhead() error {
	w := &l.w
	if s := w.active; s.filled == w.end && s.filled < s.cap {
		err := l.fillTo(min(s.cap, (w.end/fillStep+1)*fillStep))
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		// What has to be there is there; it grows with the next drain.
	}
	return nil
}

func (l *Log) fillTo(to int64) error {
	if l.w.zeros == nil {
		l.w.zeros = make([]byte, fillStep/4)
	}
	return l.w.active.fill(to, l.w.zeros)
}

func (l *Log) syncActive() error {
	w := &l.w
	if !w.dirty {
		return nil
	}
	if err := w.active.sync(); err != nil {
		return err
	}
	w.syncedSeq, w.syncedOff = w.active.seq, w.end
	w.dirty, w.unmarked = false, true
	l.syncs.Add(1)
	return nil
}

// roll ends the active segment and begins the next, with room for a record of
// the given size. The order is what recovery relies on: all of a segment is
// synced before the next one's header is written, and that header is synced
// before any record follows it.
func (l *Log) roll(size int64) error {
	w := &l.w
	if w.active != nil {
		if l.flush(); w.err != nil {
			return w.err
		}
		if err := l.syncActive(); err != nil {
			return err
		}
	}
	h := l.endSegment()
	s, err := l.takeFree(segmentHeaderSize + size)
	if err != nil {
		return err
	}
	s.seq, s.end, s.live = h.seq, segmentHeaderSize, 0
	s.cap = max(l.opts.SegmentSize, s.filled, segmentHeaderSize+size)
	page := make([]byte, segmentHeaderSize)
	h.page(page)
	if err := l.insist(func() error { return s.writeAt(page, 0) }); err != nil {
		return err
	}
	w.active, w.end = s, segmentHeaderSize
	if err := l.growAhead(); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	w.syncedSeq, w.syncedOff = s.seq, segmentHeaderSize
	l.mu.Lock()
	l.held = append(l.held, s)
	l.mu.Unlock()
	return nil
}

// endSegment notes where the last segment's records end, and returns the
// header of the next one.
func (l *Log) endSegment() segmentHeader {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := segmentHeader{
		version: formatVersion, cluster: l.opts.ClusterID, node: l.opts.NodeID,
		seq: 1, oldest: 1, prevEnd: segmentHeaderSize, salt: l.salt,
	}
	if last := l.lastHeld(); last != nil {
		if last == l.w.active {
			last.end = l.w.end
		}
		h.seq, h.oldest, h.prevEnd = last.seq+1, l.held[0].seq, last.end
	}
	return h
}

// takeFree returns a file for a segment that needs the given space at once:
// one that nobody needs or reads any more, else a new one.
func (l *Log) takeFree(need int64) (*segment, error) {
	l.mu.Lock()
	for i, s := range l.free {
		if s.refs.Load() == 0 && max(s.filled, l.opts.SegmentSize) >= need {
			l.unfree(i)
			l.mu.Unlock()
			return s, nil
		}
	}
	slot := l.takeSlot()
	l.mu.Unlock()
	var f vfs.File
	err := l.insist(func() (err error) { f, err = l.opts.openSegment(slot); return err })
	if err != nil {
		return nil, err
	}
	return l.opts.namedSegment(slot, f)
}

// takeSlot returns an unused file number; l.mu is held.
func (l *Log) takeSlot() int {
	l.nextSlot++
	return l.nextSlot
}
