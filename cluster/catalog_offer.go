package cluster

import (
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
)

// What other nodes offer and is not proposed yet is bounded; what is beyond is
// dropped, and comes again.
const (
	mostOffers     = 4096
	mostOfferBytes = 16 << 20
)

// offers are the commands of other nodes, numbered without a gap for each
// incarnation.
type offers struct {
	calls []*call
	bytes int
	next  map[uint64]uint64 // by incarnation: the highest number taken in this leadership
}

func (o *offers) reset() { *o = offers{} }

func (o *offers) take() []*call {
	calls := o.calls
	o.calls, o.bytes = nil, 0
	return calls
}

// expects reports whether a command is the next of its incarnation.
func (o *offers) expects(m catalog.Mark, applied uint64) bool {
	return m.Number == max(o.next[m.Incarnation], applied)+1
}

func (o *offers) add(w *call, size int) {
	if w.mark.Set() {
		if o.next == nil {
			o.next = map[uint64]uint64{}
		}
		o.next[w.mark.Incarnation] = w.mark.Number
	}
	o.calls = append(o.calls, w)
	o.bytes += size
}

// Offer takes commands that another node forwarded, if this node leads. What it
// does not take comes again; doubles and what is out of order it leaves out. An
// error says that the peer sent what is none. It may take as long as matching
// policies takes, and is called by one goroutine a peer.
func (c *Catalog) Offer(from uint64, data []byte) error {
	took := false
	for len(data) > 0 {
		p, rest, err := catalog.ParseProposal(data)
		if err != nil {
			return fmt.Errorf("commands of node %d: %w", from, err)
		}
		size := len(data) - len(rest)
		data = rest
		if !c.hears.Load() {
			return nil
		}
		took = c.offer(from, p, size) || took
	}
	if took {
		c.group.TryTurn()
	}
	return nil
}

func (c *Catalog) offer(from uint64, p catalog.Proposal, size int) bool {
	if !c.wants(from, p.Mark, size, nil) {
		return false
	}
	w := &call{cmd: p.Command, mark: p.Mark, foreign: true}
	if err := c.prepare(w); err != nil {
		if !w.mark.Set() {
			return false // its node can not be told, and gives it up
		}
		w.cmd = refusal(err)
	}
	return c.wants(from, p.Mark, size, w)
}

// wants reports whether a command is to be taken, and takes w.
func (c *Catalog) wants(from uint64, m catalog.Mark, size int, w *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.mu.offers
	if len(o.calls) >= mostOffers || o.bytes+size > mostOfferBytes || !c.hears.Load() {
		return false
	}
	if m.Set() {
		i := c.View().Incarnation(m.Incarnation)
		if i == nil || i.Node != from || !o.expects(m, i.Last) {
			return false
		}
	}
	if w != nil {
		o.add(w, size)
	}
	return true
}
