package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/internal/secret"
)

// clusterOptions are those of the k-th node of a cluster on a real disk. Three
// nodes in one process under the race detector do not always find the time to
// beat within the lease of the product.
func clusterOptions(t *testing.T, dir string, k int, join ...string) Options {
	o := testOptions(t, filepath.Join(dir, fmt.Sprint("node-", k)), nil)
	o.Name = fmt.Sprintf("warren-%d@test", k)
	o.Cluster = Cluster{
		Addr: "127.0.0.1:0", Join: join, Cookie: secret.New("a cookie that is long enough"),
		// No lease is to be lost for want of a processor.
		Lease: max(4*time.Second, racing.Longer(2*time.Second)), Silence: max(6*time.Second, racing.Longer(3*time.Second)),
	}
	return o
}

// startCluster starts so many nodes that join the first, and waits until all hold
// all shards. A test of a cluster waits more than it computes: it runs beside others.
func startCluster(t *testing.T, n int) (rs []*running) {
	t.Helper()
	rs = startJoined(t, n)
	waitWhole(t, rs, n)
	return rs
}

// startJoined is startCluster for who does not wait.
func startJoined(t *testing.T, n int) (rs []*running) {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	for k := range n {
		var join []string
		if k > 0 {
			join = []string{rs[0].Addrs()["cluster"]}
		}
		rs = append(rs, start(t, clusterOptions(t, dir, k+1, join...)))
	}
	return rs
}

