package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/plant"
)

// The first page of a segment holds its header twice, in different sectors, so
// that one bad sector does not cost the segment. The log's records follow.
const (
	segmentHeaderSize = 4096
	headerCopySize    = 80
	headerCopyAt      = 2048 // offset of the second copy
	headerMagic       = "WARRENLG"
	formatVersion     = 1
	segmentSuffix     = ".seg"
	fillStep          = 1 << 20
)

// Errors of Open.
var (
	ErrForeign = errors.New("seglog: segment of another cluster or node")
	ErrVersion = errors.New("seglog: unknown format version")
)

// A segmentHeader says which part of which log a file holds:
//
//	0 crc u32 | 4 version u32 | 8 magic | 16 cluster id | 32 node id u64 |
//	40 sequence u64 | 48 oldest segment held u64 | 56 end of the segment before u64 |
//	64 salt u32 | 68 zero
type segmentHeader struct {
	version uint32
	cluster [16]byte
	node    uint64
	seq     uint64
	oldest  uint64
	prevEnd int64 // where the records of segment seq-1 end
	salt    uint32
}

// page encodes h into b, the first page of its segment.
func (h *segmentHeader) page(b []byte) {
	clear(b[:segmentHeaderSize])
	c := b[:headerCopySize]
	le := binary.LittleEndian
	le.PutUint32(c[4:], h.version)
	copy(c[8:], headerMagic)
	copy(c[16:], h.cluster[:])
	le.PutUint64(c[32:], h.node)
	le.PutUint64(c[40:], h.seq)
	le.PutUint64(c[48:], h.oldest)
	le.PutUint64(c[56:], uint64(h.prevEnd))
	le.PutUint32(c[64:], h.salt)
	le.PutUint32(c, checksum(0, c[4:]))
	copy(b[headerCopyAt:], c)
}

func parseHeaderCopy(c []byte) (h segmentHeader, ok bool) {
	le := binary.LittleEndian
	c = c[:headerCopySize]
	if le.Uint32(c) != checksum(0, c[4:]) || string(c[8:16]) != headerMagic {
		return segmentHeader{}, false
	}
	h.version, h.node, h.seq = le.Uint32(c[4:]), le.Uint64(c[32:]), le.Uint64(c[40:])
	h.oldest, h.prevEnd, h.salt = le.Uint64(c[48:]), int64(le.Uint64(c[56:])), le.Uint32(c[64:])
	copy(h.cluster[:], c[16:])
	return h, h.seq > 0
}

// parseHeader decodes the first page of a segment. While a recycled segment is
// stamped anew its copies may differ: the newer one counts.
func parseHeader(page []byte) (h segmentHeader, ok bool) {
	h, ok = parseHeaderCopy(page)
	if h2, ok2 := parseHeaderCopy(page[headerCopyAt:]); ok2 && (!ok || h2.seq > h.seq) {
		return h2, true
	}
	return h, ok
}

// A segment is one file of the log. The file keeps its name, and its open
// handle, for life; which part of the log it holds is said by its header.
type segment struct {
	slot int // number in the file's name
	file vfs.File
	cap  int64 // records may be written up to here
	// filled is how far the file was ever written; beyond it a write changes
	// the file's size. Owned by who fills it: Prepare, then the writer.
	filled int64

	seq uint64
	// end is where the published records end, live how many bytes of it are
	// entries that a group needs. Both are guarded by Log.mu.
	end  int64
	live int64
	refs atomic.Int32 // readers at work; raised under Log.mu
}

func segmentName(slot int) string { return fmt.Sprintf("%08d%s", slot, segmentSuffix) }

func parseSegmentName(name string) (slot int, ok bool) {
	s, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	slot, err := strconv.Atoi(s)
	return slot, err == nil && slot > 0 && name == segmentName(slot)
}

// createSegment makes an empty file for a segment. Its name is durable when
// createSegment returns.
func (o *Options) createSegment(slot int) (*segment, error) {
	f, err := o.openSegment(slot)
	if err != nil {
		return nil, err
	}
	return o.namedSegment(slot, f)
}

func (o *Options) openSegment(slot int) (vfs.File, error) {
	f, err := o.FS.OpenReadWrite(o.FS.PathJoin(o.Dir, segmentName(slot)), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("seglog: creating segment: %w", err)
	}
	return f, nil
}

func (o *Options) namedSegment(slot int, f vfs.File) (*segment, error) {
	if err := syncDir(o.FS, o.Dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segment{slot: slot, file: f}, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("seglog: opening directory %s: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("seglog: syncing directory %s: %w", dir, err), d.Close())
	}
	return d.Close()
}

// writeAt writes all of b or fails.
func (s *segment) writeAt(b []byte, off int64) error {
	n, err := s.file.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("seglog: writing %d bytes at %d of segment %d (file %d): %w", len(b), off, s.seq, s.slot, err)
	}
	s.filled = max(s.filled, off+int64(len(b)))
	return nil
}

// fill writes zeros up to the given offset.
func (s *segment) fill(to int64, zeros []byte) error {
	for s.filled < to {
		if err := s.writeAt(zeros[:min(int64(len(zeros)), to-s.filled)], s.filled); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) sync() error {
	if err := s.file.SyncData(); err != nil && !plant.Is(plant.SyncErrorIgnored) {
		return fmt.Errorf("seglog: syncing segment %d (file %d): %w", s.seq, s.slot, err)
	}
	return nil
}

// readHeader reads the first page. found is false when there is no valid
// header; blank says that neither it nor what follows was ever written.
func (s *segment) readHeader() (h segmentHeader, found, blank bool, err error) {
	page := make([]byte, 2*segmentHeaderSize)
	n, err := s.file.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, false, false, fmt.Errorf("seglog: reading the header of file %d: %w", s.slot, err)
	}
	h, found = parseHeader(page)
	return h, found, len(bytes.Trim(page[:n], "\x00")) == 0, nil
}
