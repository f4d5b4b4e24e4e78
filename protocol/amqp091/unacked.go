package amqp091

import (
	"cmp"
	"slices"
)

// unacked are the deliveries of a channel that were not settled, in order of
// their delivery tags. Those settled leave holes, which are closed when they
// are the most: one old delivery does not make the list grow.
type unacked struct {
	list []held // by tag; to is nil in a hole
	head int    // of the first that is not a hole
	n    int    // that are not holes
}

// add keeps a delivery, whose tag is higher than all before.
func (u *unacked) add(h held) {
	if len(u.list) == cap(u.list) && u.n <= len(u.list)/2 {
		u.compact()
	}
	u.list = append(u.list, h)
	u.n++
}

func (u *unacked) compact() {
	n := 0
	for _, h := range u.list[u.head:] {
		if h.to != nil {
			u.list[n] = h
			n++
		}
	}
	clear(u.list[n:])
	u.list, u.head = u.list[:n], 0
}

// find returns where the first delivery with at least this tag is.
func (u *unacked) find(tag uint64) int {
	if u.head < len(u.list) && u.list[u.head].tag == tag {
		return u.head
	}
	i, _ := slices.BinarySearchFunc(u.list[u.head:], tag, func(h held, t uint64) int { return cmp.Compare(h.tag, t) })
	return u.head + i
}

// has reports whether a delivery is there.
func (u *unacked) has(tag uint64) bool {
	i := u.find(tag)
	return i < len(u.list) && u.list[i].tag == tag && u.list[i].to != nil
}

// take takes one delivery, or with multiple all up to a tag; tag 0 with multiple
// means all. It returns dst unchanged if there is none such.
func (u *unacked) take(dst []held, tag uint64, multiple bool) []held {
	from, to := u.head, len(u.list)
	if !multiple {
		from = u.find(tag)
		if from == len(u.list) || u.list[from].tag != tag {
			return dst
		}
		to = from + 1
	} else if tag != 0 {
		if to = u.find(tag); to < len(u.list) && u.list[to].tag == tag {
			to++
		}
	}
	for i := from; i < to; i++ {
		if h := &u.list[i]; h.to != nil {
			dst = append(dst, *h)
			h.to = nil
			u.n--
		}
	}
	for u.head < len(u.list) && u.list[u.head].to == nil {
		u.head++
	}
	if u.n == 0 {
		u.list, u.head = u.list[:0], 0
	}
	return dst
}

// restore puts deliveries back that were taken, in any order.
func (u *unacked) restore(hs []held) {
	if len(hs) == 0 {
		return
	}
	u.compact()
	u.list = append(u.list, hs...)
	slices.SortFunc(u.list, func(a, b held) int { return cmp.Compare(a.tag, b.tag) })
	u.n = len(u.list)
}