// waitWhole waits until every group has so many voters and a leader, on every node.
func waitWhole(t *testing.T, rs []*running, n int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		missing := ""
		for _, r := range rs {
			groups := r.host.Groups()
			if want := r.o.Shards*n + 1; len(groups) < want {
				missing = fmt.Sprintf("%s has %d of %d groups", r.o.Name, len(groups), want)
			}
			for _, g := range groups {
				st := g.Status()
				if st.Leader == 0 || len(st.ConfState.GetVoters()) != min(n, 3) || len(st.ConfState.GetVotersOutgoing()) > 0 {
					missing = fmt.Sprintf("%s: group %d: leader %x, %v", r.o.Name, g.ID(), st.Leader, st.ConfState)
				}
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is not whole: %s\n%s", missing, rs[0].log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// leads returns the node that leads the shard of a queue.
func leads(t *testing.T, rs []*running, queue string) *running {
	t.Helper()
	q := rs[0].catalog.View().Queue("/", queue)
	if q == nil {
		t.Fatalf("no queue %s", queue)
	}
	for _, r := range rs {
		if g := r.host.Group(q.Shard); g != nil && g.Status().Leading {
			return r
		}
	}
	t.Fatalf("nobody leads %s", queue)
	return nil
}

// Any node serves any queue: what is declared and published at one is consumed
// at another, durable or not, and a definition made at one is everywhere
// (estate Q1, R1, R18).
func TestAnyNode(t *testing.T) {
	rs := startCluster(t, 3)
	for i, from := range rs {
		for j, to := range rs {
			durable := fmt.Sprintf("durable %d-%d", i, j)
			a, b := from.channel(), to.channel()
			declare(t, a, durable)
			publish(t, a, durable, 0, 20)
			drainAll(t, b, durable, 20)

			transient := fmt.Sprintf("transient %d-%d", i, j)
			if _, err := a.QueueDeclare(transient, false, true, false, false, nil); err != nil {
				t.Fatal(err)
			}
			got, err := b.Consume(transient, "", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, from.channel(), transient, 0, 10)
			publish(t, b, transient, 10, 20)
			for n := range 20 {
				select {
				case d := <-got:
					if err := d.Ack(false); err != nil {
						t.Fatal(err)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s: %d of 20 messages came from %s to %s", transient, n, from.o.Name, to.o.Name)
				}
			}
		}
	}
}

// A cluster has one name, whichever node a client is told it by.
func TestClusterName(t *testing.T) {
	rs := startCluster(t, 2)
	told := func(r *running) string {
		of := r.dial().Properties
		name, _ := of["cluster_name"].(string)
		if of["node"] != r.o.Name {
			t.Errorf("a client at %s is told %v", r.o.Name, of["node"])
		}
		return name
	}
	status := func(r *running) string {
		c, err := operations{r.Node}.Cluster(t.Context(), admin.ClusterQuery{})
		must(t, err)
		return c.Name
	}
	for _, r := range rs {
		if a, b := told(r), status(r); a != rs[0].o.Name || b != rs[0].o.Name {
			t.Errorf("%s says %q and %q", r.o.Name, a, b)
		}
	}
	_, err := rs[1].SetParameter(t.Context(), admin.NewParameter{Parameter: admin.Parameter{Name: clusterName, Value: []byte(`"hare"`)}, Global: true})
	must(t, err)
	for _, r := range rs {
		r.eventually("it says so", 10*time.Second, func() bool { return told(r) == "hare" && status(r) == "hare" })
	}
}

// drainAll consumes exactly so many messages, in order.
func drainAll(t *testing.T, ch *amqp.Channel, queue string, n int) {
	t.Helper()
	got, err := ch.Consume(queue, "drain", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k := range n {
		select {
		case d, ok := <-got:
			if !ok {
				t.Fatalf("%s: the channel ended after %d of %d", queue, k, n)
			}
			if d.Redelivered {
				t.Errorf("%s: message %d is redelivered", queue, k)
			}
			if err := d.Ack(false); err != nil {
				t.Fatal(err)
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("%s: %d of %d messages came", queue, k, n)
		}
	}
	if err := ch.Cancel("drain", false); err != nil {
		t.Fatal(err)
	}
}

// A node that stops is not missed: the others go on with its queues, and it comes
// back to them (estate R12, A1).
func TestNodeStops(t *testing.T) {
	rs := startCluster(t, 3)
	ch := rs[0].channel()
	var queues []string
	for i := range 8 {
		q := fmt.Sprint("q", i)
		declare(t, ch, q)
		publish(t, ch, q, 0, 10)
		queues = append(queues, q)
	}
	gone := leads(t, rs, "q0")
	rest := []*running{}
	for _, r := range rs {
		if r != gone {
			rest = append(rest, r)
		}
	}
	gone.stop()
	for _, q := range queues {
		publish(t, rest[0].channel(), q, 10, 20)
		drainAll(t, rest[1].channel(), q, 20)
	}
	back := start(t, gone.o)
	waitWhole(t, append(rest, back), 3)
	for _, q := range queues {
		publish(t, back.channel(), q, 0, 5)
		drainAll(t, back.channel(), q, 5)
	}
}

// A cluster that was stopped altogether comes up again, in any order.
func TestColdStart(t *testing.T) {
	rs := startCluster(t, 3)
	ch := rs[1].channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 50)
	for _, r := range rs {
		r.stop()
	}
	var again []*running
	for _, k := range []int{2, 0, 1} {
		again = append(again, launch(t, rs[k].o))
	}
	for _, r := range again {
		select {
		case <-r.Ready():
			t.Cleanup(r.stop)
		case <-time.After(30 * time.Second):
			t.Fatalf("%s does not serve\n%s", r.o.Name, r.log)
		}
	}
	drainAll(t, again[0].channel(), "q", 50)
}

// A node with another cookie is not let in, and says why.
func TestWrongCookie(t *testing.T) {
	dir := t.TempDir()
	a := start(t, clusterOptions(t, dir, 1))
	o := clusterOptions(t, dir, 2, a.Addrs()["cluster"])
	o.Cluster.Cookie = secret.New("another cookie of some length")
	b := launch(t, o)
	if err := b.wait(); err == nil || !strings.Contains(err.Error(), "the cookies differ") {
		t.Fatalf("ended with %v", err)
	}
	if n := nodes(a.catalog.View()); n != 1 {
		t.Fatalf("the cluster has %d nodes", n)
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, clusterDir, trustFile)); err == nil {
		t.Fatal("a node that was refused has a certificate")
	}
}
