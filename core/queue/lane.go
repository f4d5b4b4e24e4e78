package queue

import (
	"cmp"
	"slices"
)

// A lane is the messages of one priority: its own sequences, its own pages.
// pages is sorted by id, without those that have no live message left, except
// for the last, which may still be filling.
type lane struct {
	priority      uint8
	next          uint64 // the sequence of the next message
	horizon, lost uint64
	pages         []*page

	// ready is owned by the Dispatcher.
	ready readyLane
}

func newLane(priority uint8) *lane {
	first := uint64(priority) << laneShift
	return &lane{priority: priority, next: first | 1, horizon: first, lost: first, ready: readyLane{cursor: first}}
}

// unused reports whether the lane is as newLane makes it.
func (ln *lane) unused() bool { return ln.next == ln.first()|1 && ln.horizon == ln.first() }

// first is the sequence before the lane's first.
func (ln *lane) first() uint64 { return uint64(ln.priority) << laneShift }

// find returns the position of the first page with an id of at least id. Pages
// are mostly without gaps, so that both ends give a good guess.
func (ln *lane) find(id uint64) int {
	n := len(ln.pages)
	if n == 0 || id <= ln.pages[0].id {
		return 0
	}
	if i := id - ln.pages[0].id; i < uint64(n) && ln.pages[i].id == id {
		return int(i)
	}
	if last := ln.pages[n-1].id; id > last {
		return n
	} else if i := last - id; i < uint64(n) && ln.pages[n-1-int(i)].id == id {
		return n - 1 - int(i)
	}
	i, _ := slices.BinarySearchFunc(ln.pages, id, func(p *page, id uint64) int { return cmp.Compare(p.id, id) })
	return i
}

// page returns the page with the id, or nil.
func (ln *lane) page(id uint64) *page {
	if i := ln.find(id); i < len(ln.pages) && ln.pages[i].id == id {
		return ln.pages[i]
	}
	return nil
}

// tail returns the page that the next message goes to, or nil.
func (ln *lane) tail() *page {
	if n := len(ln.pages); n > 0 && ln.pages[n-1].id == PageOf(ln.next) {
		return ln.pages[n-1]
	}
	return nil
}

// drop takes a page out.
func (ln *lane) drop(p *page) {
	i := ln.find(p.id)
	if i == 0 {
		ln.pages[0] = nil
		ln.pages = ln.pages[1:]
		return
	}
	ln.pages = slices.Delete(ln.pages, i, i+1)
}

// lanes are sorted by priority, the highest first.
type lanes []*lane

// at returns the lane of a priority, or nil.
func (ls lanes) at(priority uint8) *lane {
	for _, ln := range ls {
		if ln.priority == priority {
			return ln
		}
	}
	return nil
}

// make returns the lane of a priority, making it if need be. A lane that has
// never been used counts for nothing, so that a leader may make one by itself.
func (ls *lanes) make(priority uint8) *lane {
	if ln := ls.at(priority); ln != nil {
		return ln
	}
	i, _ := slices.BinarySearchFunc(*ls, priority, func(ln *lane, p uint8) int { return cmp.Compare(p, ln.priority) })
	ln := newLane(priority)
	*ls = slices.Insert(*ls, i, ln)
	return ln
}
