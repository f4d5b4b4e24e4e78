//go:build chaos

package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/test/chaos/checker"
	"github.com/warrenmq/warren/test/chaos/load"
)

// The queues of a run, by number.
const (
	plain      = iota // several publishers and consumers, at different nodes
	quorum            // a quorum queue whose consumers give back
	fan1              // of a fanout exchange
	fan2              // the same
	single            // one active consumer, in strict order
	grave             // whose consumers reject
	buried            // what was rejected there
	aging             // with a time to live
	aged              // what was too old there
	transacted        // transactions
	queueNum          // how many
)

const (
	timeToLive = 2 * time.Second
	// slack is how late a message may die on a machine that does other things, too.
	slack = 10 * time.Second
	// resume is how soon after all is healed every queue has to confirm.
	resume = 30 * time.Second
)

func queueName(n int) string { return fmt.Sprintf("queue-%d", n) }

// A traffic is a history and the clients that make it.
type traffic struct {
	c          *cluster
	w          *load.World
	rec        *checker.Recorder
	file       *os.File
	publishers *load.Group
	consumers  *load.Group
	rate       int
	// onConfirm is told of confirms of the first queue.
	onConfirm func(node int, sent, confirmed time.Time)
}

// newTraffic begins a history.
func newTraffic(c *cluster) *traffic {
	c.t.Helper()
	f, err := os.Create(filepath.Join(c.dir, "history"))
	if err != nil {
		c.t.Fatal(err)
	}
	began := time.Now()
	j := checker.NewJudge(checker.JudgeOptions{Resume: resume, Slack: slack})
	l := &traffic{c: c, file: f, rate: setting(c.t, "CHAOS_RATE", 40)}
	l.rec = checker.NewRecorder(f, j, func() time.Duration { return time.Since(began) })
	l.w = &load.World{
		Rec: l.rec, Nodes: c.places, User: "chaos", Password: "chaos", Heartbeat: 2 * time.Second,
		Addr: c.amqp,
	}
	l.publishers, l.consumers = load.NewGroup(context.Background()), load.NewGroup(context.Background())
	c.t.Cleanup(func() {
		l.publishers.End()
		l.consumers.End()
		_ = f.Close() // flush told whether all was written
	})
	return l
}

// declare makes the queues.
func (l *traffic) declare() {
	t := l.c.t
	t.Helper()
	conn, err := l.w.Dial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	args := map[int]amqp.Table{
		quorum: {"x-queue-type": "quorum", "x-delivery-limit": int64(1000)},
		single: {"x-single-active-consumer": true},
		grave:  {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queueName(buried)},
		aging:  {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queueName(aged), "x-message-ttl": timeToLive.Milliseconds()},
	}
	rules := map[int]checker.Event{
		single: {Flag: checker.Strict | checker.Single},
		grave:  {ID: checker.ID{Producer: 1 + buried}},
		aging:  {ID: checker.ID{Producer: 1 + aged}, N: uint64(timeToLive.Milliseconds())},
	}
	for q := range queueNum {
		if _, err := ch.QueueDeclare(queueName(q), true, false, false, false, args[q]); err != nil {
			t.Fatal(err)
		}
		e := rules[q]
		e.Kind, e.Queue = checker.Queue, uint8(q)
		l.rec.Add(e)
	}
	if err := ch.ExchangeDeclare("fan", "fanout", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	for _, q := range []int{fan1, fan2} {
		if err := ch.QueueBind(queueName(q), "", "fan", false, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts the clients, on all nodes.
func (l *traffic) start(chance *rand.Rand) {
	n := len(l.c.nodes)
	home := func() int { return 1 + chance.IntN(n) }
	publish := func(p load.Publisher) {
		p.World, p.Seed, p.Window = l.w, chance.Uint64(), 50
		if p.Rate == 0 {
			p.Rate = l.rate
		}
		l.publishers.Go(p.Run)
	}
	to := func(q, home int, life time.Duration) {
		publish(load.Publisher{Home: home, Key: queueName(q), Routes: 1 << q, Life: life})
	}
	for node := range n {
		publish(load.Publisher{Home: node + 1, Key: queueName(plain), Routes: 1 << plain, OnConfirm: l.onConfirm})
	}
	to(quorum, home(), 0)
	to(quorum, home(), 3*time.Second)
	to(single, home(), 0)
	to(grave, home(), 0)
	to(aging, home(), 0)
	publish(load.Publisher{Home: home(), Exchange: "fan", Routes: 1<<fan1 | 1<<fan2})
	publish(load.Publisher{Home: home(), Key: queueName(transacted), Routes: 1 << transacted, Tx: 5})

	consume := func(q int, c load.Consumer) {
		c.World, c.Seed, c.Queue, c.Number = l.w, chance.Uint64(), queueName(q), uint8(q)
		if c.Home == 0 {
			c.Home = home()
		}
		if c.Prefetch == 0 {
			c.Prefetch = 40
		}
		l.consumers.Go(c.Run)
	}
	for node := range n {
		consume(plain, load.Consumer{Home: node + 1, Hold: 20})
		consume(single, load.Consumer{Home: node + 1, Hold: 5})
	}
	consume(plain, load.Consumer{Life: time.Second, Hold: 5})
	consume(quorum, load.Consumer{Requeue: 20, Hold: 10})
	consume(quorum, load.Consumer{Requeue: 50, Life: 2 * time.Second})
	consume(fan1, load.Consumer{Hold: 30})
	consume(fan1, load.Consumer{Life: 3 * time.Second, Hold: 3})
	consume(fan2, load.Consumer{})
	consume(grave, load.Consumer{Reject: 3, Hold: 5})
	consume(grave, load.Consumer{Reject: 10, Life: 2 * time.Second})
	consume(buried, load.Consumer{Hold: 3})
	consume(aging, load.Consumer{Hold: 2, Life: 500 * time.Millisecond, Pause: 3 * time.Second})
	consume(aged, load.Consumer{Hold: 5})
	consume(transacted, load.Consumer{Hold: 5})
	names := load.Names{World: l.w, First: 100, Count: 6, Seed: chance.Uint64()}
	l.publishers.Go(names.Run)
}

// finish ends the publishers, drains the queues from every node and returns whether
// that went well.
func (l *traffic) finish() (drained bool) {
	l.publishers.End()
	for end := time.Now().Add(resume); l.rec.Missing() > 0 && time.Now().Before(end); {
		<-time.After(100 * time.Millisecond)
	}
	l.consumers.End()
	for end := time.Now().Add(resume); time.Now().Before(end); {
		if l.sweep() {
			l.count()
			return true
		}
	}
	return false
}

// sweep takes what the queues hold, from every node, and reports whether all were
// empty.
func (l *traffic) sweep() bool {
	empty := true
	for q := range queueNum {
		for n, m := range l.c.nodes {
			if !m.running() {
				continue
			}
			k, err := l.w.TakeRest(n+1, queueName(q), uint8(q))
			if err != nil {
				l.c.t.Logf("drain queue %d at node %d: %v", q, n+1, err)
			}
			if k > 0 || err != nil {
				empty = false
			}
		}
	}
	return empty
}

// count has every node count what it drained.
func (l *traffic) count() {
	for q := range queueNum {
		for n, m := range l.c.nodes {
			if !m.running() {
				continue
			}
			if k, err := l.w.Count(n+1, queueName(q)); err == nil {
				l.rec.Add(checker.Event{Kind: checker.Counted, Queue: uint8(q), N: uint64(k), ID: checker.ID{Producer: uint32(n + 1)}})
			}
		}
	}
}
