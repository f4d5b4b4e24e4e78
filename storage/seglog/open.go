package seglog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

// Open recovers the log of a directory. A torn tail is cut, and what survived
// is synced before Open returns. Damage below what was synced does not stop it:
// see Damages, and GroupState.Damaged.
func Open(opts Options) (*Log, error) {
	opts = opts.withDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	l := &Log{
		opts:        opts,
		wake:        make(chan struct{}, 1),
		prepareWake: make(chan struct{}, 1),
		groups:      map[uint64]*group{},
	}
	l.recent.max = opts.CacheBytes
	l.w.buf = make([]byte, 0, opts.GatherSize&^(recordAlign-1))
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	return l, nil
}

func (l *Log) recover() error {
	if err := l.makeDir(); err != nil {
		return err
	}
	if err := l.openFiles(); err != nil {
		return err
	}
	// So far all files are in l.free.
	d := directory{log: l, scan: scanner{}}
	if err := d.identify(); err != nil {
		return err
	}
	if d.last == nil {
		return l.makeSalt()
	}
	if err := d.arrange(); err != nil {
		return err
	}
	r := replay{log: l, scan: &d.scan, groups: map[uint64]*replayed{}}
	if err := r.run(&d); err != nil {
		return err
	}
	r.finish()
	last := l.lastHeld()
	l.w.syncedSeq, l.w.syncedOff = last.seq, last.end
	l.wantPrepare()
	return nil
}

// makeDir makes the directory and its name durable.
func (l *Log) makeDir() error {
	fs, dir := l.opts.FS, l.opts.Dir
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("seglog: making directory: %w", err)
	}
	return syncDir(fs, fs.PathDir(dir))
}

func (l *Log) makeSalt() error {
	if l.opts.Rand == nil {
		return nil
	}
	var b [4]byte
	if _, err := io.ReadFull(l.opts.Rand, b[:]); err != nil {
		return fmt.Errorf("seglog: making a salt: %w", err)
	}
	l.salt = binary.LittleEndian.Uint32(b[:])
	return nil
}

func (l *Log) openFiles() error {
	fs := l.opts.FS
	names, err := fs.List(l.opts.Dir)
	if err != nil {
		return fmt.Errorf("seglog: listing the log: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		slot, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		l.nextSlot = max(l.nextSlot, slot)
		f, err := fs.OpenReadWrite(fs.PathJoin(l.opts.Dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			return fmt.Errorf("seglog: opening a segment: %w", err)
		}
		s := &segment{slot: slot, file: f}
		l.free = append(l.free, s)
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("seglog: opening file %d: %w", slot, err)
		}
		s.filled = info.Size()
		s.cap = s.filled
	}
	return nil
}

// A directory sorts a log's files: which segment each holds, if any.
type directory struct {
	log     *Log
	scan    scanner
	last    *segment
	oldest  uint64
	headers map[uint64]segmentHeader // by sequence; none where a header was lost
	bySeq   map[uint64]*segment
}

// identify finds out which segment each file holds, by its header or else by
// its records, and which is the last.
func (d *directory) identify() error {
	l := d.log
	d.headers, d.bySeq = map[uint64]segmentHeader{}, map[uint64]*segment{}
	var unknown []*segment
	for _, s := range l.free {
		h, found, blank, err := s.readHeader()
		if err != nil {
			return err
		}
		switch {
		case found:
			if err := l.accept(s, &h); err != nil {
				return err
			}
			if err := d.claim(s, h.seq); err != nil {
				return err
			}
			d.headers[h.seq] = h
			d.oldest = max(d.oldest, h.oldest)
			l.salt = h.salt
		case !blank:
			unknown = append(unknown, s)
		}
	}
	for _, s := range unknown {
		if err := d.salvage(s); err != nil {
			return err
		}
	}
	return nil
}

// accept refuses a segment of another log.
func (l *Log) accept(s *segment, h *segmentHeader) error {
	if h.cluster != l.opts.ClusterID || h.node != l.opts.NodeID {
		return fmt.Errorf("%w: file %d is of cluster %x, node %d", ErrForeign, s.slot, h.cluster, h.node)
	}
	if h.version != formatVersion {
		return fmt.Errorf("%w: file %d has %d, this program knows %d", ErrVersion, s.slot, h.version, formatVersion)
	}
	return nil
}

func (d *directory) claim(s *segment, seq uint64) error {
	if other := d.bySeq[seq]; other != nil {
		return fmt.Errorf("seglog: files %d and %d both hold segment %d: %w", other.slot, s.slot, seq, storage.ErrDamaged)
	}
	s.seq = seq
	d.bySeq[seq] = s
	if d.last == nil || seq > d.last.seq {
		d.last = s
	}
	return nil
}

// salvage deals with a file whose header is damaged. A header is synced before
// the first record, so a file with valid records was a segment.
func (d *directory) salvage(s *segment) error {
	if len(d.headers) == 0 {
		d.scan.reset(s, s.filled)
		if torn, err := d.scan.blank(segmentHeaderSize); torn || err != nil {
			return err // the log's very first write
		}
		return fmt.Errorf("seglog: the only segment's header is damaged (file %d): %w", s.slot, storage.ErrDamaged)
	}
	d.scan.salt = d.log.salt
	d.scan.reset(s, s.filled)
	seq, err := d.scan.firstSequence()
	if err != nil {
		return err
	}
	if seq == 0 {
		d.log.opts.Logger.Warn("log file holds no segment", "file", s.slot)
		return nil
	}
	d.log.opts.Logger.Error("log segment header damaged", "file", s.slot, "segment", seq)
	if seq < d.oldest || d.bySeq[seq] != nil || d.last == nil || seq > d.last.seq+1 {
		return nil
	}
	return d.claim(s, seq)
}

// arrange finds the end of the log and puts the segments from the oldest to
// the last into Log.held, with empty places for missing ones.
func (d *directory) arrange() error {
	l := d.log
	if err := d.last.sync(); err != nil {
		return err
	}
	d.scan.salt = l.salt
	d.scan.reset(d.last, d.last.filled)
	t, err := d.scan.tail()
	if err != nil {
		return err
	}
	d.last.end = t.cut
	if t.torn > 0 {
		l.opts.Logger.Info("torn tail of the log cut: records that no sync vouches for",
			"file", segmentName(d.last.slot), "text", fmt.Sprintf("offset %d", t.cut), "count", t.torn)
	}
	if t.oldest <= d.last.seq {
		d.oldest = max(d.oldest, t.oldest)
	}
	if d.oldest == 0 || d.oldest > d.last.seq || d.last.seq-d.oldest > uint64(len(l.free))+1<<16 {
		return fmt.Errorf("seglog: segments %d to %d in %d files: %w", d.oldest, d.last.seq, len(l.free), storage.ErrDamaged)
	}
	for seq := d.oldest; seq <= d.last.seq; seq++ {
		s := d.bySeq[seq]
		if s == nil {
			s = &segment{seq: seq, end: segmentHeaderSize}
		}
		l.held = append(l.held, s)
	}
	l.free = slices.DeleteFunc(l.free, func(s *segment) bool { return s.seq >= d.oldest })
	slices.SortFunc(l.free, func(a, b *segment) int { return cmp.Compare(a.slot, b.slot) })
	return nil
}
