//go:build chaos

package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/step"
)

// A moved is a queue in the memory of a node that a policy moves to a shard, with one
// publisher at another node and one consumer at a third. What is in memory may be
// lost with its node, and nothing else: nothing comes twice unmarked, nothing out of
// order, and what was confirmed once the queue is in the shard stays.
type moved struct {
	w     *walk
	name  string
	owner *member
	stop  context.CancelFunc
	wg    sync.WaitGroup
	fast  atomic.Bool // the consumer takes its time before, so that there is something to move

	mu        sync.Mutex
	next      int
	confirmed map[int]bool
	got       map[int]bool
	left      time.Time // when the consumer lost its connection last
	faults    []string
}

// What was on its way to a consumer that ended comes to the next as new, behind what
// that has, within this time.
const returns = 15 * time.Second

// moves declares a queue in memory and sets a policy that it shall be everywhere.
func moves(w *walk, _ step.Name) func(context.Context) {
	ms := w.shuffled()
	ctx, stop := context.WithCancel(context.Background())
	q := &moved{
		w: w, name: fmt.Sprintf("moving-%d", w.number), owner: ms[0], stop: stop,
		confirmed: map[int]bool{}, got: map[int]bool{},
	}
	w.moved = q
	w.await("a queue in memory", func() bool { return q.declare(ms[0].number) == nil }) // a node may end its life just now
	q.wg.Go(func() { q.publish(ctx, ms[1].number) })
	q.wg.Go(func() { q.consume(ctx, ms[2].number) })
	w.await("confirms of a queue in memory", func() bool { n, _ := q.count(); return n > 40 })
	return func(ctx context.Context) {
		w.insist(ctx, w.shuffled, "ctl", "set_policy", q.name, "^"+q.name+"$", `{"ha-mode":"all"}`)
		until(ctx, func() bool { return w.hitYet() || w.replicas(ctx, q.name) == len(w.members()) })
	}
}

// declare declares the queue at a node.
func (q *moved) declare(node int) error {
	conn, err := q.w.l.w.Dial(node)
	if err != nil {
		return err
	}
	defer conn.CloseDeadline(time.Now().Add(time.Second))
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	_, err = ch.QueueDeclare(q.name, false, false, false, false, nil)
	return err
}

func (q *moved) count() (confirmed, missing int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := range q.confirmed {
		if !q.got[n] {
			missing++
		}
	}
	return len(q.confirmed), missing
}

// each runs f with a channel to a node, or another where that is not there, until
// ctx ends.
func (q *moved) each(ctx context.Context, node int, f func(ch *amqp.Channel) error) {
	for ; ctx.Err() == nil; node = 1 + node%len(q.w.nodes) {
		conn, err := q.w.l.w.Dial(node)
		if err == nil {
			var ch *amqp.Channel
			if ch, err = conn.Channel(); err == nil {
				err = f(ch)
			}
			_ = conn.CloseDeadline(time.Now().Add(time.Second)) // it may have broken
		}
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// publish publishes numbers, each once, and waits for each confirm.
func (q *moved) publish(ctx context.Context, node int) {
	q.each(ctx, node, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		returned := ch.NotifyReturn(make(chan amqp.Return, 1))
		for ctx.Err() == nil {
			q.mu.Lock()
			n := q.next
			q.next++
			q.mu.Unlock()
			d, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", q.name, true, false, amqp.Publishing{Body: []byte(strconv.Itoa(n))})
			if err != nil {
				return err
			}
			wait, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			ok, err := d.WaitContext(wait)
			cancel()
			if err != nil {
				return err
			}
			select {
			case <-returned: // the queue ended with its node
				ok = false
				<-time.After(50 * time.Millisecond)
			default:
			}
			if ok {
				q.mu.Lock()
				q.confirmed[n] = true
				q.mu.Unlock()
			}
			<-time.After(5 * time.Millisecond)
		}
		return nil
	})
}

// consume takes what comes, and holds it against what came before.
func (q *moved) consume(ctx context.Context, node int) {
	q.each(ctx, node, func(ch *amqp.Channel) error {
		if err := ch.Qos(5, 0, false); err != nil {
			return err
		}
		ds, err := ch.Consume(q.name, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		last := -1
		defer func() {
			q.mu.Lock()
			q.left = time.Now()
			q.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return nil
			case d, ok := <-ds:
				if !ok {
					return amqp.ErrClosed
				}
				n, err := strconv.Atoi(string(d.Body))
				if err != nil {
					return err
				}
				q.came(n, &last, d.Redelivered)
				if !q.fast.Load() {
					<-time.After(20 * time.Millisecond)
				}
				if err := d.Ack(false); err != nil {
					return err
				}
			}
		}
	})
}

func (q *moved) came(n int, last *int, redelivered bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case redelivered:
	case q.got[n]:
		q.faults = append(q.faults, fmt.Sprintf("%d comes again, unmarked", n))
	case n < *last && time.Since(q.left) > returns:
		q.faults = append(q.faults, fmt.Sprintf("%d comes behind %d", n, *last))
	default:
		*last = max(*last, n)
	}
	q.got[n] = true
}

// afterMove sees the queue in a shard, and all there that has to be.
func afterMove(w *walk, hit []*member, how string) {
	q, t := w.moved, w.t
	q.fast.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), wholeLimit)
	defer cancel()
	if !until(ctx, func() bool { return q.declare(w.any().number) == nil && w.replicas(ctx, q.name) == len(w.members()) }) {
		t.Errorf("%s is in no shard after %s", q.name, wholeLimit)
	}
	// The owner lives as long as its process does, and hears one of the others.
	ended := len(hit) != 1 || slices.Contains(hit, q.owner) != (how == otherDies)
	_, lost := q.count()
	first := 0
	if ended {
		q.mu.Lock()
		first = q.next
		q.mu.Unlock()
	}
	was, _ := q.count()
	if !until(ctx, func() bool { n, _ := q.count(); return n > was+20 }) {
		t.Errorf("%s takes nothing after %s (%d missing)", q.name, wholeLimit, lost)
	}
	missing := func() (ns []int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		for n := range q.confirmed {
			if n >= first && n < q.next-50 && !q.got[n] {
				ns = append(ns, n)
			}
		}
		return ns
	}
	until(ctx, func() bool { return len(missing()) == 0 })
	q.stop()
	q.wg.Wait()
	if ns := missing(); len(ns) > 0 {
		t.Errorf("%s: %d confirmed messages are lost: %v", q.name, len(ns), ns[:min(len(ns), 20)])
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.faults) > 0 {
		t.Errorf("%s: %v", q.name, q.faults[:min(len(q.faults), 20)])
	}
	clear := context.Background()
	w.insist(clear, w.shuffled, "ctl", "clear_policy", q.name)
}
