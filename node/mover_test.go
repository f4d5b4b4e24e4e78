package node

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
)

// A herd publishes numbered messages from several nodes at the same time to one
// queue, and holds what one consumer gets against what was confirmed.
type herd struct {
	t     *testing.T
	queue string
	stop  chan struct{}
	wg    sync.WaitGroup

	mu        sync.Mutex
	confirmed map[string]int // by publisher: how many, which are the first
	got       map[string]int
	redone    int
	err       error
}

func (h *herd) fail(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = fmt.Errorf(format, args...)
	}
}

// publishes has a node publish until the herd rests, one confirm at a time.
func (h *herd) publishes(r *running) {
	ch := r.channel()
	if err := ch.Confirm(false); err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	first := h.confirmed[r.o.Name]
	h.mu.Unlock()
	h.wg.Go(func() {
		for n := first; ; n++ {
			select {
			case <-h.stop:
				return
			default:
			}
			body := fmt.Sprintf("%s %d", r.o.Name, n)
			d, err := ch.PublishWithDeferredConfirmWithContext(h.t.Context(), "", h.queue, true, false, amqp.Publishing{Body: []byte(body)})
			if err != nil {
				h.fail("%s: publish %d: %v", r.o.Name, n, err)
				return
			}
			select {
			case <-d.Done():
			case <-time.After(20 * time.Second):
				h.fail("%s: publish %d is not answered", r.o.Name, n)
				return
			}
			if !d.Acked() {
				h.fail("%s: publish %d is refused", r.o.Name, n)
				return
			}
			h.mu.Lock()
			h.confirmed[r.o.Name] = n + 1
			h.mu.Unlock()
		}
	})
}

