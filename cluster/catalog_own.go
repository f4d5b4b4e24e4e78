package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/core/catalog"
)

const (
	// patience is how long a command waits for its outcome.
	patience = 30 * time.Second
	// again is how long what was sent may go without any answer before it is
	// sent once more: the leader may never have got it.
	again = 500 * time.Millisecond
	// frameBytes is about how much is sent at once.
	frameBytes = 64 << 10
)

// unborn is the age of a call that no turn has seen.
const unborn = time.Duration(-1)

// own is what this node asks for. Commands are numbered as they are first sent
// and sent again, in order, until this node has applied them: the machine skips
// what came before. Owned by the turn.
type own struct {
	inc    uint64  // the incarnation in whose name commands are marked; 0: none
	number uint64  // of the last one
	line   []*call // not sent
	sent   []*call // not answered, in the order of their numbers
	resend bool
	moved  time.Duration // when something was answered, or all was sent again
	aging  time.Duration // when calls are looked through for their age again
}

// send numbers a call, and keeps it until its outcome is known. Before the node
// has an incarnation a command goes without a mark; it must mean the same when
// it comes twice.
func (o *own) send(w *call) {
	if o.inc != 0 {
		o.number++
		w.mark = catalog.Mark{Incarnation: o.inc, Number: o.number}
	} else {
		w.strip()
	}
	w.sent = true
	o.sent = append(o.sent, w)
}

// strip notes what a command without a mark is recognised by.
func (w *call) strip() { w.bare = catalog.AppendCommand(nil, 0, w.cmd) }

// drop forgets a call that was sent.
func (o *own) drop(w *call) {
	if w.sent {
		o.sent = slices.DeleteFunc(o.sent, func(x *call) bool { return x == w })
	}
}

// answer tells who waits for a call, once.
func (w *call) answer(r catalog.Result, err error) {
	if done := w.done; done != nil {
		w.done = nil
		done(r, err)
	}
}

// refusal takes the place of a command whose policies can not be matched.
func refusal(err error) *catalog.Refuse {
	return &catalog.Refuse{Text: strings.TrimPrefix(err.Error(), ErrPolicy.Error()+": ")}
}

// Begin says that this node lives in an incarnation, which its View holds.
func (c *Catalog) Begin(incarnation uint64) {
	c.mu.Lock()
	c.mu.inc = incarnation
	c.mu.Unlock()
	c.group.Wake()
}

// Resend says that the stream to a peer broke, or a new one was opened: what was
// forwarded may be lost.
func (c *Catalog) Resend() {
	c.mu.Lock()
	c.mu.resend = true
	c.mu.Unlock()
	c.group.Wake()
}

// collect takes what came from other goroutines into the turn.
func (c *Catalog) collect() {
	c.mu.Lock()
	waits, inc := c.mu.waits, c.mu.inc
	c.own.resend = c.own.resend || c.mu.resend
	c.mu.waits, c.mu.resend, c.mu.inc = nil, false, 0
	var offered []*call
	if c.leading {
		offered = c.mu.offers.take()
	}
	c.mu.Unlock()
	if i := c.m.View().Incarnation(inc); i != nil && c.own.inc != inc {
		c.own.inc, c.own.number = inc, i.Last
	}
	for _, w := range waits {
		w.born = c.now
	}
	if c.leading {
		c.queue = append(append(c.queue, waits...), offered...)
	} else {
		c.own.line = append(c.own.line, waits...)
	}
}

// expire gives up what has waited too long. What was not sent is gone for good;
// of what was, nobody knows: should it be sent again, the number alone is.
func (c *Catalog) expire() {
	if c.now < c.own.aging {
		return
	}
	c.own.aging = c.now + again
	late := func(w *call) bool { return !w.foreign && c.now-w.born > patience }
	for _, list := range []*[]*call{&c.own.line, &c.queue} {
		*list = slices.DeleteFunc(*list, func(w *call) bool {
			gone := !w.sent && late(w)
			if gone {
				w.answer(catalog.Result{}, ErrNoLeader)
			}
			return gone
		})
	}
	c.own.sent = slices.DeleteFunc(c.own.sent, func(w *call) bool {
		if !late(w) {
			return false
		}
		if w.done != nil {
			w.answer(catalog.Result{}, ErrUnknown)
			w.cmd = &catalog.Refuse{Text: "given up"}
		}
		return !w.mark.Set()
	})
}

