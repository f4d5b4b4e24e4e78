package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// Names declares, looks for and deletes queues, at every node in turn: what was
// declared stays, what was deleted does not come back.
type Names struct {
	World *World
	First uint64 // number of the first name; nobody else uses it or those after it
	Count int
	Seed  uint64
}

// Run goes on until ctx ends, some times a second.
func (n *Names) Run(ctx context.Context) {
	r := rand.New(rand.NewPCG(n.Seed, 3))
	u := &turn{w: n.World, home: 1, rand: r}
	for ctx.Err() == nil {
		conn, err := n.World.Dial(u.next())
		if err != nil {
			pause(ctx, r)
			continue
		}
		for range 5 {
			if !n.step(conn, r) {
				break
			}
			pause(ctx, r)
		}
		_ = conn.CloseDeadline(time.Now().Add(time.Second)) // all that counts was said
	}
}

// step does one thing to one name, and reports whether the connection is good.
func (n *Names) step(conn *amqp.Connection, r *rand.Rand) bool {
	number := n.First + uint64(r.IntN(n.Count))
	name := fmt.Sprintf("name-%d", number)
	rec := func(k checker.Kind) { n.World.Rec.Add(checker.Event{Kind: k, N: number}) }
	asked := r.IntN(4)
	switch asked {
	case 0:
		rec(checker.Declare)
	case 1:
		rec(checker.Delete)
	}
	err := within(func() error {
		ch, err := conn.Channel()
		if err != nil {
			return err
		}
		defer ch.Close()
		switch asked {
		case 0:
			_, err = ch.QueueDeclare(name, true, false, false, false, nil)
		case 1:
			_, err = ch.QueueDelete(name, false, false, false)
		default:
			_, err = ch.QueueDeclarePassive(name, true, false, false, false, nil)
		}
		return err
	})
	var refused *amqp.Error
	switch {
	case err == nil:
		rec([...]checker.Kind{checker.Declared, checker.Deleted, checker.Present, checker.Present}[asked])
	case errors.As(err, &refused) && refused.Code == amqp.NotFound && refused.Server:
		rec(checker.Missing)
	default:
		return false
	}
	return true
}
