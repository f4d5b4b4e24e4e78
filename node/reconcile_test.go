package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/health"
)

// A load publishes to queues with confirms and consumes from them, until it is
// stopped; it goes on at the next node when its own is gone.
type load struct {
	t         *testing.T
	queues    []string
	hush      context.CancelFunc // publishing
	stop      context.CancelFunc // all
	publisher sync.WaitGroup
	consumers sync.WaitGroup
	at        atomic.Pointer[[]*running] // where it may connect

	mu          sync.Mutex
	confirmed   map[uint64]bool
	got         map[uint64]int
	next        uint64
	redelivered int
	worst       time.Duration // between two confirms
	last        []time.Time   // confirm, by queue
	gaps        []time.Duration
}

func startLoad(t *testing.T, rs []*running, queues int) *load {
	t.Helper()
	l := &load{t: t, confirmed: map[uint64]bool{}, got: map[uint64]int{}}
	l.at.Store(&rs)
	ch := rs[0].channel()
	for i := range queues {
		l.queues = append(l.queues, fmt.Sprint("load-", i))
		declare(t, ch, l.queues[i])
		l.last = append(l.last, time.Now())
	}
	l.gaps = make([]time.Duration, queues)
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	t.Cleanup(stop)
	publishing, hush := context.WithCancel(ctx)
	l.hush = hush
	l.publisher.Go(func() { l.publish(publishing) })
	for _, q := range l.queues {
		l.consumers.Go(func() { l.consume(ctx, q) })
	}
	return l
}

// channel connects to the first node that lets it.
func (l *load) channel(ctx context.Context) (*amqp.Connection, *amqp.Channel) {
	for ctx.Err() == nil {
		for _, r := range *l.at.Load() {
			addr := r.Addrs()["amqp"]
			if addr == "" {
				continue
			}
			c, err := amqp.DialConfig("amqp://guest:guest@"+addr+"/", amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
			if err != nil {
				continue
			}
			if ch, err := c.Channel(); err == nil {
				return c, ch
			}
			_ = c.Close() // the next is tried
		}
		<-time.After(20 * time.Millisecond)
	}
	return nil, nil
}

func (l *load) publish(ctx context.Context) {
	last := time.Now()
	for ctx.Err() == nil {
		c, ch := l.channel(ctx)
		if ch == nil {
			return
		}
		if err := ch.Confirm(false); err == nil {
			for ctx.Err() == nil {
				l.mu.Lock()
				l.next++
				n := l.next
				l.mu.Unlock()
				body := binary.BigEndian.AppendUint64(nil, n)
				wait, cancel := context.WithTimeout(ctx, 20*time.Second)
				d, err := ch.PublishWithDeferredConfirmWithContext(wait, "", l.queues[n%uint64(len(l.queues))], false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
				ok := false
				if err == nil {
					ok, err = d.WaitContext(wait)
				}
				cancel()
				if err != nil || !ok {
					break
				}
				l.mu.Lock()
				l.confirmed[n] = true
				now, q := time.Now(), n%uint64(len(l.queues))
				l.worst = max(l.worst, now.Sub(last))
				l.gaps[q], l.last[q] = max(l.gaps[q], now.Sub(l.last[q])), now
				l.mu.Unlock()
				last = now
			}
		}
		_ = c.CloseDeadline(time.Now().Add(time.Second))
	}
}

func (l *load) consume(ctx context.Context, queue string) {
	for ctx.Err() == nil {
		c, ch := l.channel(ctx)
		if ch == nil {
			return
		}
		if err := ch.Qos(50, 0, false); err == nil {
			if ds, err := ch.Consume(queue, "", false, false, false, false, nil); err == nil {
				for open := true; open; {
					select {
					case d, ok := <-ds:
						if open = ok; ok {
							l.note(&d)
							_ = d.Ack(false) // if it fails the channel is gone, which is seen
						}
					case <-ctx.Done():
						open = false
					}
				}
			}
		}
		_ = c.CloseDeadline(time.Now().Add(time.Second))
	}
}

func (l *load) note(d *amqp.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got[binary.BigEndian.Uint64(d.Body)]++
	if d.Redelivered {
		l.redelivered++
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.confirmed)
}

// more waits until so many more messages were confirmed.
func (l *load) more(n int) {
	l.t.Helper()
	want := l.count() + n
	waitFor(l.t, fmt.Sprint(n, " more confirms"), func() bool { return l.count() >= want })
}

// end stops publishing, waits until all that was confirmed came, and returns how
// much of it was redelivered.
func (l *load) end() (redelivered int) {
	l.t.Helper()
	l.more(1)
	l.hush()
	l.publisher.Wait()
	missing := func() (n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for id := range l.confirmed {
			if l.got[id] == 0 {
				n++
			}
		}
		return n
	}
	deadline := time.Now().Add(30 * time.Second)
	for missing() > 0 && time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
	}
	l.stop()
	l.consumers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.confirmed {
		if l.got[id] == 0 {
			l.t.Errorf("message %d was confirmed and did not come", id)
		}
	}
	l.t.Logf("%d messages confirmed, %d redelivered, longest time without a confirm %s", len(l.confirmed), l.redelivered, l.worst.Round(time.Millisecond))
	return l.redelivered
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it takes too long: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// waitSettled waits until every shard has the replicas it should have, each node
// exactly those shards open that it holds, and no intent is left.
func waitSettled(t *testing.T, rs []*running) {
	t.Helper()
	why := ""
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s", why, rs[0].log)
		}
	}()
	waitFor(t, "all shards as they should be", func() bool {
		for _, r := range rs {
			v, held := r.catalog.View(), 1
			for _, i := range r.Intents() {
				why = fmt.Sprintf("%s: %s %s: %s", r.o.Name, i.Kind, i.Subject, i.Text)
				return false
			}
			for s := range v.Shards() {
				if s.Holds(uint64(r.dir.Node().Node)) {
					held++
				}
			}
			if open := len(r.host.Groups()); open != held {
				why = fmt.Sprintf("%s has %d groups open and holds %d", r.o.Name, open, held)
				return false
			}
		}
		return true
	})
}

