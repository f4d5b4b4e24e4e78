package cluster

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/slot"
)

// Keys of the catalog in the state store, behind the prefix of its slot (see
// storage/slot): 'C' and the catalog's own key; and one that says where the
// checkpoint stands: index, term, configuration.
const (
	keyObject  = 'C'
	keyApplied = 'A'
)

// key returns a key of a slot of the catalog.
func key(in uint64, kind byte, rest []byte) []byte {
	return append(append(slot.Prefix(nil, in), kind), rest...)
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
	c     *Catalog
	slot  uint64
	index uint64
	term  uint64
	conf  []byte
	keys  []catalogKey
}

type catalogKey struct {
	key, value []byte
	deleted    bool
}

func (c *Catalog) cut() *catalogCut {
	c.cutting++
	k := &catalogCut{c: c, slot: c.slot, index: c.applied, term: c.atTerm, conf: c.group.AppendConf(nil)}
	c.m.TakeDirty(func(of, value []byte, deleted bool) {
		k.keys = append(k.keys, catalogKey{key(k.slot, keyObject, of), append([]byte(nil), value...), deleted})
	})
	c.progress.dirty.Store(0)
	return k
}

// Index implements checkpoint.Cut.
func (k *catalogCut) Index() uint64 { return k.index }

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
	v := binary.AppendUvarint(binary.AppendUvarint(nil, k.index), k.term)
	b.Set(key(k.slot, keyApplied, nil), append(v, k.conf...))
	return nil
}

// Durable implements checkpoint.Cut.
func (k *catalogCut) Durable() {
	c := k.c
	c.mu.Lock()
	c.mu.saved = append(c.mu.saved, func() {
		if c.cutEnded(); k.slot != c.slot {
			return
		}
		c.progress.cut.Store(k.index)
		c.group.Compact(k.index)
	})
	c.mu.Unlock()
	c.group.Wake()
}

// restore loads the catalog's last checkpoint.
func (c *Catalog) restore() (at CatalogAt, err error) {
	mark, ok, err := CatalogMark(c.o.State, c.slot)
	if err != nil {
		return at, err
	}
	if !ok {
		c.m = catalog.New()
		return at, nil
	}
	at.Applied, at.Conf = mark.Index, mark.Conf
	it, err := c.o.State.Iter(key(c.slot, keyObject, nil), key(c.slot, keyObject+1, nil))
	if err != nil {
		return at, err
	}
	n := len(key(c.slot, keyObject, nil))
	l := catalog.NewLoader()
	for it.Next() {
		if err := l.Put(it.Key()[n:], it.Value()); err != nil {
			_ = it.Close() // the first error counts
			return at, err
		}
	}
	if err := it.Close(); err != nil {
		return at, err
	}
	c.m, c.applied, c.atTerm = l.Machine(), at.Applied, mark.Term
	c.progress.applied.Store(at.Applied)
	c.progress.cut.Store(at.Applied)
	return at, nil
}
