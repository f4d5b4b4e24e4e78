package state

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/warrenmq/warren/storage"
)

// Memory is a storage.State that remembers what a power cut would leave of it:
// Flush makes everything durable, Crash keeps a chosen prefix of the batches
// since. Nothing in it depends on chance, time or scheduling. It lives on
// after Close and Crash, as a disk does.
type Memory struct {
	mu struct {
		sync.Mutex
		now     *node   // what readers see
		durable *node   // what the last Flush left
		pending []*node // the state after each batch since
	}
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{} }

// Unflushed returns how many batches a crash may lose.
func (m *Memory) Unflushed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.pending)
}

// Crash keeps what was flushed and the first prefix batches after it, each
// whole, and forgets the rest. Iterators made before still see their state.
func (m *Memory) Crash(prefix int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if prefix < 0 || prefix > len(m.mu.pending) {
		panic(fmt.Sprintf("state: crash keeping %d of %d batches", prefix, len(m.mu.pending)))
	}
	if prefix > 0 {
		m.mu.durable = m.mu.pending[prefix-1]
	}
	m.mu.now, m.mu.pending = m.mu.durable, nil
}

// Flush implements storage.State.
func (m *Memory) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.durable, m.mu.pending = m.mu.now, nil
	return nil
}

// Close does nothing: what a restart finds is for Crash to say.
func (m *Memory) Close() error { return nil }

func (m *Memory) root() *node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.now
}

// Get implements storage.Reader.
func (m *Memory) Get(dst, key []byte) ([]byte, error) { return m.root().get(dst, key) }

func (n *node) get(dst, key []byte) ([]byte, error) {
	n = n.seek(key)
	if n == nil || !bytes.Equal(n.key, key) {
		return dst, storage.ErrNotFound
	}
	return append(dst, n.value...), nil
}

// Iter implements storage.Reader.
func (m *Memory) Iter(lower, upper []byte) (storage.Iterator, error) {
	return &memoryIter{root: m.root(), lower: bytes.Clone(lower), upper: bytes.Clone(upper)}, nil
}

// Snapshot implements storage.State.
func (m *Memory) Snapshot() storage.Snapshot { return memorySnapshot{m.root()} }

type memorySnapshot struct{ root *node }

func (s memorySnapshot) Get(dst, key []byte) ([]byte, error) { return s.root.get(dst, key) }

func (s memorySnapshot) Iter(lower, upper []byte) (storage.Iterator, error) {
	return &memoryIter{root: s.root, lower: bytes.Clone(lower), upper: bytes.Clone(upper)}, nil
}

func (s memorySnapshot) Close() error { return nil }

type memoryIter struct {
	root         *node
	lower, upper []byte
	placed       bool
	at           *node
}

func (i *memoryIter) Next() bool {
	if !i.placed {
		return i.SeekGE(i.lower)
	}
	if i.at == nil {
		return false
	}
	return i.place(i.root.after(i.at.key))
}

func (i *memoryIter) SeekGE(key []byte) bool {
	if bytes.Compare(key, i.lower) < 0 {
		key = i.lower
	}
	return i.place(i.root.seek(key))
}

func (i *memoryIter) place(n *node) bool {
	if n != nil && i.upper != nil && bytes.Compare(n.key, i.upper) >= 0 {
		n = nil
	}
	i.placed, i.at = true, n
	return n != nil
}

func (i *memoryIter) Key() []byte { return i.at.key }

func (i *memoryIter) Value() []byte { return i.at.value }

func (i *memoryIter) Close() error {
	i.root, i.at = nil, nil
	return nil
}

// NewBatch implements storage.State.
func (m *Memory) NewBatch() storage.Batch { return &memoryBatch{m: m} }

// memoryBatch keeps its operations; Commit plays them onto the tree.
type memoryBatch struct {
	m    *Memory
	ops  []func(*node) *node
	size int
}

func (b *memoryBatch) Set(key, value []byte) {
	n := &node{key: bytes.Clone(key), value: bytes.Clone(value), rank: rank(key)}
	b.add(len(key)+len(value), func(root *node) *node { return root.set(n) })
}

func (b *memoryBatch) Delete(key []byte) {
	key = bytes.Clone(key)
	end := append(bytes.Clone(key), 0) // the smallest key above key
	b.add(len(key), func(root *node) *node { return root.without(key, end) })
}

func (b *memoryBatch) DeleteRange(lower, upper []byte) {
	if bytes.Compare(lower, upper) >= 0 {
		return
	}
	lower, upper = bytes.Clone(lower), bytes.Clone(upper)
	b.add(len(lower)+len(upper), func(root *node) *node { return root.without(lower, upper) })
}

func (b *memoryBatch) add(size int, op func(*node) *node) {
	if b.m == nil {
		panic("state: batch used after its commit")
	}
	b.ops = append(b.ops, op)
	b.size += size + 4
}

func (b *memoryBatch) Len() int { return b.size }

func (b *memoryBatch) Commit() error {
	m := b.m
	if m == nil {
		panic("state: batch used after its commit")
	}
	b.m = nil
	if len(b.ops) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range b.ops {
		m.mu.now = op(m.mu.now)
	}
	m.mu.pending = append(m.mu.pending, m.mu.now)
	return nil
}
