package seglog

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

const testSegment = 16 << 10

func testOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "log", SegmentSize: testSegment, GatherSize: 4096, CacheBytes: -1, NodeID: 7}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// add appends one entry of 100 bytes and drains.
func add(t testing.TB, l *Log, group uint64) {
	t.Helper()
	b, _ := l.Bounds(group)
	i := b.Last + 1
	data := bytes.Repeat([]byte{byte(group), byte(i)}, 50)
	l.Submit(&storage.Append{Group: group, Entries: []storage.Entry{{Index: i, Term: 1, Data: data}}})
	if l.Drain() != 1 {
		t.Fatal("nothing was written")
	}
}

// fileOf returns the bytes of the file that holds a segment, to be damaged.
func fileOf(t testing.TB, fs *vfs.MemFS, seq uint64) []byte {
	t.Helper()
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.UnsafeGetFileDataBuffer("log/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < segmentHeaderSize {
			continue
		}
		if h, ok := parseHeader(data); ok && h.seq == seq {
			return data
		}
	}
	t.Fatalf("no file holds segment %d", seq)
	return nil
}

// place returns where an entry's record lies.
func place(l *Log, group, index uint64) loc { return *l.groups[group].loc(index) }

func TestFlippedBitIsNamed(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	for range 20 {
		add(t, l, 1)
		add(t, l, 2)
	}
	at := place(l, 1, 5)
	mustClose(t, l)
	fileOf(t, fs, at.seq)[int(at.off)+recordHeaderSize+10] ^= 4

	var log bytes.Buffer
	o := testOptions(fs)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l = mustOpen(t, o)
	defer mustClose(t, l)
	want := Damage{Segment: at.seq, File: segmentName(1), Offset: int64(at.off), Length: at.size(), Known: true, Group: 1, Index: 5}
	if d := l.Damages(); len(d) != 1 || *d[0] != want {
		t.Fatalf("damages %v, want %+v", d, want)
	}
	if g := l.Groups(); !g[0].Damaged || g[1].Damaged || g[0].Last != 20 {
		t.Fatalf("groups %+v", g)
	}
	if !strings.Contains(log.String(), "segment 1 (00000001.seg), offset") || !strings.Contains(log.String(), "group=1") {
		t.Fatalf("the log does not name the place:\n%s", log.String())
	}
	_, err := l.Entries(nil, 1, 1, 21, math.MaxUint64)
	var d *Damage
	if !errors.Is(err, storage.ErrDamaged) || !errors.As(err, &d) || *d != want {
		t.Fatalf("reading over the damage: %v", err)
	}
	for _, r := range [][2]uint64{{1, 5}, {6, 21}} {
		if es, err := l.Entries(nil, 1, r[0], r[1], math.MaxUint64); err != nil || len(es) != int(r[1]-r[0]) {
			t.Fatalf("reading beside the damage: %d entries, %v", len(es), err)
		}
	}
}

func TestDamageCompactedIsNoDamage(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	for range 10 {
		add(t, l, 1)
	}
	at := place(l, 1, 3)
	l.Compact(1, 5)
	add(t, l, 1)
	mustClose(t, l)
	fileOf(t, fs, at.seq)[int(at.off)+recordHeaderSize] ^= 1
	l = mustOpen(t, testOptions(fs))
	defer mustClose(t, l)
	if g := l.Groups(); g[0].Damaged || len(l.Damages()) != 1 {
		t.Fatalf("groups %+v, damages %v", g, l.Damages())
	}
}

func TestDamagedHeaderTouchesWhomItMay(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	add(t, l, 3) // writes nothing behind the hole
	for range 5 {
		add(t, l, 1)
		add(t, l, 2)
	}
	at := place(l, 1, 3)
	mustClose(t, l)
	fileOf(t, fs, at.seq)[at.off+30] ^= 1
	l = mustOpen(t, testOptions(fs))
	g := l.Groups()
	if !g[0].Damaged || g[1].Damaged || !g[2].Damaged {
		t.Fatalf("groups %+v", g)
	}
	if d := l.Damages(); len(d) != 1 || d[0].Known || d[0].Offset != int64(at.off) || d[0].Length != at.size() {
		t.Fatalf("damages %v", d)
	}
	if _, err := l.Term(1, 3); !errors.Is(err, storage.ErrDamaged) {
		t.Fatalf("term of the lost entry: %v", err)
	}
	// A new life of the group is whole, now and later.
	l.Submit(&storage.Append{Group: 1, Reset: &storage.Reset{}})
	l.Drain()
	if b, _ := l.Bounds(1); b.Damaged || b.Last != 0 {
		t.Fatalf("begun anew: %+v", b)
	}
	mustClose(t, l)
	l = mustOpen(t, testOptions(fs))
	defer mustClose(t, l)
	if g := l.Groups(); g[0].Damaged || !g[2].Damaged {
		t.Fatalf("groups %+v", g)
	}
}