// A cluster of three gets a fourth node while it serves: nothing is lost, nothing
// comes twice, and who a shard has left has freed what it had of it.
func TestGrows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rs := []*running{start(t, clusterOptions(t, dir, 1))}
	for k := 2; k <= 3; k++ {
		rs = append(rs, start(t, clusterOptions(t, dir, k, rs[0].Addrs()["cluster"])))
	}
	waitWhole(t, rs, 3)
	l := startLoad(t, rs, 6)
	l.more(50)
	shown := shownBy(rs[0])
	rs = append(rs, start(t, clusterOptions(t, dir, 4, rs[0].Addrs()["cluster"])))
	waitFor(t, "replicas on the new node", func() bool {
		return reconcile.Held(rs[0].catalog.View(), uint64(rs[3].dir.Node().Node)) > 0
	})
	waitSettled(t, rs)
	l.more(50)
	if n := l.end(); n > 0 {
		t.Errorf("%d messages were redelivered", n)
	}
	l.served()
	texts := shown()
	t.Logf("shown: %q", texts)
	for _, want := range []string{`^join warren-4@test: \d+ of \d+ shards are there$`, `^grow shard \d+: to warren-4@test`} {
		if !slices.ContainsFunc(texts, regexp.MustCompile(want).MatchString) {
			t.Errorf("nothing shown is like %s", want)
		}
	}
	for _, r := range rs {
		v, self := r.catalog.View(), uint64(r.dir.Node().Node)
		for s := range v.Shards() {
			if len(s.Replicas) != 3 {
				t.Errorf("shard %d is on %v", s.ID, s.Replicas)
			}
			if _, known := r.seglog.Bounds(s.ID); known != s.Holds(self) {
				t.Errorf("%s: the log has shard %d: %v", r.o.Name, s.ID, known)
			}
		}
	}
	declare(t, rs[3].channel(), "there")
	publish(t, rs[3].channel(), "there", 0, 5)
	drainAll(t, rs[0].channel(), "there", 5)
}

