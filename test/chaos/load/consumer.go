package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// A Consumer takes what a queue has, holds it for a while and settles it.
type Consumer struct {
	World *World
	Home  int
	Seed  uint64

	Queue  string
	Number uint8 // of the queue
	// Prefetch bounds what it is given, Hold is how many messages it keeps before it
	// settles the oldest.
	Prefetch, Hold int
	// Of so many messages one is given back, or rejected; 0: none.
	Requeue, Reject int
	// Life is how long a connection is used; 0: until it breaks.
	Life time.Duration
	// Pause is how long it is away after one.
	Pause time.Duration
}

// Run consumes until ctx ends, and closes in order then.
func (c *Consumer) Run(ctx context.Context) {
	r := rand.New(rand.NewPCG(c.Seed, 2))
	u := &turn{w: c.World, home: c.Home, rand: r}
	for ctx.Err() == nil {
		l := u.connect(ctx)
		if l == nil {
			return
		}
		d := &drain{c: c, link: l, rand: r}
		free := l.bound(ctx)
		whole := d.run(ctx)
		free()
		if whole {
			l.leave()
			u.tried = 0
			c.away(ctx)
		} else {
			l.gone()
			pause(ctx, r)
		}
	}
}

// away waits for as long as the consumer is to be away.
func (c *Consumer) away(ctx context.Context) {
	t := time.NewTimer(c.Pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// A drain is what a consumer does over one link.
type drain struct {
	c    *Consumer
	link *link
	rand *rand.Rand
	open []amqp.Delivery // held, the oldest first
	ids  []checker.ID    // of them
}

// errSettle says that a settlement could not be sent.
var errSettle = errors.New("a message could not be settled")

// run reports whether the link is whole at the end.
func (d *drain) run(ctx context.Context) bool {
	if d.c.Life > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.c.Life+time.Duration(d.rand.Int64N(int64(d.c.Life))))
		defer cancel()
	}
	if within(func() error { return d.link.ch.Qos(d.c.Prefetch, 0, false) }) != nil {
		return false
	}
	var deliveries <-chan amqp.Delivery
	err := within(func() (err error) {
		deliveries, err = d.link.ch.Consume(d.c.Queue, "", false, false, false, false, nil)
		return err
	})
	if err != nil {
		return false
	}
	d.c.World.Rec.Add(checker.Event{Kind: checker.Attach, Client: d.link.id, Queue: d.c.Number})
	idle := time.NewTicker(300 * time.Millisecond)
	defer idle.Stop()
	for busy := true; ; {
		select {
		case <-ctx.Done():
			d.c.World.Rec.Add(checker.Event{Kind: checker.Detach, Client: d.link.id, Queue: d.c.Number})
			return d.settle(d.c.Hold/2) == nil
		case <-idle.C:
			if !busy && d.settle(0) != nil {
				return false
			}
			busy = false
		case m, ok := <-deliveries:
			if !ok {
				return false
			}
			busy = true
			d.take(m)
			if d.settle(d.c.Hold) != nil {
				return false
			}
		}
	}
}

func (d *drain) take(m amqp.Delivery) {
	d.c.World.received(d.link.id, d.c.Number, &m, func(id checker.ID) {
		d.open, d.ids = append(d.open, m), append(d.ids, id)
	})
}

// received tells of a delivery, and hands on whose it is.
func (w *World) received(client uint32, queue uint8, m *amqp.Delivery, then func(checker.ID)) {
	id, err := checker.Parse(m.Body)
	if err != nil {
		w.Rec.Add(checker.Event{Kind: checker.Garbage, Client: client, Queue: queue})
		return
	}
	e := checker.Event{Kind: checker.Deliver, Client: client, Queue: queue, ID: id}
	if m.Redelivered {
		e.Flag = checker.Redelivered
	}
	if n, ok := m.Headers["x-delivery-count"].(int64); ok {
		e.N = uint64(n) + 1
	}
	w.Rec.Add(e)
	then(id)
}

// settle settles the oldest messages until only so many are held.
func (d *drain) settle(keep int) error {
	n := len(d.open) - keep
	if n <= 0 {
		return nil
	}
	if d.c.Requeue == 0 && d.c.Reject == 0 && n > 1 {
		for _, id := range d.ids[:n] {
			d.told(checker.Ack, id)
		}
		if d.open[n-1].Ack(true) != nil {
			return errSettle
		}
		d.open, d.ids = d.open[n:], d.ids[n:]
		return nil
	}
	for ; n > 0; n-- {
		m, id := d.open[0], d.ids[0]
		d.open, d.ids = d.open[1:], d.ids[1:]
		if d.one(&m, id) != nil {
			return errSettle
		}
	}
	return nil
}

func (d *drain) one(m *amqp.Delivery, id checker.ID) error {
	switch {
	case d.c.Requeue > 0 && d.rand.IntN(d.c.Requeue) == 0:
		d.told(checker.Requeue, id)
		return m.Nack(false, true)
	case d.c.Reject > 0 && d.rand.IntN(d.c.Reject) == 0:
		d.told(checker.Reject, id)
		return m.Nack(false, false)
	}
	d.told(checker.Ack, id)
	return m.Ack(false)
}

func (d *drain) told(k checker.Kind, id checker.ID) {
	d.c.World.Rec.Add(checker.Event{Kind: k, Client: d.link.id, Queue: d.c.Number, ID: id})
}

// TakeRest takes what a queue holds ready, one by one, and returns how much it was.
func (w *World) TakeRest(node int, queue string, number uint8) (n int, err error) {
	l, err := w.open(node)
	if err != nil {
		return 0, err
	}
	defer l.leave()
	for ; ; n++ {
		var m amqp.Delivery
		var ok bool
		err := within(func() (err error) { m, ok, err = l.ch.Get(queue, false); return err })
		if err != nil || !ok {
			return n, err
		}
		w.received(l.id, number, &m, func(id checker.ID) {
			w.Rec.Add(checker.Event{Kind: checker.Ack, Client: l.id, Queue: number, ID: id})
		})
		if err := m.Ack(false); err != nil {
			return n, err
		}
	}
}

// Count returns how many messages of a queue a node says are ready.
func (w *World) Count(node int, queue string) (int, error) {
	conn, err := w.Dial(node)
	if err != nil {
		return 0, err
	}
	defer conn.CloseDeadline(time.Now().Add(time.Second))
	var q amqp.Queue
	err = within(func() error {
		ch, err := conn.Channel()
		if err != nil {
			return err
		}
		q, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	return q.Messages, err
}