// consumes has a consumer of a node take everything. It may hold some at a time.
func (h *herd) consumes(r *running, prefetch int) {
	ch := r.channel()
	if err := ch.Qos(prefetch, 0, false); err != nil {
		h.t.Fatal(err)
	}
	got, err := ch.Consume(h.queue, "", false, false, false, false, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	gone := ch.NotifyCancel(make(chan string, 1))
	go func() { // ends with its connection
		for d := range got {
			h.take(&d)
			if err := d.Ack(false); err != nil {
				h.fail("ack: %v", err)
			}
		}
		select {
		case <-gone:
			h.fail("the consumer was cancelled")
		default:
		}
	}()
}

func (h *herd) take(d *amqp.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from, number, _ := strings.Cut(string(d.Body), " ")
	var n int
	_, _ = fmt.Sscan(number, &n)
	switch want := h.got[from]; {
	case d.Redelivered && n < want:
		h.redone++
		return
	case n != want && h.err == nil:
		h.err = fmt.Errorf("%s: message %d came where %d was next, redelivered %v", from, n, want, d.Redelivered)
	}
	h.got[from] = max(h.got[from], n+1)
}

// rests stops publishing and waits until all that was confirmed has come.
func (h *herd) rests() {
	h.t.Helper()
	close(h.stop)
	h.wg.Wait()
	h.stop = make(chan struct{})
	deadline := time.Now().Add(20 * time.Second)
	for {
		h.mu.Lock()
		err, lacks := h.err, ""
		for from, n := range h.confirmed {
			if h.got[from] < n {
				lacks = fmt.Sprintf("of %s %d of %d confirmed messages came", from, h.got[from], n)
			}
		}
		redone, confirmed := h.redone, fmt.Sprint(h.confirmed)
		h.mu.Unlock()
		switch {
		case err != nil:
			h.t.Fatal(err)
		case lacks == "":
			h.t.Logf("confirmed %s, %d came again", confirmed, redone)
			if redone > 0 {
				h.t.Errorf("%d messages came again", redone)
			}
			return
		case time.Now().After(deadline):
			h.t.Fatal(lacks)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func newHerd(t *testing.T, queue string) *herd {
	return &herd{t: t, queue: queue, stop: make(chan struct{}), confirmed: map[string]int{}, got: map[string]int{}}
}

func (h *herd) count() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.confirmed {
		n += k
	}
	return n
}

// A queue in the memory of one node is replicated by a policy while all nodes
// publish to it and another node consumes: nothing is lost, comes twice or out of
// order, and nobody is disconnected. Then its node stops, and it goes on.
// (estate R3, R16, R22).
func TestMemoryIsReplicated(t *testing.T) {
	rs := startCluster(t, 3)
	if _, err := rs[0].channel().QueueDeclare("reply", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	h := newHerd(t, "reply")
	h.consumes(rs[2], 10)
	for _, r := range rs {
		h.publishes(r)
	}
	rs[0].eventually("publishes", 20*time.Second, func() bool { return h.count() > 300 })
	if _, err := rs[1].SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "HA", Pattern: `^(?!amq\.).*`, Definition: []byte(`{"ha-mode": "all"}`),
	}}); err != nil {
		t.Fatal(err)
	}
	rs[1].eventually("the queue is in a shard", 20*time.Second, func() bool { return rs[1].catalog.View().Queue("/", "reply").Shard != 0 })
	n := h.count()
	rs[1].eventually("publishes go on", 20*time.Second, func() bool { return h.count() > n+300 })
	h.rests()

	// Its node is not missed, and whoever consumes at another notices nothing.
	h.publishes(rs[1])
	h.publishes(rs[2])
	n = h.count()
	rs[1].eventually("publishes again", 20*time.Second, func() bool { return h.count() > n+100 })
	rs[0].stop()
	n = h.count()
	rs[1].eventually("publishes without the node", 30*time.Second, func() bool { return h.count() > n+100 })
	h.rests()
}

// A node that ends at any step of a move leaves nothing half: before the switch
// the queue has ended with it, as queues in memory do, and behind it the queue is
// there, served by the others.
func TestMoveEndsWithItsNode(t *testing.T) {
	for _, at := range []string{"frozen", "switched", "going"} {
		t.Run(at, func(t *testing.T) {
			rs := startCluster(t, 3)
			ch := rs[0].channel()
			if _, err := ch.QueueDeclare("m", false, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			publish(t, ch, "m", 0, 5)
			far := rs[1].channel()
			publish(t, far, "m", 5, 10) // it knows the queue
			hit, cancel := make(chan struct{}), rs[0].cancel
			step := func(_ broker.QueueID, s string) {
				if s == at {
					cancel()
					for !rs[0].stopping.Load() {
						<-time.After(time.Millisecond)
					}
					close(hit)
				}
			}
			rs[0].mover.step.Store(&step)
			if _, err := rs[1].SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
				VHost: "/", Name: "HA", Pattern: "^m", Definition: []byte(`{"replicas": 3}`),
			}}); err != nil {
				t.Fatal(err)
			}
			<-hit
			rs[0].stop()
			var q *catalog.Queue
			rs[1].eventually("the catalog knows that the node ended", 20*time.Second, func() bool {
				v := rs[1].catalog.View()
				q = v.Queue("/", "m")
				return v.Node(rs[0].life().Node).Incarnation == 0 && (q == nil || q.Shard != 0)
			})
			if q != nil && at == "frozen" {
				t.Logf("the queue is in shard %d", q.Shard) // the catalog took it nevertheless
			}
			if q == nil && at != "frozen" {
				t.Fatal("the queue is gone")
			}
			for _, r := range rs[1:] {
				ch := r.channel()
				if _, err := ch.QueueDeclare("m", false, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
				if _, err := ch.QueuePurge("m", false); err != nil {
					t.Fatal(err)
				}
				publish(t, ch, "m", 0, 5)
				drainAll(t, ch, "m", 5)
			}
		})
	}
}