// A node that is stopped for good is forgotten: the others take over its replicas,
// a new one takes its place, and it is not let in again (estate R12).
func TestForget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rs := []*running{start(t, clusterOptions(t, dir, 1))}
	for k := 2; k <= 4; k++ {
		rs = append(rs, start(t, clusterOptions(t, dir, k, rs[0].Addrs()["cluster"])))
	}
	waitSettled(t, rs)
	l := startLoad(t, rs[:2], 4)
	l.more(20)
	ctx := context.Background()
	gone := rs[3]
	var e *admin.Error
	if err := rs[0].ForgetNode(ctx, gone.o.Name, false); !errors.As(err, &e) || e.Kind != admin.InUse {
		t.Fatalf("a node that runs: %v", err)
	}
	if err := rs[0].ForgetNode(ctx, "warren-9@test", false); !errors.As(err, &e) || e.Kind != admin.NotFound {
		t.Fatalf("a node that is none: %v", err)
	}
	if err := rs[0].ForgetNode(ctx, rs[0].o.Name, true); !errors.As(err, &e) || e.Kind != admin.InUse {
		t.Fatalf("itself: %v", err)
	}
	gone.stop()
	id := uint64(gone.dir.Node().Node)
	if err := rs[0].ForgetNode(ctx, gone.o.Name, false); err != nil {
		t.Fatal(err)
	}
	if !rs[0].catalog.View().Barred(id) {
		t.Fatal("it could come back")
	}
	waitFor(t, "all others to know", func() bool { return rs[0].catalog.View().Node(id) == nil })
	waitSettled(t, rs[:3])
	for s := range rs[0].catalog.View().Shards() {
		if len(s.Members.Voters) != 3 || s.Holds(id) {
			t.Errorf("shard %d is on %v", s.ID, s.Members)
		}
	}
	l.more(20)
	if n := l.end(); n > 0 {
		t.Errorf("%d messages were redelivered", n)
	}
	// Another machine with its name takes its place.
	o := clusterOptions(t, dir, 5, rs[0].Addrs()["cluster"])
	o.Name = gone.o.Name
	again := start(t, o)
	waitSettled(t, append(rs[:3:3], again))
}

// A node that has stopped is known to have, by whoever is asked next, be it so
// young that the end of its connections proves nothing.
func TestStopIsKnown(t *testing.T) {
	rs := startJoined(t, 3)
	young := rs[2]
	young.stop()
	for _, r := range rs[:2] {
		if err := r.catalog.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.catalog.View().Node(uint64(young.dir.Node().Node)); m.Incarnation != 0 {
			t.Errorf("%s takes it for alive", r.o.Name)
		}
	}
}

// One of two nodes can not be forgotten when it is gone: the other has no majority
// to decide that with, and says so.
func TestForgetOfTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rs := []*running{start(t, clusterOptions(t, dir, 1))}
	rs = append(rs, start(t, clusterOptions(t, dir, 2, rs[0].Addrs()["cluster"])))
	waitSettled(t, rs)
	rs[1].stop()
	id := uint64(rs[1].dir.Node().Node)
	last := ""
	defer func() { t.Log(last) }()
	waitFor(t, "a refusal", func() bool {
		var e *admin.Error
		err := rs[0].ForgetNode(context.Background(), rs[1].o.Name, false)
		last = fmt.Sprint(err)
		return errors.As(err, &e) && e.Kind == admin.Unavailable && strings.Contains(e.Text, "without a majority")
	})
	if rs[0].catalog.View().Node(id) == nil {
		t.Error("it was forgotten")
	}
}

