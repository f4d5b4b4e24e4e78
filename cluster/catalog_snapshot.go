package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
)

// CatalogMark returns where in its group's log the catalog stands whose state is
// in a slot; ok is false if there is none yet.
func CatalogMark(r storage.Reader, in uint64) (m slot.Mark, ok bool, err error) {
	v, err := r.Get(nil, key(in, keyApplied, nil))
	if errors.Is(err, storage.ErrNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	for _, to := range [...]*uint64{&m.Index, &m.Term} {
		n := 0
		if *to, n = binary.Uvarint(v); n <= 0 {
			return m, false, fmt.Errorf("%w: where the catalog stands", storage.ErrDamaged)
		}
		v = v[n:]
	}
	m.Conf = v
	return m, true, nil
}

// Install puts the snapshot that is staged at index in the place of the catalog,
// and calls done once that is durable. It is called in a turn; until done nothing
// is applied. CatalogOptions.Slots and Load must be set.
//
// The switch waits for the cut that is being written, and the new state is read
// on another goroutine.
func (c *Catalog) Install(index uint64, done func()) {
	c.installing = func() {
		c.o.Load(func() error {
			n, err := c.switched(index)
			if err != nil {
				return fmt.Errorf("install the snapshot of the catalog at %d: %w", index, err)
			}
			c.mu.Lock()
			c.mu.saved = append(c.mu.saved, func() {
				c.installing = nil
				c.replace(n)
				done()
			})
			c.mu.Unlock()
			c.group.Wake()
			return nil
		})
	}
	if c.cutting == 0 {
		c.installing()
	}
}

// cutEnded takes note of the end of a cut.
func (c *Catalog) cutEnded() {
	if c.cutting--; c.cutting == 0 && c.installing != nil {
		c.installing()
	}
}

// switched switches to the snapshot and reads it, as OpenCatalog would.
func (c *Catalog) switched(index uint64) (*Catalog, error) {
	if err := c.o.Slots.Switch(CatalogGroup, index); err != nil {
		return nil, err
	}
	n, at, err := OpenCatalog(c.o)
	if err != nil {
		return nil, err
	}
	if at.Applied != index {
		return nil, fmt.Errorf("%w: it stands at %d", storage.ErrDamaged, at.Applied)
	}
	return n, nil
}

// replace takes the state of n, which was opened just now. Whoever follows the
// catalog hears what is different.
func (c *Catalog) replace(n *Catalog) {
	before := c.m.View()
	c.m, c.slot, c.applied, c.atTerm = n.m, n.slot, n.applied, n.atTerm
	c.progress.applied.Store(c.applied)
	c.progress.cut.Store(c.applied)
	c.progress.dirty.Store(0)
	v := c.m.View()
	c.view.Store(v)
	if c.o.Changed != nil {
		c.o.Changed(v, catalog.Diff(before, v))
	}
}
