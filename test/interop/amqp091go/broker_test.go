//go:build interop

package amqp091go

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// patience is how long a scenario waits for what must come.
const patience = 20 * time.Second

// A broker runs below a folder; the starter named by BROKER_CMD knows how.
type broker struct{ dir string }

// shared is the broker of all scenarios that do not kill it.
var shared *broker

func TestMain(m *testing.M) {
	os.Exit(runWithBroker(m))
}

func runWithBroker(m *testing.M) int {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared = &broker{dir: dir}
	if err := writeCertificates(filepath.Join(dir, "tls")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := shared.run("start"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.run("stop"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func (b *broker) run(verb string, args ...string) error {
	starter := os.Getenv("BROKER_CMD")
	if starter == "" {
		starter = "../brokers/warren.sh"
	}
	out, err := exec.Command(starter, append([]string{verb, b.dir}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", starter, verb, err, out)
	}
	return nil
}

// address reads where the broker listens for a protocol.
func (b *broker) address(t *testing.T, proto string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "ports.json"))
	must(t, err)
	var ports map[string]string
	must(t, json.Unmarshal(text, &ports))
	if ports[proto] == "" {
		t.Fatalf("ports.json has no %s: %s", proto, text)
	}
	return ports[proto]
}

// isPeer says that the broker is RabbitMQ 3.x, which differs from 4.x in few answers.
func isPeer() bool { return os.Getenv("BROKER") == "rabbitmq" }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *broker) dial(t *testing.T) *amqp.Connection {
	t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + b.address(t, "amqp") + "/")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func channelOf(t *testing.T, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := conn.Channel()
	must(t, err)
	return ch
}

// channel returns a channel on a connection of its own.
func channel(t *testing.T) *amqp.Channel {
	t.Helper()
	return channelOf(t, shared.dial(t))
}

var names atomic.Int64

// unique returns a name that no other scenario uses.
func unique(t *testing.T) string {
	return fmt.Sprintf("%s.%d", strings.ReplaceAll(strings.ToLower(t.Name()), "/", "."), names.Add(1))
}

// durable declares a durable queue and deletes it afterwards.
func durable(t *testing.T, ch *amqp.Channel, args amqp.Table) string {
	t.Helper()
	q, err := ch.QueueDeclare(unique(t), true, false, false, false, args)
	must(t, err)
	t.Cleanup(func() {
		if conn, err := amqp.Dial("amqp://guest:guest@" + shared.address(t, "amqp") + "/"); err == nil {
			defer conn.Close()
			if ch, err := conn.Channel(); err == nil {
				ch.QueueDelete(q.Name, false, false, false)
			}
		}
	})
	return q.Name
}

// exchange declares an exchange of a kind that goes with the scenario.
func exchange(t *testing.T, ch *amqp.Channel, kind string) string {
	t.Helper()
	name := unique(t)
	must(t, ch.ExchangeDeclare(name, kind, false, true, false, false, nil))
	return name
}

// bound declares a queue that ends with its connection and binds it.
func bound(t *testing.T, ch *amqp.Channel, exchange, key string, args amqp.Table) string {
	t.Helper()
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	must(t, ch.QueueBind(q.Name, key, exchange, false, args))
	return q.Name
}

// put publishes persistent messages to a queue and waits until all are confirmed.
func put(t *testing.T, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	must(t, ch.Confirm(false))
	var last []*amqp.DeferredConfirmation
	for _, body := range bodies {
		d, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: []byte(body),
		})
		must(t, err)
		last = append(last, d)
	}
	for i, d := range last {
		select {
		case <-d.Done():
			if !d.Acked() {
				t.Fatalf("message %d was nacked", i)
			}
		case <-time.After(patience):
			t.Fatalf("message %d was not confirmed", i)
		}
	}
}

// depth returns how many messages of the queue are ready.
func depth(t *testing.T, ch *amqp.Channel, queue string) int {
	t.Helper()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	must(t, err)
	return q.Messages
}

func consume(t *testing.T, ch *amqp.Channel, queue string, autoAck bool) <-chan amqp.Delivery {
	t.Helper()
	deliveries, err := ch.Consume(queue, "", autoAck, false, false, false, nil)
	must(t, err)
	return deliveries
}

func next[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-from:
		if !ok {
			t.Fatalf("waiting for %s: closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("waiting for %s: nothing came", what)
		panic("unreachable")
	}
}

// take receives deliveries and wants them to have these bodies in this order.
func take(t *testing.T, from <-chan amqp.Delivery, bodies ...string) []amqp.Delivery {
	t.Helper()
	var got []amqp.Delivery
	for _, want := range bodies {
		d := next(t, from, "delivery "+want)
		if string(d.Body) != want {
			t.Fatalf("delivery %d: %q, want %q", len(got), d.Body, want)
		}
		got = append(got, d)
	}
	return got
}

// quiet wants no delivery although the broker had time: a round trip through the
// queue on the same channel, and a moment.
func quiet(t *testing.T, ch *amqp.Channel, queue string, from <-chan amqp.Delivery) {
	t.Helper()
	depth(t, ch, queue)
	select {
	case d, ok := <-from:
		if ok {
			t.Fatalf("unexpected delivery %q", d.Body)
		}
	case <-time.After(150 * time.Millisecond):
	}
}

// get takes one message by basic.get with auto-ack.
func get(t *testing.T, ch *amqp.Channel, queue string) (amqp.Delivery, bool) {
	t.Helper()
	d, ok, err := ch.Get(queue, true)
	must(t, err)
	return d, ok
}

// contents empties a queue and returns the bodies in order.
func contents(t *testing.T, ch *amqp.Channel, queue string) (bodies []string) {
	t.Helper()
	for {
		d, ok := get(t, ch, queue)
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func wantBodies(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// eventually waits until cond holds, asking as fast as the broker answers.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if cond() {
			return
		}
	}
	t.Fatalf("%s: not within %s", what, patience)
}
