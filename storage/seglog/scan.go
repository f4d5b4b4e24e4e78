package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A scanner reads the records of one segment through a buffer of bounded size.
type scanner struct {
	seg  *segment
	salt uint32
	size int64 // of the file
	buf  []byte
	base int64 // offset of have in the file
	have []byte
}

const scanBuffer = 256 << 10

// A verdict is what a scanner found at an offset.
type verdict int

const (
	good    verdict = iota
	badData         // the header can be believed, the data is damaged
	bad             // nothing can be believed
)

func (s *scanner) reset(seg *segment, size int64) {
	s.seg, s.size, s.have = seg, size, nil
	if want := min(scanBuffer, max(size, 2*recordHeaderSize)); int64(len(s.buf)) < want {
		s.buf = make([]byte, want)
	}
}

// window returns up to n bytes at off, fewer only at the end of the file.
func (s *scanner) window(off int64, n int) ([]byte, error) {
	if off >= s.size {
		return nil, nil
	}
	if off < s.base || off+int64(n) > s.base+int64(len(s.have)) && s.base+int64(len(s.have)) < s.size || s.have == nil {
		b := s.buf[:min(int64(len(s.buf)), s.size-off)]
		if m, err := s.seg.file.ReadAt(b, off); m < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("seglog: reading segment %d at %d: %w", s.seg.seq, off, err)
		}
		s.base, s.have = off, b
	}
	b := s.have[off-s.base:]
	return b[:min(n, len(b))], nil
}

// next judges the record at off. Of its data only a vote is returned.
func (s *scanner) next(off int64) (r record, vote []byte, v verdict, err error) {
	b, err := s.window(off, recordHeaderSize)
	if err != nil || len(b) < recordHeaderSize {
		return record{}, nil, bad, err
	}
	r, ok := parseRecord(b, s.salt)
	if !ok || r.seq != s.seg.seq || off+r.size() > s.size {
		return record{}, nil, bad, nil
	}
	sum, at, left := uint32(0), off+recordHeaderSize, int(r.len)
	for left > 0 {
		if b, err = s.window(at, min(left, len(s.buf))); err != nil {
			return record{}, nil, bad, err
		}
		sum, at, left = checksum(sum, b), at+int64(len(b)), left-len(b)
	}
	if sum != r.dataCRC {
		return r, nil, badData, nil
	}
	if r.kind == kindHardState {
		vote = b
	}
	return r, vote, good, nil
}

// resync returns the offset of the next record header in [off, end), or end.
func (s *scanner) resync(off, end int64) (int64, error) {
	end = min(end, s.size)
	for off+recordHeaderSize <= end {
		b, err := s.window(off, int(min(int64(len(s.buf)), end-off)))
		if err != nil {
			return end, err
		}
		i := 0
		for ; i+recordHeaderSize <= len(b); i += recordAlign {
			if binary.LittleEndian.Uint64(b[i+16:])&seqMask != s.seg.seq {
				continue
			}
			if r, ok := parseRecord(b[i:], s.salt); ok && off+int64(i)+r.size() <= end {
				return off + int64(i), nil
			}
		}
		off += int64(i)
	}
	return end, nil
}

// firstSequence returns the sequence in the first record that the file holds,
// whatever its header says, or 0.
func (s *scanner) firstSequence() (uint64, error) {
	for off := int64(segmentHeaderSize); off+recordHeaderSize <= s.size; {
		b, err := s.window(off, int(min(int64(len(s.buf)), s.size-off)))
		if err != nil {
			return 0, err
		}
		i := 0
		for ; i+recordHeaderSize <= len(b); i += recordAlign {
			if r, ok := parseRecord(b[i:], s.salt); ok {
				return r.seq, nil
			}
		}
		off += int64(i)
	}
	return 0, nil
}

// blank says that there are only zeros from off on.
func (s *scanner) blank(off int64) (bool, error) {
	for off < s.size {
		b, err := s.window(off, len(s.buf))
		if err != nil || len(bytes.Trim(b, "\x00")) > 0 {
			return false, err
		}
		off += int64(len(b))
	}
	return true, nil
}

// A tail is what the last segment says of itself.
type tail struct {
	cut    int64  // its records end here
	torn   int    // records behind the cut of which at least the header is whole
	oldest uint64 // the oldest segment held, as the last mark before the cut says
}

// tail finds the end of the last segment: the first record that is not whole
// and lies above everything that a SYNCED mark vouches for. Marks are believed
// wherever they lie, since what they say was true when they were made.
func (s *scanner) tail() (tail, error) {
	synced := int64(segmentHeaderSize)
	t := tail{cut: -1}
	type broken struct {
		off    int64
		oldest uint64
	}
	var breaks []broken
	oldest, torn := uint64(0), 0
	off := int64(segmentHeaderSize)
	for off < s.size {
		r, _, v, err := s.next(off)
		if err != nil {
			return t, err
		}
		if v != good {
			// Of breaks in a row below one mark only the first matters.
			breaks = append(breaks, broken{off, oldest})
		}
		if v == bad {
			if off, err = s.resync(off+recordAlign, s.size); err != nil {
				return t, err
			}
			continue
		}
		if v == good && r.kind == kindSynced {
			oldest = max(oldest, r.term)
			if r.group == s.seg.seq && r.index > uint64(synced) && r.index <= uint64(off) {
				synced = int64(r.index)
				n := 0
				for n < len(breaks) && breaks[n].off < synced {
					n++
				}
				breaks = breaks[n:]
				torn = 0
			}
		}
		if len(breaks) > 0 {
			torn++
		}
		off += r.size()
	}
	t.cut, t.oldest = max(min(off, s.size), segmentHeaderSize), oldest
	if len(breaks) > 0 {
		t.cut, t.oldest, t.torn = breaks[0].off, breaks[0].oldest, torn
	}
	return t, nil
}
