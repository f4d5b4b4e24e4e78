// Package checker judges what a broker did with messages while it was being
// killed. Producers and consumers report what they sent, saw confirmed and
// received; Report says what was lost, corrupted, invented, reordered or
// delivered twice without a flag. It knows no protocol, does no I/O, and may be
// called from any goroutine.
package checker

import (
	"fmt"
	"sync"
)

// A Checker keeps the history of one run.
//
// It expects of the run: a producer numbers its messages upwards from 0, sends
// each once, to one queue, and never again, even when no confirm came; a queue
// has one consumer at a time, which never rejects.
type Checker struct {
	mu struct {
		sync.Mutex
		producers map[uint32]*producer
		report    Report
	}
}

// producer is what is known of one producer's messages, by number.
type producer struct {
	sent, confirmed, received []bool
	last                      uint64 // highest number received, once any was
	any                       bool
}

// A Report counts a history and its faults.
type Report struct {
	Sent, Confirmed, Received int
	// Flagged counts deliveries marked redelivered, Duplicates messages received
	// again. Both are a broker's right after a crash.
	Flagged, Duplicates int

	Lost      int // confirmed, and never received
	Corrupted int // received with other bytes than were sent
	Phantom   int // received, and never sent
	Unflagged int // received again without the redelivered mark
	Reordered int // received first after a later one of the same producer

	// Examples are the first faults, in words.
	Examples []string
}

// maxExamples bounds the words of a report.
const maxExamples = 20

// Faults is the number of things a broker may not do.
func (r Report) Faults() int {
	return r.Lost + r.Corrupted + r.Phantom + r.Unflagged + r.Reordered
}

func (r Report) String() string {
	return fmt.Sprintf("sent %d, confirmed %d, received %d (%d flagged, %d again); lost %d, corrupted %d, phantom %d, unflagged %d, reordered %d",
		r.Sent, r.Confirmed, r.Received, r.Flagged, r.Duplicates, r.Lost, r.Corrupted, r.Phantom, r.Unflagged, r.Reordered)
}

// New returns a Checker without a history.
func New() *Checker {
	c := &Checker{}
	c.mu.producers = map[uint32]*producer{}
	return c
}

// Sent reports a message that is about to leave its producer.
func (c *Checker) Sent(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.producer(id); mark(&p.sent, id.Seq) {
		c.mu.report.Sent++
	}
}

// Confirmed reports a positive confirm.
func (c *Checker) Confirmed(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.producer(id); mark(&p.confirmed, id.Seq) {
		c.mu.report.Confirmed++
	}
}

// Received reports a delivery.
func (c *Checker) Received(body []byte, redelivered bool) {
	id, err := Parse(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.mu.report
	r.Received++
	if redelivered {
		r.Flagged++
	}
	if err != nil {
		r.fault(&r.Corrupted, "corrupted: %v", err)
		return
	}
	p := c.producer(id)
	if !has(p.sent, id.Seq) {
		r.fault(&r.Phantom, "phantom: %v was never sent", id)
		return
	}
	if !mark(&p.received, id.Seq) {
		r.Duplicates++
		if !redelivered {
			r.fault(&r.Unflagged, "unflagged: %v came again as if it were new", id)
		}
		return
	}
	if p.any && id.Seq < p.last {
		r.fault(&r.Reordered, "reordered: %v came first after %d", id, p.last)
		return
	}
	p.last, p.any = id.Seq, true
}

// Missing returns how many confirmed messages have not been received so far.
func (c *Checker) Missing() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.mu.producers {
		for seq, confirmed := range p.confirmed {
			if confirmed && !has(p.received, uint64(seq)) {
				n++
			}
		}
	}
	return n
}

// Report judges the history so far; what is confirmed and not received counts as lost.
func (c *Checker) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.mu.report
	r.Examples = append([]string(nil), r.Examples...)
	for number, p := range c.mu.producers {
		for seq, confirmed := range p.confirmed {
			if confirmed && !has(p.received, uint64(seq)) {
				r.fault(&r.Lost, "lost: %v was confirmed", ID{Producer: number, Seq: uint64(seq)})
			}
		}
	}
	return r
}

// Counts returns how many messages were confirmed and received so far.
func (c *Checker) Counts() (confirmed, received int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.report.Confirmed, c.mu.report.Received
}

func (c *Checker) producer(id ID) *producer {
	p := c.mu.producers[id.Producer]
	if p == nil {
		p = &producer{}
		c.mu.producers[id.Producer] = p
	}
	return p
}

func (r *Report) fault(count *int, format string, args ...any) {
	*count++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

func has(set []bool, i uint64) bool { return i < uint64(len(set)) && set[i] }

// mark adds i and reports whether it was new.
func mark(set *[]bool, i uint64) bool {
	for uint64(len(*set)) <= i {
		*set = append(*set, false)
	}
	if (*set)[i] {
		return false
	}
	(*set)[i] = true
	return true
}
