package shard_test

import (
	"fmt"
	"time"
)

// check holds what a node delivers after a crash against the world: before and
// after are the world as it was just before and after the crash.
func check(before, after *world, got map[string]*contained) error {
	for _, q := range after.queues {
		b := before.queue(q.name)
		if b == nil {
			b = &wqueue{}
		}
		in, there := got[q.name]
		switch {
		case !there && b.declared && !q.deleting && !q.mayEnd(after.now):
			return fmt.Errorf("queue %s is lost", q.name)
		case there && (b.deleted || b.closed && q.closed && !q.reopening):
			return fmt.Errorf("queue %s is back", q.name)
		case !there:
			continue
		}
		if err := checkQueue(b, q, in); err != nil {
			return fmt.Errorf("queue %s: %w", q.name, err)
		}
	}
	for _, x := range after.txs {
		if err := x.check(after, got); err != nil {
			return err
		}
	}
	for name := range got {
		if after.queue(name) == nil {
			return fmt.Errorf("queue %s came from nowhere", name)
		}
	}
	return nil
}

func checkQueue(before, after *wqueue, in *contained) error {
	seen := map[uint64]bool{}
	last := uint64(0)
	for i, f := range in.fs {
		m := after.message(f.id)
		switch {
		case m == nil:
			return fmt.Errorf("message %d was never published", f.id)
		case seen[f.id]:
			return fmt.Errorf("message %d is there twice", f.id)
		case m.refused:
			return fmt.Errorf("message %d was refused", f.id)
		}
		seen[f.id] = true
		// Who rested takes its place when it is free to, wherever others are.
		if after.set.Retry.When == 0 || !m.delivered {
			if f.id < last {
				return fmt.Errorf("message %d comes behind %d", f.id, last)
			}
			last = f.id
			if i >= in.first {
				return fmt.Errorf("message %d came only after a while", f.id)
			}
		}
		if b := before.message(f.id); b != nil {
			if err := checkFound(before, b, m, &f, in.from); err != nil {
				return err
			}
		}
	}
	until := in.to
	if after.set.Retry.When != 0 {
		until = in.end // it may expire while it rests
	}
	for _, m := range before.msgs {
		a := after.message(m.id)
		if m.confirmed && !seen[m.id] && !a.acking && !after.mayExpire(m, until) && !after.maySpend(a) {
			return fmt.Errorf("message %d, sent at %v, is lost at %v", m.id, m.sent, until)
		}
	}
	return nil
}

// checkFound holds a message that was found against what was known of it before
// and after the crash. All that was there was decided on after from.
func checkFound(q *wqueue, b, a *wmessage, f *found, from time.Duration) error {
	switch {
	case b.acked:
		return fmt.Errorf("message %d was acknowledged, and that was confirmed", f.id)
	case b.delivered && !f.redelivered:
		return fmt.Errorf("message %d was delivered before and is not flagged", f.id)
	case q.mustExpire(b, from):
		return fmt.Errorf("message %d, confirmed at %v, comes at %v, after its time", f.id, b.taken, f.at)
	case q.mustSpend(b):
		return fmt.Errorf("message %d was given back %d times and comes again", f.id, b.failed)
	case f.at < b.sure-slack:
		return fmt.Errorf("message %d comes at %v and rests until %v", f.id, f.at, b.sure)
	case f.d.Failed < b.failed || f.d.Failed > a.asked:
		return fmt.Errorf("message %d was given back %d times, for certain %d times, and counts %d", f.id, a.asked, b.failed, f.d.Failed)
	}
	return nil
}
