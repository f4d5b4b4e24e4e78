package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
)

// Keys of the catalog in the state store: 'C' and the catalog's own key; and
// one that says where the checkpoint stands.
const (
	keyObject  = "C"
	keyObjects = "D"
	keyApplied = "A"
)

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
	index uint64
	conf  []byte
	keys  []catalogKey
}

type catalogKey struct {
	key, value []byte
	deleted    bool
}

func (c *Catalog) cut() *catalogCut {
	k := &catalogCut{c: c, index: c.applied, conf: c.group.AppendConf(nil)}
	c.m.TakeDirty(func(key, value []byte, deleted bool) {
		k.keys = append(k.keys, catalogKey{append([]byte(keyObject), key...), append([]byte(nil), value...), deleted})
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
	b.Set([]byte(keyApplied), append(binary.AppendUvarint(nil, k.index), k.conf...))
	return nil
}

// Durable implements checkpoint.Cut.
func (k *catalogCut) Durable() {
	c := k.c
	c.mu.Lock()
	c.mu.saved = append(c.mu.saved, func() {
		c.progress.cut.Store(k.index)
		c.group.Compact(k.index)
	})
	c.mu.Unlock()
	c.group.Wake()
}

// restore loads the catalog's last checkpoint.
func (c *Catalog) restore() (at CatalogAt, err error) {
	meta, err := c.o.State.Get(nil, []byte(keyApplied))
	if errors.Is(err, storage.ErrNotFound) {
		c.m = catalog.New()
		return at, nil
	}
	if err != nil {
		return at, err
	}
	n := 0
	if at.Applied, n = binary.Uvarint(meta); n <= 0 {
		return at, fmt.Errorf("%w: catalog's index", storage.ErrDamaged)
	}
	at.Conf = meta[n:]
	it, err := c.o.State.Iter([]byte(keyObject), []byte(keyObjects))
	if err != nil {
		return at, err
	}
	l := catalog.NewLoader()
	for it.Next() {
		if err := l.Put(it.Key()[len(keyObject):], it.Value()); err != nil {
			_ = it.Close() // the first error counts
			return at, err
		}
	}
	if err := it.Close(); err != nil {
		return at, err
	}
	c.m, c.applied = l.Machine(), at.Applied
	c.progress.applied.Store(at.Applied)
	c.progress.cut.Store(at.Applied)
	return at, nil
}