func TestTornTailIsNoDamage(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	for range 10 {
		add(t, l, 1)
	}
	at := place(l, 1, 10)
	mustClose(t, l)
	fileOf(t, fs, at.seq)[at.off+recordHeaderSize] ^= 1 // of the last drain: nobody says it was synced
	for range 2 {
		l = mustOpen(t, testOptions(fs))
		if g := l.Groups(); g[0].Damaged || g[0].Last != 9 || len(l.Damages()) != 0 {
			t.Fatalf("groups %+v, damages %v", g, l.Damages())
		}
		mustClose(t, l)
	}
}

func TestIdleMark(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	for range 10 {
		add(t, l, 1)
	}
	at := place(l, 1, 10)
	l.Tick(900 * time.Millisecond)
	l.Drain()
	syncs := l.Stats().Syncs
	l.Tick(time.Second)
	l.Drain()
	if n := l.Stats().Syncs; n != syncs+1 {
		t.Fatalf("%d syncs for the mark", n-syncs)
	}
	for i := range time.Duration(10) {
		l.Tick((2 + i) * time.Second)
		l.Drain()
	}
	if n := l.Stats().Syncs; n != syncs+1 {
		t.Fatalf("%d syncs of an idle log", n-syncs)
	}
	mustClose(t, l)
	fileOf(t, fs, at.seq)[at.off+recordHeaderSize] ^= 1 // the same bit as in the torn tail, now below a mark
	l = mustOpen(t, testOptions(fs))
	defer mustClose(t, l)
	if g := l.Groups(); !g[0].Damaged || len(l.Damages()) != 1 {
		t.Fatalf("groups %+v, damages %v", g, l.Damages())
	}
}

func TestIdleSyncsLazy(t *testing.T) {
	l := mustOpen(t, testOptions(vfs.NewMem()))
	defer mustClose(t, l)
	done := false
	l.Submit(&storage.Append{Group: 1, HasState: true, Lazy: true, Done: func() { done = true }})
	l.Drain()
	if l.Drain(); done {
		t.Fatal("Done without a sync")
	}
	l.Tick(2 * time.Second)
	if l.Drain(); !done {
		t.Fatal("not Done after an idle while")
	}
}

func TestStaleRecordsOfRecycledSegments(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	for i := uint64(1); l.Stats().Free == 0 || i%100 != 0; i++ {
		add(t, l, 1)
		l.Compact(1, i)
	}
	l.Drain()
	// Everything behind the end of the active segment is an older segment's.
	mustClose(t, l)
	l = mustOpen(t, testOptions(fs))
	defer mustClose(t, l)
	last := l.lastHeld()
	data := fileOf(t, fs, last.seq)
	stale := 0
	for off := last.end; off+recordHeaderSize <= int64(len(data)); off += recordAlign {
		if r, ok := parseRecord(data[off:], l.salt); ok && r.seq < last.seq {
			stale++
		}
	}
	if stale == 0 {
		t.Fatal("the segment was not recycled")
	}
	if g := l.Groups(); len(g) != 1 || g[0].First != g[0].Last+1 || len(l.Damages()) > 0 {
		t.Fatalf("groups %+v, damages %v", g, l.Damages())
	}
}

func TestMissingSegment(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	add(t, l, 2)
	for l.Stats().Segments < 4 {
		add(t, l, 1)
	}
	mustClose(t, l)
	if err := fs.Remove("log/" + segmentName(2)); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, testOptions(fs))
	defer mustClose(t, l)
	if d := l.Damages(); len(d) != 1 || !d[0].Missing || d[0].Segment != 2 {
		t.Fatalf("damages %v", d)
	}
	if g := l.Groups(); !g[0].Damaged || !g[1].Damaged {
		t.Fatalf("groups %+v", g)
	}
}

func TestForeignLogIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	add(t, l, 1)
	mustClose(t, l)
	for _, change := range []func(*Options){
		func(o *Options) { o.NodeID++ },
		func(o *Options) { o.ClusterID[3] = 1 },
	} {
		o := testOptions(fs)
		change(&o)
		if _, err := Open(o); !errors.Is(err, ErrForeign) {
			t.Fatalf("open: %v", err)
		}
	}
	data := fileOf(t, fs, 1)
	h, _ := parseHeader(data)
	h.version = 99
	h.page(data)
	if _, err := Open(testOptions(fs)); !errors.Is(err, ErrVersion) {
		t.Fatalf("open: %v", err)
	}
}

func TestOneHeaderCopyIsEnough(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	add(t, l, 1)
	mustClose(t, l)
	clear(fileOf(t, fs, 1)[:512])
	l = mustOpen(t, testOptions(fs))
	defer mustClose(t, l)
	if b, _ := l.Bounds(1); b.Last != 1 || b.Damaged {
		t.Fatalf("%+v", b)
	}
}

func TestLogWithoutAnyHeaderIsNotNew(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	add(t, l, 1)
	mustClose(t, l)
	clear(fileOf(t, fs, 1)[:segmentHeaderSize])
	if _, err := Open(testOptions(fs)); !errors.Is(err, storage.ErrDamaged) {
		t.Fatalf("open: %v", err)
	}
}

// A fullFS has no room for new files.
type fullFS struct {
	vfs.FS
	full  bool
	files bool // nothing can be written either
}

func (f *fullFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if f.full {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.OpenReadWrite(name, c, o...)
	if err == nil && f.files {
		file = fullFile{file, f}
	}
	return file, err
}

func TestNoSpaceAheadIsNotFatal(t *testing.T) {
	fs := &fullFS{FS: vfs.NewMem()}
	var failed error
	o := testOptions(fs)
	o.Fatal = func(err error) { failed = err }
	l := mustOpen(t, o)
	defer mustClose(t, l)
	for l.lastHeld() == nil || !l.wantAhead() {
		add(t, l, 1)
	}
	fs.full = true
	if l.Prepare() || failed != nil {
		t.Fatalf("no space to prepare a segment: %v", failed)
	}
	if add(t, l, 1); l.wantAhead() {
		t.Fatal("space is asked for again with every drain")
	}
	for failed == nil {
		l.Submit(&storage.Append{Group: 1, HasState: true})
		l.Drain()
	}
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("no space for a segment that is needed: %v", failed)
	}
}

// fullFile is one of a disk that is full: nothing can be written to it.
type fullFile struct {
	vfs.File
	fs *fullFS
}

