package shard_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
	rig "github.com/warrenmq/warren/test/shard"
)

// A contained is what was found in a queue.
type contained struct {
	fs    []found
	first int // how many of them came at once
	// The queues were looked at from then, until then; and then until end.
	from, to, end time.Duration
}

// contents takes everything there is out of all queues of a node, as one
// consumer of each sees it: what is ready, and what rests.
func contents(r *rig.Rig) (map[string]*contained, error) {
	got, all, seconds := map[string]*contained{}, map[string]*collector{}, map[string]*collector{}
	var err error
	from := r.Now
	for _, in := range r.IDs {
		for q := range r.Catalog.View().QueuesIn(in) {
			s := collect(r, in, q.ID)
			r.Settle()
			if errors.Is(s.end, shard.ErrGone) {
				if r.Catalog.View().QueueByID(q.ID) != nil {
					err = fmt.Errorf("queue %s is closed and nobody deletes it", q.Name)
				}
				continue // it ended
			}
			if s.err = errors.Join(s.err, s.end); s.err != nil {
				err = s.err
			}
			if settings(q.Name).SingleActive {
				seconds[q.Name] = collect(r, in, q.ID)
			}
			all[q.Name] = s
			got[q.Name] = &contained{first: len(s.fs), from: from}
		}
	}
	to := r.Now
	for r.Now < to+patience && err == nil {
		r.Tick()
	}
	for name, s := range all {
		got[name].fs, got[name].to, got[name].end = s.fs, to, r.Now
		switch {
		case s.err != nil:
			err = s.err
		case s.cancelled:
			err = fmt.Errorf("queue %s ended with a consumer", name)
		}
	}
	for _, q := range slices.Sorted(maps.Keys(seconds)) {
		if e := grants(r, all[q], seconds[q]); e != nil && err == nil {
			err = fmt.Errorf("queue %s: %w", q, e)
		}
	}
	return got, err
}

// grants has the only active consumers of queues go: others, which had nothing
// until then, get what those had.
func grants(r *rig.Rig, first, second *collector) error {
	if len(second.fs) > 0 {
		return fmt.Errorf("message %d went to a consumer that is not the active one", second.fs[0].id)
	}
	r.Shards[first.in].Cancel(first.c, true, func(error) {})
	r.Settle()
	had := map[uint64]bool{}
	for _, f := range first.fs {
		had[f.id] = true
	}
	last := uint64(0)
	for _, f := range second.fs {
		if !had[f.id] || !f.redelivered || f.id < last {
			return fmt.Errorf("message %d behind %d, redelivered %v, comes to the second consumer; the first had %v", f.id, last, f.redelivered, had)
		}
		last = f.id
	}
	if len(second.fs) != len(had) || second.cancelled {
		return fmt.Errorf("the second consumer has %d messages of the %d that the first had", len(second.fs), len(had))
	}
	return nil
}

// A collector takes what a queue has, and keeps it.
type collector struct {
	r         *rig.Rig
	in        uint64
	c         *shard.Consumer
	fs        []found
	end, err  error
	cancelled bool
}

func collect(r *rig.Rig, in uint64, id shard.QueueID) *collector {
	s := &collector{r: r, in: in}
	s.c = &shard.Consumer{Queue: id, Sink: s, Session: 1}
	r.Shards[in].Consume(s.c, func(err error) { s.end = err })
	return s
}

// Deliver implements shard.Sink.
func (s *collector) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		f, err := parse(c.Queue, &ds[i])
		if err != nil {
			s.err = err
		}
		f.at = s.r.Now
		s.fs = append(s.fs, f)
	}
}

// Cancelled implements shard.Sink.
func (s *collector) Cancelled(*shard.Consumer) { s.cancelled = true }

// Wake implements shard.Sink.
func (s *collector) Wake() {}