// forward sends to whoever leads what is new, and what may be lost.
func (c *Catalog) forward() {
	o := &c.own
	if c.leader == 0 || c.o.Forward == nil {
		return
	}
	if len(o.sent) > 0 && c.now-o.moved > again {
		o.resend = true
	}
	from := len(o.sent)
	if o.resend || from == 0 {
		from, o.moved = 0, c.now
	}
	for _, w := range o.line {
		o.send(w)
	}
	clear(o.line)
	o.line = o.line[:0]
	if from == len(o.sent) {
		o.resend = false
		return
	}
	o.resend = !c.ship(o.sent[from:])
}

// ship sends calls in order; false says that not all were taken.
func (c *Catalog) ship(calls []*call) bool {
	var data []byte
	for i, w := range calls {
		data = catalog.AppendProposal(data, catalog.Proposal{Mark: w.mark, Command: w.cmd})
		if len(data) < frameBytes && i < len(calls)-1 {
			continue
		}
		if !c.o.Forward(c.leader, data) {
			return false
		}
		data = nil // it is the stream's
	}
	return true
}

// answer hands this node's callers the results of an entry.
func (c *Catalog) answer(entry []byte) {
	o := &c.own
	if len(o.sent) == 0 && len(o.line) == 0 && o.inc == 0 {
		return
	}
	for i := range c.results {
		r := &c.results[i]
		if !r.Mark.Set() || r.Mark.Incarnation != o.inc {
			continue
		}
		switch r.Code {
		case catalog.Double:
		case catalog.Gap:
			o.resend = true
		default:
			c.answered(r)
		}
	}
	if slices.ContainsFunc(o.sent, func(w *call) bool { return w.bare != nil }) {
		c.answerBare(entry)
	}
	if o.inc != 0 && c.m.View().Incarnation(o.inc) == nil {
		c.ended()
	}
}

func (c *Catalog) answered(r *catalog.Result) {
	o := &c.own
	i := slices.IndexFunc(o.sent, func(w *call) bool { return w.mark == r.Mark })
	if i < 0 {
		return
	}
	w := o.sent[i]
	o.sent = slices.Delete(o.sent, i, i+1)
	o.moved = c.now
	switch {
	case r.Code == catalog.Ended:
		w.answer(catalog.Result{}, ErrEnded)
	case r.Code == catalog.Refused && r.Text != "":
		w.answer(catalog.Result{}, fmt.Errorf("%w: %s", ErrPolicy, r.Text))
	default:
		w.answer(*r, nil)
	}
}

// answerBare answers commands without a mark: the first of equal content counts,
// whoever sent it, for they mean the same.
func (c *Catalog) answerBare(entry []byte) {
	for i := 0; len(entry) > 0 && i < len(c.results); i++ {
		p, rest, err := catalog.ParseProposal(entry)
		if err != nil {
			return // it was parsed before
		}
		entry = rest
		if p.Mark.Set() {
			continue
		}
		bare := catalog.AppendCommand(nil, 0, p.Command)
		k := slices.IndexFunc(c.own.sent, func(w *call) bool { return w.bare != nil && bytes.Equal(w.bare, bare) })
		if k < 0 {
			continue
		}
		w := c.own.sent[k]
		c.own.sent = slices.Delete(c.own.sent, k, k+1)
		c.own.moved = c.now
		w.answer(c.results[i], nil)
	}
}

// ended tells everybody that this node's incarnation is over: what was marked
// with it and is not applied never will be.
func (c *Catalog) ended() {
	o := &c.own
	o.inc = 0
	gone := o.line
	o.line = nil
	c.queue = slices.DeleteFunc(c.queue, func(w *call) bool {
		if w.foreign || w.sent && !w.mark.Set() {
			return false
		}
		gone = append(gone, w)
		return true
	})
	o.sent = slices.DeleteFunc(o.sent, func(w *call) bool {
		if w.mark.Set() {
			gone = append(gone, w)
		}
		return w.mark.Set()
	})
	for _, w := range gone {
		w.answer(catalog.Result{}, ErrEnded)
	}
}