// A node under maintenance hands over what it leads and closes its listeners;
// consumers on other nodes keep what they hold, and get none of it again. It comes
// back by an order, or when it is started again (estate R12).
func TestDrain(t *testing.T) {
	rs := startCluster(t, 3)
	waitSettled(t, rs)
	drained := rs[2]
	l := startLoad(t, rs[:2], 6)
	guest := drained.dial()
	closed := guest.NotifyClose(make(chan *amqp.Error, 1))
	l.more(30)
	ctx := context.Background()
	begin := time.Now()
	shown := shownBy(drained)
	if err := rs[0].Drain(ctx, drained.o.Name); err != nil {
		t.Fatal(err)
	}
	t.Logf("drained in %s, shown: %q", time.Since(begin).Round(time.Millisecond), shown())
	select {
	case e := <-closed:
		if e == nil || e.Code != amqp.ConnectionForced || !strings.HasSuffix(e.Reason, "Node was put into maintenance mode") {
			t.Errorf("its client was told %v", e)
		}
	case <-time.After(5 * time.Second):
		t.Error("its client was not told")
	}
	for _, g := range drained.host.Groups() {
		if g.Status().Leading {
			t.Errorf("it leads group %d", g.ID())
		}
	}
	if n := len(drained.listeners()); n != 0 {
		t.Errorf("%d listeners are open", n)
	}
	if h := drained.Health(); h.State != health.Draining || !strings.Contains(h.Do, "rabbitmq-upgrade revive") {
		t.Errorf("it says that it is %+v", h)
	}
	l.more(50)
	if err := rs[1].Revive(ctx, drained.o.Name); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "its listeners", func() bool { return len(drained.listeners()) > 0 })
	waitFor(t, "its leads", func() bool {
		for _, g := range drained.host.Groups() {
			if g.ID() != cluster.CatalogGroup && g.Status().Leading {
				return true
			}
		}
		return false
	})
	l.more(30)
	if n := l.end(); n > 0 {
		t.Errorf("%d messages were redelivered to consumers of other nodes", n)
	}
	if err := drained.Drain(ctx, drained.o.Name); err != nil {
		t.Fatal(err)
	}
	drained.stop()
	again := start(t, drained.o)
	if m := again.node(); m.State != catalog.Serving {
		t.Errorf("after its start it is %s", m.State)
	}
}

// A node leaves: the others have its replicas before it goes, and it is a member
// no more.
func TestLeaves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rs := []*running{start(t, clusterOptions(t, dir, 1))}
	for k := 2; k <= 4; k++ {
		rs = append(rs, start(t, clusterOptions(t, dir, k, rs[0].Addrs()["cluster"])))
	}
	waitSettled(t, rs)
	gone, rest := rs[0], rs[1:] // it leads the catalog, most likely
	l := startLoad(t, rest, 4)
	l.more(20)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := gone.Leave(ctx); err != nil {
		t.Fatalf("%v: %+v", err, gone.Intents())
	}
	id := uint64(gone.dir.Node().Node)
	gone.stop()
	waitFor(t, "the others to know", func() bool { return rest[0].catalog.View().Node(id) == nil })
	waitSettled(t, rest)
	for s := range rest[0].catalog.View().Shards() {
		if len(s.Members.Voters) != 3 {
			t.Errorf("shard %d is on %v", s.ID, s.Members)
		}
	}
	l.more(20)
	if n := l.end(); n > 0 {
		t.Errorf("%d messages were redelivered", n)
	}
	again := launch(t, gone.o)
	err := again.wait()
	if err == nil {
		t.Fatal("it serves again")
	}
	t.Logf("started again it ends: %v", err)
}

// All nodes are restarted one after the other under load: nothing is lost.
func TestRollingRestart(t *testing.T) {
	rs := startCluster(t, 3)
	waitSettled(t, rs)
	l := startLoad(t, rs, 6)
	l.more(30)
	for k := range rs {
		others := slices.Concat(rs[k+1:], rs[:k])
		l.at.Store(&others)
		if err := rs[k].Drain(context.Background(), rs[k].o.Name); err != nil {
			t.Fatal(err)
		}
		rs[k].stop()
		l.more(10)
		rs[k] = start(t, rs[k].o)
		waitSettled(t, rs)
		l.more(10)
	}
	l.end()
	l.served()
}