// The node that leads the shard ends while a queue moves there: what is on its way
// is sent to the next leader, once and in order.
func TestMoveToAShardWhoseLeaderEnds(t *testing.T) {
	rs := startCluster(t, 3)
	name := ""
	for k := 0; name == ""; k++ {
		try := fmt.Sprint("m", k)
		id, err := rs[0].place(t.Context(), broker.Placing{VHost: "/", Name: try})
		if err != nil {
			t.Fatal(err)
		}
		if g := rs[1].host.Group(id); g != nil && g.Status().Leading {
			name = try
		}
	}
	if _, err := rs[0].channel().QueueDeclare(name, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	h := newHerd(t, name)
	h.consumes(rs[2], 10)
	h.publishes(rs[0])
	h.publishes(rs[2])
	rs[0].eventually("publishes", 20*time.Second, func() bool { return h.count() > 100 })
	hit, cancel := make(chan struct{}), rs[1].cancel
	step := func(_ broker.QueueID, s string) {
		if s == "switched" {
			cancel()
			close(hit)
		}
	}
	rs[0].mover.step.Store(&step)
	if _, err := rs[0].SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "HA", Pattern: "^m", Definition: []byte(`{"replicas": 3}`),
	}}); err != nil {
		t.Fatal(err)
	}
	<-hit
	rs[1].stop()
	n := h.count()
	rs[0].eventually("publishes go on", 30*time.Second, func() bool { return h.count() > n+100 })
	h.rests()
}

// Many queues move at once, and each has what it had.
func TestManyMove(t *testing.T) {
	rs := startCluster(t, 3)
	const queues, each = 100, 5
	ch := rs[0].channel()
	for k := range queues {
		if _, err := ch.QueueDeclare(fmt.Sprint("m", k), false, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, fmt.Sprint("m", k), 0, each)
	}
	begun := time.Now()
	if _, err := rs[1].SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "HA", Pattern: "^m", Definition: []byte(`{"ha-mode": "all"}`),
	}}); err != nil {
		t.Fatal(err)
	}
	rs[0].eventually("all moved", 30*time.Second, func() bool {
		for q := range rs[0].catalog.View().Queues(0) {
			if q.Shard == 0 {
				return false
			}
		}
		return true
	})
	t.Logf("%d queues moved in %s", queues, time.Since(begun))
	far := rs[2].channel()
	for k := range queues {
		drainAll(t, far, fmt.Sprint("m", k), each)
	}
}

// What a queue in memory is, it is in a shard: it ends with its last consumer, keeps
// others out for an exclusive one, and gives what is acknowledged by itself once.
func TestMovedAsItWas(t *testing.T) {
	rs := startCluster(t, 3)
	own, far := rs[0].channel(), rs[1].channel()
	for _, name := range []string{"m.ends", "m.only"} {
		if _, err := own.QueueDeclare(name, false, name == "m.ends", false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	auto, err := far.Consume("m.ends", "auto", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	only, err := own.Consume("m.only", "only", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rs[1].SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "HA", Pattern: "^m", Definition: []byte(`{"replicas": 3}`),
	}}); err != nil {
		t.Fatal(err)
	}
	rs[0].eventually("both moved", 20*time.Second, func() bool {
		v := rs[0].catalog.View()
		return v.Queue("/", "m.ends").Shard != 0 && v.Queue("/", "m.only").Shard != 0
	})
	publish(t, own, "m.ends", 0, 5)
	publish(t, far, "m.only", 0, 5)
	for k := range 5 {
		for name, got := range map[string]<-chan amqp.Delivery{"m.ends": auto, "m.only": only} {
			select {
			case d, ok := <-got:
				if !ok || d.Redelivered {
					t.Fatalf("%s: %d: %v, redelivered %v", name, k, ok, d.Redelivered)
				}
				if name == "m.only" {
					if err := d.Ack(false); err != nil {
						t.Fatal(err)
					}
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: %d of 5 messages came", name, k)
			}
		}
	}
	if _, err := rs[2].channel().Consume("m.only", "", false, false, false, false, nil); err == nil {
		t.Error("another consumes beside an exclusive consumer")
	}
	if err := far.Cancel("auto", false); err != nil {
		t.Fatal(err)
	}
	rs[0].eventually("the queue ends with its consumer", 10*time.Second, func() bool {
		return rs[0].catalog.View().Queue("/", "m.ends") == nil
	})
	if err := own.Cancel("only", false); err != nil {
		t.Fatal(err)
	}
	ch := rs[2].channel()
	rs[0].eventually("the queue is empty, and nobody's", 10*time.Second, func() bool { // another node hears of a cancel a moment later
		q, err := ch.QueueDeclarePassive("m.only", false, false, false, false, nil)
		return err == nil && q.Messages == 0 && q.Consumers == 0
	})
	drainAll(t, ch, "m.only", 0)
}
