package catalog

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/message"
)

// A coder either writes fields or reads them, in the same order: one method of
// a type describes both ways. After the first field that does not fit, a
// reading coder has failed and yields zero values. A writing one changes
// nothing: what it writes is in Views that others read.
type coder struct {
	data    []byte // written so far, or left to read
	reading bool
	failed  bool
}

func (c *coder) fail() { c.failed, c.data = true, nil }

func (c *coder) uint(p *uint64) {
	if !c.reading {
		c.data = binary.AppendUvarint(c.data, *p)
		return
	}
	v, n := binary.Uvarint(c.data)
	if n <= 0 || n > 1 && c.data[n-1] == 0 { // the shortest form only
		c.fail()
		return
	}
	*p, c.data = v, c.data[n:]
}

func (c *coder) int(p *int64) {
	u := uint64(*p<<1) ^ uint64(*p>>63)
	c.uint(&u)
	if c.reading {
		*p = int64(u>>1) ^ -int64(u&1)
	}
}

func (c *coder) flag(p *bool) {
	var u uint64
	if *p {
		u = 1
	}
	c.uint(&u)
	if u > 1 {
		c.fail()
	}
	if c.reading {
		*p = u == 1
	}
}

// enum codes a number below limit.
func enum[T ~uint8](c *coder, p *T, limit T) {
	u := uint64(*p)
	c.uint(&u)
	if !c.reading {
		return
	}
	if u >= uint64(limit) {
		c.fail()
		u = 0
	}
	*p = T(u)
}

// raw returns the next length-prefixed bytes of what is read; they alias it.
func (c *coder) raw() []byte {
	var n uint64
	c.uint(&n)
	if n > uint64(len(c.data)) {
		c.fail()
		return nil
	}
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

func (c *coder) str(p *string) {
	if c.reading {
		*p = string(c.raw())
		return
	}
	c.data = appendText(c.data, *p)
}

func (c *coder) bytes(p *[]byte) {
	if !c.reading {
		c.data = binary.AppendUvarint(c.data, uint64(len(*p)))
		c.data = append(c.data, *p...)
		return
	}
	*p = nil
	if b := c.raw(); len(b) > 0 {
		*p = append([]byte(nil), b...)
	}
}

func (c *coder) table(p *message.Table) {
	c.bytes((*[]byte)(p))
	if c.reading && p.Check() != nil {
		c.fail()
		*p = nil
	}
}

// count codes the length of a list whose members take a byte at least.
func (c *coder) count(n int) int {
	u := uint64(n)
	c.uint(&u)
	if c.reading && u > uint64(len(c.data)) {
		c.fail()
		return 0
	}
	return int(u)
}

// ids codes a list of ids by their differences: neighbours take a byte each.
func (c *coder) ids(p *[]uint64) {
	last := uint64(0)
	list(c, p, func(id *uint64) {
		step := *id - last
		c.uint(&step)
		last += step
		if c.reading {
			*id = last
		}
	})
}

func list[T any](c *coder, p *[]T, member func(*T)) {
	n := c.count(len(*p))
	if c.reading {
		*p = nil
		if n > 0 {
			*p = make([]T, n)
		}
	}
	for i := range *p {
		member(&(*p)[i])
	}
}
