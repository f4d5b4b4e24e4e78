package pattern

import "sync"

// A Cache keeps compiled patterns, and the errors of those that do not compile.
// It holds at most twice its size: what was used since the younger half filled
// up last, and what was used in the time before.
type Cache struct {
	size int
	mu   struct {
		sync.Mutex
		young, old map[string]compiled
	}
}

type compiled struct {
	p   *Pattern
	err error
}

// NewCache returns a cache for about size patterns.
func NewCache(size int) *Cache { return &Cache{size: max(1, size)} }

// Get compiles the pattern or finds it.
func (c *Cache) Get(text string) (*Pattern, error) {
	c.mu.Lock()
	got, ok := c.mu.young[text]
	if !ok {
		got, ok = c.mu.old[text]
		if ok {
			c.putLocked(text, got)
		}
	}
	c.mu.Unlock()
	if ok {
		return got.p, got.err
	}
	got.p, got.err = Compile(text)
	c.mu.Lock()
	c.putLocked(text, got)
	c.mu.Unlock()
	return got.p, got.err
}

func (c *Cache) putLocked(text string, v compiled) {
	if c.mu.young == nil || len(c.mu.young) >= c.size {
		c.mu.young, c.mu.old = make(map[string]compiled), c.mu.young
	}
	c.mu.young[text] = v
}

// Len returns how many patterns are kept.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.young) + len(c.mu.old)
}
