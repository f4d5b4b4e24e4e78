package state

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/storage"
)

type pebbleBatch struct {
	p *Pebble
	b *pebble.Batch
}

// NewBatch starts a batch. One that is not committed needs no further call.
func (p *Pebble) NewBatch() storage.Batch {
	return &pebbleBatch{p: p, b: p.db.NewBatch()}
}

// The operations of a pebble.Batch fail only after its commit.
func mustBatch(err error) {
	if err != nil {
		panic("state: batch used after its commit: " + err.Error())
	}
}

func (b *pebbleBatch) Set(key, value []byte) { mustBatch(b.b.Set(key, value, nil)) }

func (b *pebbleBatch) Delete(key []byte) { mustBatch(b.b.Delete(key, nil)) }

// DeleteRange deletes [lower, upper). It is for coarse ranges, see DESIGN.md.
func (b *pebbleBatch) DeleteRange(lower, upper []byte) {
	if bytes.Compare(lower, upper) < 0 {
		mustBatch(b.b.DeleteRange(lower, upper, nil))
	}
}

func (b *pebbleBatch) Len() int {
	if b.b.Empty() {
		return 0
	}
	return b.b.Len()
}

func (b *pebbleBatch) Commit() error {
	if b.b.Empty() {
		return b.b.Close()
	}
	if err := b.p.db.Apply(b.b, pebble.NoSync); err != nil {
		return fmt.Errorf("state: commit: %w", err)
	}
	b.p.committed.Add(1)
	return b.b.Close()
}