func (f fullFile) WriteAt(b []byte, off int64) (int, error) {
	if f.fs.full {
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(b, off)
}

// A writer that finds no space asks for some, as often as it is told to, and
// nothing is lost or written twice.
func TestNoSpaceIsAwaited(t *testing.T) {
	mem := vfs.NewMem()
	fs := &fullFS{FS: mem, files: true}
	asked, failed := 0, error(nil)
	o := testOptions(fs)
	o.Fatal = func(err error) { failed = err }
	o.NoSpace = func(err error) bool {
		asked++
		fs.full = asked%3 != 0
		return true
	}
	l := mustOpen(t, o)
	for i := 0; i < 200; i++ {
		fs.full = i%5 == 0
		add(t, l, 1)
	}
	if failed != nil || asked == 0 {
		t.Fatalf("asked %d times: %v", asked, failed)
	}
	st := l.Stats()
	if st.Logged == 0 || st.Logged < st.Bytes {
		t.Errorf("logged %d, held %d", st.Logged, st.Bytes)
	}
	mustClose(t, l)

	o = testOptions(mem)
	l = mustOpen(t, o)
	defer mustClose(t, l)
	gs, _ := l.Bounds(1)
	if len(l.Damages()) != 0 || gs.Last != 200 {
		t.Errorf("after it: %+v, damages %v", gs, l.Damages())
	}
}

func TestFirstSegmentGrowsBySteps(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	o.SegmentSize = 64 << 20
	l := mustOpen(t, o)
	defer mustClose(t, l)
	add(t, l, 1)
	if n := len(fileOf(t, fs, 1)); n != fillStep {
		t.Fatalf("the first segment has %d bytes, want %d", n, fillStep)
	}
	l.Submit(&storage.Append{Group: 2, Entries: []storage.Entry{{Index: 1, Term: 1, Data: make([]byte, 3<<20)}}})
	l.Drain()
	if n := len(fileOf(t, fs, 1)); n != 4*fillStep {
		t.Fatalf("the first segment has %d bytes, want %d", n, 4*fillStep)
	}
}

// What a checkpoint frees at once is wanted again by the time of the next one, and is
// not made anew; what was not wanted for a while is deleted, and all of it at once if
// the disk is short of space.
func TestFreeSegmentsRest(t *testing.T) {
	const period = 6 // segments between two checkpoints
	o := testOptions(vfs.NewMem())
	l := mustOpen(t, o)
	defer mustClose(t, l)
	now := time.Duration(0)
	prepare := func() {
		for l.Prepare() {
		}
	}
	round := func() {
		for from := l.Stats().Segments; l.Stats().Segments < from+period; {
			add(t, l, 1)
			prepare()
		}
		b, _ := l.Bounds(1)
		l.Compact(1, b.Last)
		add(t, l, 1)
		l.Drain()
		prepare()
		now += 5 * time.Second
		l.Tick(now)
		l.Drain()
	}
	round()
	round()
	made := l.nextSlot
	for range 20 {
		round()
	}
	if l.nextSlot > made+1 {
		t.Errorf("%d files were made while %d were free at every checkpoint", l.nextSlot-made, period)
	}
	if n := l.Stats().Free; n < period-1 {
		t.Errorf("%d segments are free behind a checkpoint of %d", n, period)
	}
	for range 14 { // idle
		now += 5 * time.Second
		l.Tick(now)
		l.Drain()
		prepare()
	}
	if n := l.Stats().Free; n != 2 {
		t.Errorf("%d segments are free after a minute, want 2", n)
	}
	round()
	l.Shrink()
	prepare()
	if n := l.Stats().Free; n != 2 {
		t.Errorf("%d segments are free and the disk is short of space, want 2", n)
	}
}

func TestOptions(t *testing.T) {
	err := Options{SegmentSize: 5000, GatherSize: 1, MaxFree: -1, IdleMark: -1}.Validate()
	for _, word := range []string{"FS", "Dir", "SegmentSize", "GatherSize", "MaxFree", "IdleMark"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not complained about: %v", word, err)
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, es := range [][]storage.Entry{{{Index: 3}}, {{Index: 1}, {Index: 3}}, {{Index: 0}}} {
		func() {
			l := mustOpen(t, testOptions(vfs.NewMem()))
			defer mustClose(t, l)
			defer func() {
				if recover() == nil {
					t.Errorf("entries %v were taken", es)
				}
			}()
			l.Submit(&storage.Append{Group: 1, Entries: es})
			l.Drain()
		}()
	}
}

func TestDrainAllocatesNothing(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.SegmentSize, o.GatherSize, o.CacheBytes = 64<<20, 1<<20, 1<<20
	l := mustOpen(t, o)
	defer mustClose(t, l)
	data := make([]byte, 100)
	appends := make([]storage.Append, 64)
	for i := range appends {
		appends[i] = storage.Append{Group: uint64(i % 16), Entries: make([]storage.Entry, 1), HasState: true, Done: func() {}}
	}
	index := uint64(0)
	round := func() {
		for i := range appends {
			if i%16 == 0 {
				index++
			}
			a := &appends[i]
			a.Entries[0] = storage.Entry{Index: index, Term: 1, Data: data}
			l.Submit(a)
		}
		if l.Drain() != len(appends) {
			t.Fatal("not all was written")
		}
		for g := range uint64(16) {
			l.Compact(g, index-min(index, 8))
		}
	}
	for range 300 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Fatalf("%v allocations in a drain", n)
	}
}
