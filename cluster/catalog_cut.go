package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/slot"
)

// Keys of the catalog in the state store, behind its slot (see storage/slot):
//
//	'S' slot 'a'   applied index, term, configuration
//	'S' slot 'o'   an object, under its own key
const (
	keyApplied = 'a'
	keyObject  = 'o'
)

func catalogKey(in uint64, kind byte, rest ...byte) []byte {
	return append(append(slot.Prefix(nil, in), kind), rest...)
}

// CatalogMark returns where the catalog that is in a slot stands in its log; ok
// is false if there is none.
func CatalogMark(r storage.Reader, in uint64) (m slot.Mark, ok bool, err error) {
	meta, err := r.Get(nil, catalogKey(in, keyApplied))
	if errors.Is(err, storage.ErrNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	for _, v := range []*uint64{&m.Index, &m.Term} {
		n := 0
		if *v, n = binary.Uvarint(meta); n <= 0 {
			return m, false, fmt.Errorf("%w: where the catalog stands", storage.ErrDamaged)
		}
		meta = meta[n:]
	}
	m.Conf = meta
	return m, true, nil
}

// Group implements checkpoint.Source.
func (c *Catalog) Group() uint64 { return CatalogGroup }

// Progress implements checkpoint.Source.
func (c *Catalog) Progress() (applied, cut uint64, dirty int) {
	return c.progress.applied.Load(), c.progress.cut.Load(), int(c.progress.dirty.Load())
}

// Cut implements checkpoint.Source.
func (c *Catalog) Cut(ready func(checkpoint.Cut)) {
	c.mu.Lock()
	c.mu.wantCut = ready
	c.mu.Unlock()
	c.group.Wake()
}

type catalogCut struct {
	c    *Catalog
	slot uint64
	at   slot.Mark
	keys []changedKey
}

type changedKey struct {
	key, value []byte
	deleted    bool
}

func (c *Catalog) cut() *catalogCut {
	k := &catalogCut{c: c, slot: c.slot, at: slot.Mark{Index: c.applied, Term: c.term, Conf: c.group.AppendConf(nil)}}
	c.m.TakeDirty(func(key, value []byte, deleted bool) {
		k.keys = append(k.keys, changedKey{catalogKey(k.slot, keyObject, key...), append([]byte(nil), value...), deleted})
	})
	c.progress.dirty.Store(0)
	return k
}

// Index implements checkpoint.Cut.
func (k *catalogCut) Index() uint64 { return k.at.Index }

// Bodies implements checkpoint.Cut: the catalog has none.
func (k *catalogCut) Bodies(func() storage.Batch) error { return nil }

// State implements checkpoint.Cut.
func (k *catalogCut) State(b storage.Batch) error {
	for _, e := range k.keys {
		if e.deleted {
			b.Delete(e.key)
		} else {
			b.Set(e.key, e.value)
		}
	}
	at := binary.AppendUvarint(binary.AppendUvarint(nil, k.at.Index), k.at.Term)
	b.Set(catalogKey(k.slot, keyApplied), append(at, k.at.Conf...))
	return nil
}

// Durable implements checkpoint.Cut.
func (k *catalogCut) Durable() {
	c := k.c
	c.mu.Lock()
	c.mu.saved = append(c.mu.saved, func() {
		if k.slot == c.slot {
			c.progress.cut.Store(k.at.Index)
			c.group.Compact(k.at.Index)
		}
		if c.cutting--; c.cutting == 0 && c.installing != nil {
			c.installing()
		}
	})
	c.mu.Unlock()
	c.group.Wake()
}

// restore loads the catalog's last checkpoint.
func (c *Catalog) restore() (at CatalogAt, err error) {
	c.slot = CatalogGroup
	if c.o.Slots != nil {
		c.slot = c.o.Slots.Of(CatalogGroup)
	}
	m, ok, err := CatalogMark(c.o.State, c.slot)
	if err != nil {
		return at, err
	}
	if !ok {
		c.m = catalog.New()
		return at, nil
	}
	it, err := c.o.State.Iter(catalogKey(c.slot, keyObject), catalogKey(c.slot, keyObject+1))
	if err != nil {
		return at, err
	}
	prefix := len(catalogKey(c.slot, keyObject))
	l := catalog.NewLoader()
	for it.Next() {
		if err := l.Put(it.Key()[prefix:], it.Value()); err != nil {
			_ = it.Close() // the first error counts
			return at, err
		}
	}
	if err := it.Close(); err != nil {
		return at, err
	}
	c.m, c.applied, c.term = l.Machine(), m.Index, m.Term
	c.progress.applied.Store(m.Index)
	c.progress.cut.Store(m.Index)
	return CatalogAt{Applied: m.Index, Conf: m.Conf}, nil
}

// Install implements raftgroup.SnapshotInstaller: the snapshot that is staged in
// CatalogOptions.Slots takes the place of the catalog. The switch waits for the
// cut that is being written.
func (c *Catalog) Install(s raftgroup.Snapshot, done func()) {
	c.installing = func() {
		c.installing = nil
		if err := c.install(s.Index); err != nil {
			c.failed = true
			c.o.Fatal(fmt.Errorf("install the catalog's snapshot at %d: %w", s.Index, err))
			return
		}
		done()
	}
	if c.cutting == 0 {
		c.installing()
	}
}

func (c *Catalog) install(index uint64) error {
	if c.o.Slots == nil {
		return errors.New("there are no slots")
	}
	if err := c.o.Slots.Switch(CatalogGroup, index); err != nil {
		return err
	}
	step.At(step.SnapshotSwitched)
	n, at, err := OpenCatalog(c.o)
	if err != nil {
		return err
	}
	if at.Applied != index {
		return fmt.Errorf("%w: it stands at %d", storage.ErrDamaged, at.Applied)
	}
	before := c.m.View()
	c.m, c.slot, c.applied, c.term = n.m, n.slot, n.applied, n.term
	c.progress.applied.Store(index)
	c.progress.cut.Store(index)
	c.progress.dirty.Store(0)
	v := c.m.View()
	c.view.Store(v)
	if c.o.Changed != nil {
		c.o.Changed(v, catalog.Diff(before, v))
	}
	step.At(step.SnapshotIn)
	c.installed(v)
	c.passed()
	return nil
}

// installed tells those whose commands are part of a snapshot: they were
// performed, and with what result is not known here.
func (c *Catalog) installed(v *catalog.View) {
	o := &c.own
	o.resend = true
	if o.inc == 0 {
		return
	}
	i := v.Incarnation(o.inc)
	if i == nil {
		c.ended()
		return
	}
	var gone []*call
	o.sent = slices.DeleteFunc(o.sent, func(w *call) bool {
		in := w.mark.Set() && w.mark.Number <= i.Last
		if in {
			gone = append(gone, w)
		}
		return in
	})
	for _, w := range gone {
		w.answer(catalog.Result{}, ErrUnknown)
	}
}
