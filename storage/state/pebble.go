package state

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

// Pebble is a storage.State on disk. All methods may be called from any
// goroutine, but for Close, which comes last.
type Pebble struct {
	db     *pebble.DB
	disk   *disk     // what stands between Pebble and Options.FS
	watch  io.Closer // of the slow disk watch
	closed chan struct{}

	committed atomic.Uint64 // batches committed so far
	flush     struct {
		sync.Mutex
		durable uint64 // batches known to be durable
	}
}

// OpenPebble opens the store in o.Dir, making it when it is missing. What it
// finds is a prefix of the batches once committed, with all that a finished
// Flush covered.
func OpenPebble(o Options) (*Pebble, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	ev := &events{log: o.Logger.With("store", "state"), fatal: o.Fatal, damaged: o.Damaged}
	d := newDisk(o.FS, o.Clock)
	ev.full = d.full
	p := &Pebble{disk: d, closed: make(chan struct{})}
	var fs vfs.FS
	fs, p.watch = vfs.WithDiskHealthChecks(d, max(0, o.SlowDisk), nil, ev.diskSlow)
	db, err := pebble.Open(o.Dir, pebbleOptions(o, fs, ev))
	if err != nil {
		d.stop()
		return nil, errors.Join(fmt.Errorf("state: open %s: %w", o.Dir, damaged(err)), p.watch.Close())
	}
	p.db = db
	return p, nil
}

// pebbleOptions says why of each setting in DESIGN.md.
func pebbleOptions(o Options, fs vfs.FS, ev *events) *pebble.Options {
	po := &pebble.Options{
		FS:                          fs,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   o.cache(),
		MemTableSize:                o.memtable(),
		MemTableStopWritesThreshold: stopMemtables,
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               512 << 20,
		BytesPerSync:                1 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		MaxOpenFiles:                512,
		Logger:                      ev,
		EventListener:               ev.listener(),
	}
	po.TargetFileSizes[0] = 64 << 20
	po.Experimental.FileCacheShards = 2
	po.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return po
}

// Get appends the value of key to dst.
func (p *Pebble) Get(dst, key []byte) ([]byte, error) { return get(p.db, dst, key) }

func get(r pebble.Reader, dst, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, storage.ErrNotFound
	}
	if err != nil {
		return dst, fmt.Errorf("state: get: %w", damaged(err))
	}
	dst = append(dst, v...)
	if err := closer.Close(); err != nil {
		return dst, fmt.Errorf("state: get: %w", damaged(err))
	}
	return dst, nil
}

// Iter iterates over [lower, upper) as it is now; nil means unbounded.
func (p *Pebble) Iter(lower, upper []byte) (storage.Iterator, error) {
	return iter(p.db, lower, upper)
}

func iter(r pebble.Reader, lower, upper []byte) (storage.Iterator, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("state: iterate: %w", damaged(err))
	}
	return &pebbleIter{it: it}, nil
}

// Snapshot returns what is readable now. It must be closed before the store is.
func (p *Pebble) Snapshot() storage.Snapshot { return pebbleSnapshot{p.db.NewSnapshot()} }

type pebbleSnapshot struct{ s *pebble.Snapshot }

func (s pebbleSnapshot) Get(dst, key []byte) ([]byte, error) { return get(s.s, dst, key) }

func (s pebbleSnapshot) Iter(lower, upper []byte) (storage.Iterator, error) {
	return iter(s.s, lower, upper)
}

func (s pebbleSnapshot) Close() error {
	if err := s.s.Close(); err != nil {
		return fmt.Errorf("state: close a snapshot: %w", err)
	}
	return nil
}

// Flush returns when everything committed before the call is durable. On a
// full disk that is when there is space again.
func (p *Pebble) Flush() error {
	want := p.committed.Load()
	p.flush.Lock()
	defer p.flush.Unlock()
	if want <= p.flush.durable {
		return nil
	}
	want = p.committed.Load()
	done, err := p.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("state: flush: %w", err)
	}
	select {
	case <-done:
	case <-p.closed:
		return ErrClosed
	}
	p.flush.durable = want
	return nil
}

// Close ends the store without flushing it. Iterators must be closed before.
func (p *Pebble) Close() error {
	close(p.closed)
	p.disk.stop()
	if err := errors.Join(p.db.Close(), p.watch.Close()); err != nil {
		return fmt.Errorf("state: close: %w", err)
	}
	return nil
}

// damaged marks an error that says that the store's files were changed or lost.
func damaged(err error) error {
	if i := pebble.ExtractDataCorruptionInfo(err); i != nil {
		return damagedFile(i)
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", storage.ErrDamaged, err)
	}
	return err
}

// damagedFile says which file is damaged, without the mark that carries it.
func damagedFile(i *pebble.DataCorruptionInfo) error {
	return fmt.Errorf("%w: %s: %w", storage.ErrDamaged, i.Path, i.Details)
}

type pebbleIter struct {
	it     *pebble.Iterator
	placed bool
}

func (i *pebbleIter) Next() bool {
	if i.placed {
		return i.it.Next()
	}
	i.placed = true
	return i.it.First()
}

func (i *pebbleIter) SeekGE(key []byte) bool {
	i.placed = true
	return i.it.SeekGE(key)
}

func (i *pebbleIter) Key() []byte { return i.it.Key() }

func (i *pebbleIter) Value() []byte { return i.it.Value() }

func (i *pebbleIter) Close() error {
	if err := i.it.Close(); err != nil {
		return fmt.Errorf("state: iterate: %w", damaged(err))
	}
	return nil
}
