package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A Tx collects what a publisher publishes, and what is settled beside, until it
// is committed. A publication is routed when it is added. What the commit does
// in one shard happens as a whole or not at all; that all shards do it is not
// promised. It is used by one goroutine.
type Tx struct {
	p    *Publisher
	pubs []txPub
	rows []txRow
	size int
}

// A txPub is a publication that owns its bytes.
type txPub struct {
	m       message.Message
	ttl     uint32
	hasTTL  bool
	targets []target
	replies []*Reply
}

// A txRow is a shard's part.
type txRow struct {
	to shard.Shard
	tx shard.Tx
}

// NewTx returns an empty transaction.
func (p *Publisher) NewTx() *Tx { return &Tx{p: p} }

// Publish adds a publication; it keeps nothing of it. The error says why it can
// not be published. Where it has nowhere to go Publish waits until that is certain.
func (t *Tx) Publish(ctx context.Context, pub *Publication) error {
	r, err := t.p.route(pub)
	if lost(r, err) {
		if err := t.p.s.current(ctx, VHostResource, t.p.s.vhost); err != nil {
			return err
		}
		r, err = t.p.route(pub)
	}
	if err != nil {
		return err
	}
	x := txPub{m: owned(pub.Message), ttl: pub.TTL, hasTTL: pub.HasTTL, targets: slices.Clone(r.targets), replies: slices.Clone(r.replies)}
	for i := range x.targets {
		x.targets[i].queues = slices.Clone(x.targets[i].queues)
	}
	t.p.finder.reset() // what it found is ours now
	clear(r.replies)
	r.replies = r.replies[:0]
	t.pubs = append(t.pubs, x)
	t.size += message.Size(&x.m)
	return nil
}

// owned copies a message.
func owned(m *message.Message) message.Message {
	c := *m
	b := make([]byte, 0, len(m.Exchange)+len(m.RoutingKey)+len(m.Properties)+len(m.Body))
	for _, part := range []*[]byte{&c.Exchange, &c.RoutingKey, &c.Properties, &c.Body} {
		n := len(b)
		b = append(b, *part...)
		*part = b[n:len(b):len(b)]
	}
	return c
}

// Size returns about how many bytes the transaction keeps, Len how many
// publications.
func (t *Tx) Size() int { return t.size }

// Len returns how many publications were added.
func (t *Tx) Len() int { return len(t.pubs) }

// Settle adds the end of holdings of a shard.
func (t *Tx) Settle(to Shard, ss []Settle) {
	x := t.part(to)
	x.Settles = append(x.Settles, ss...)
}

// part returns what a shard has of the transaction.
func (t *Tx) part(to shard.Shard) *shard.Tx {
	for i := range t.rows {
		if t.rows[i].to == to {
			return &t.rows[i].tx
		}
	}
	t.rows = append(t.rows, txRow{to: to})
	return &t.rows[len(t.rows)-1].tx
}

// txTime bounds how long a commit waits for a shard that does not answer.
const txTime = 30 * time.Second

// Commit does what was collected. Every publication that goes nowhere is given
// to unroutable first, with its place. The transaction is empty afterwards.
//
// The error is of kind Partial if a shard refused its part: a queue was full, or
// a message was not held any more. It is Unavailable if it is not known what
// became of a part.
func (t *Tx) Commit(ctx context.Context, unroutable func(i int, m *message.Message)) error {
	defer t.Reset()
	for i := range t.pubs {
		x := &t.pubs[i]
		if len(x.replies) > 0 {
			(&route{replies: x.replies}).replied(&x.m)
		} else if len(x.targets) == 0 {
			unroutable(i, &x.m)
		}
		t.add(x)
	}
	ctx, cancel := context.WithTimeout(ctx, txTime)
	defer cancel()
	errs := make(chan error, len(t.rows))
	for i := range t.rows {
		t.rows[i].to.Tx(&t.rows[i].tx, func(err error) { errs <- err })
	}
	var failed error
	for range t.rows {
		select {
		case err := <-errs:
			if err != nil && (failed == nil || errors.Is(failed, shard.ErrRefused)) {
				failed = err // that it is not known counts more than a refusal
			}
		case <-ctx.Done():
			return t.failure(ctx.Err())
		}
	}
	if failed == nil {
		return nil
	}
	return t.failure(failed)
}

func (t *Tx) failure(err error) error {
	e := &Error{Kind: Unavailable, VHost: t.p.s.vhost, Op: "commit", Err: err}
	if errors.Is(err, shard.ErrRefused) {
		e.Kind, e.Detail, e.Err = Partial, "partial tx completion", nil
	}
	return e
}

// add gives a publication to the shards of its queues.
func (t *Tx) add(x *txPub) {
	sp := shard.Publish{Message: &x.m, TTL: x.ttl, HasTTL: x.hasTTL}
	if x.m.HasPriority {
		sp.Priority = x.m.Priority
	}
	for i := range x.targets {
		g := &x.targets[i]
		sp.Queues = g.queues
		part, one := t.part(g.to), sp
		if g.delay > 0 {
			one = delayed(sp, g.delay)
		}
		part.Publishes = append(part.Publishes, one)
		t.p.toMemory = t.p.toMemory || g.budget != nil
		if b := g.budget.full(); b != nil && b != &t.p.s.b.memory {
			t.p.over = b
		}
	}
}

// Reset forgets everything that was added.
func (t *Tx) Reset() {
	clear(t.pubs)
	clear(t.rows)
	t.pubs, t.rows, t.size = t.pubs[:0], t.rows[:0], 0
}
