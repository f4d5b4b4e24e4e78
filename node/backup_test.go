package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/shard"
)

// dialNode logs in to a node as guest.
func dialNode(t *testing.T, n *running) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + n.Addrs()["amqp"] + "/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return ch
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send publishes and waits for the confirm.
func send(t *testing.T, ch *amqp.Channel, queue string, m amqp.Publishing) {
	t.Helper()
	c, err := ch.PublishWithDeferredConfirm("", queue, false, false, m)
	must(t, err)
	if !c.Wait() {
		t.Fatalf("%s: not confirmed", m.Body)
	}
}

func describe(d *amqp.Delivery) string {
	return fmt.Sprintf("%s prio=%d redelivered=%t headers=%v type=%s id=%s expiration=%s mode=%d key=%s",
		d.Body, d.Priority, d.Redelivered, d.Headers, d.ContentType, d.MessageId, d.Expiration, d.DeliveryMode, d.RoutingKey)
}

// drain takes everything of a queue.
func drain(t *testing.T, ch *amqp.Channel, queue string) (out []string) {
	t.Helper()
	for {
		d, ok, err := ch.Get(queue, true)
		must(t, err)
		if !ok {
			return out
		}
		out = append(out, describe(&d))
	}
}

// realDefinitions are those that RabbitMQ 3.10.8's own rabbitmqctl exported.
func realDefinitions(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "definitions-3.10.8.json"))
	must(t, err)
	return text
}

// A filled node holds something of everything that a backup is for.
func filled(t *testing.T) *running {
	dir := t.TempDir()
	n := start(t, testOptions(t, dir, vfs.NewMem()))
	c := client.New(dir)
	t.Cleanup(c.Close)
	document := realDefinitions(t)
	_, err := c.ImportDefinitions(t.Context(), document)
	must(t, err)
	must(t, n.broker.Load().ClearPolicy(t.Context(), "/", "ttl", false)) // it is for every queue
	ch := dialNode(t, n)
	for _, q := range []struct {
		name string
		args amqp.Table
	}{{"plain", nil}, {"prio", amqp.Table{"x-max-priority": 5}}, {"empty", nil}} {
		_, err := ch.QueueDeclare(q.name, true, false, false, false, q.args)
		must(t, err)
	}
	_, err = ch.QueueDeclare("fleeting", false, true, false, false, nil)
	must(t, err)
	send(t, ch, "fleeting", amqp.Publishing{Body: []byte("in memory")})
	for i := range 20 {
		send(t, ch, "plain", amqp.Publishing{
			Body: fmt.Appendf(nil, "m%02d", i), MessageId: fmt.Sprint("id", i), DeliveryMode: 2, ContentType: "text/plain",
			Headers: amqp.Table{"n": int32(i), "deep": amqp.Table{"x": "y"}},
		})
		send(t, ch, "prio", amqp.Publishing{Body: fmt.Appendf(nil, "p%02d", i), Priority: uint8(i % 7), Expiration: "3600000"})
	}
	large := amqp.Publishing{Body: bytes.Repeat([]byte("L"), 3<<20)}
	send(t, ch, "plain", large)
	// The first is gone, the second was given back, the third is held.
	for i, do := range []func(amqp.Delivery) error{
		func(d amqp.Delivery) error { return d.Ack(false) },
		func(d amqp.Delivery) error { return d.Nack(false, true) },
		nil,
	} {
		d, ok, err := ch.Get("plain", false)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if i == 1 {
			if string(d.Body) != "m01" {
				t.Fatalf("got %s", d.Body)
			}
		}
		if do != nil {
			must(t, do(d))
		}
	}
	return n
}

// backupOf takes a backup over the socket.
func backupOf(t *testing.T, n *running) (*client.Archive, []byte) {
	t.Helper()
	c := client.New(n.o.DataDir)
	defer c.Close()
	var out bytes.Buffer
	last := client.Progress{}
	a, err := client.TakeBackup(t.Context(), c, &out, func(p client.Progress) { last = p })
	must(t, err)
	if last.Totals.Messages != a.Totals.Messages {
		t.Errorf("told of %d messages, there are %d", last.Totals.Messages, a.Totals.Messages)
	}
	return a, out.Bytes()
}

// empty starts a node with nothing in it.
func empty(t *testing.T) (*running, *client.Client) {
	dir := t.TempDir()
	n := start(t, testOptions(t, dir, vfs.NewMem()))
	c := client.New(dir)
	t.Cleanup(c.Close)
	return n, c
}

// What a backup has taken, a restore gives back: definitions, and messages with
// their order, priority, properties, time left and what was done to them.
func TestBackupAndRestore(t *testing.T) {
	from := filled(t)
	a, file := backupOf(t, from)
	if a.Totals.Messages != 40 || len(a.Unavailable) != 0 {
		t.Fatalf("%+v, unavailable %q", a.Totals, a.Unavailable)
	}
	to, c := empty(t)
	x, err := client.Restore(t.Context(), c, bytes.NewReader(file), client.RestoreOptions{})
	must(t, err)
	if x.Messages != 40 || x.Queues != 2 {
		t.Fatalf("restored %d messages of %d queues", x.Messages, x.Queues)
	}
	definitionsOf := func(n *running) string {
		v := n.catalog.View()
		text, err := n.exportDefinitions(v)
		must(t, err)
		return string(text)
	}
	if one, two := strings.Replace(definitionsOf(from), `,{"arguments":{},"auto_delete":true,"durable":false,"name":"fleeting","type":"classic","vhost":"/"}`, "", 1),
		strings.Replace(definitionsOf(to), `,{"arguments":{},"auto_delete":true,"durable":false,"name":"fleeting","type":"classic","vhost":"/"}`, "", 1); one != two {
		t.Errorf("definitions differ:\n%s\n%s", one, two)
	}
	left := 0
	_, err = to.readQueue(t.Context(), to.catalog.View().Queue("/", "prio"), func(m *shard.Browsed) error {
		if m.HasTTL && m.TTL > 3_500_000 && m.TTL <= 3_600_000 {
			left++
		}
		return nil
	})
	if err != nil || left != 20 {
		t.Errorf("%d messages have their time left, %v", left, err)
	}
	ch := dialNode(t, to)
	got := drain(t, ch, "plain")
	if len(got) != 20 {
		t.Fatalf("%d messages in the queue", len(got))
	}
	for i, line := range got[:19] {
		want := fmt.Sprintf("m%02d prio=0 redelivered=%t headers=map[deep:map[x:y] n:%d] type=text/plain id=id%d expiration= mode=2 key=plain", i+1, i == 0, i+1, i+1)
		if i == 0 {
			// It was given back, taken again by the next get, and is held.
			if !strings.HasPrefix(line, "m01 prio=0 redelivered=true") {
				t.Errorf("message %d is %s", i, line)
			}
			continue
		}
		if line != want {
			t.Errorf("message %d is %s, want %s", i, line, want)
		}
	}
	prio := drain(t, ch, "prio")
	if len(prio) != 20 || !strings.HasPrefix(prio[0], "p05 prio=5") || !strings.Contains(prio[0], "expiration=3600000") || !strings.HasPrefix(prio[19], "p14 prio=0") {
		t.Errorf("priorities: %d\n%s", len(prio), strings.Join(prio, "\n"))
	}
	// A restore that ended leaves no trace of itself.
	if _, _, ok := restores(to.catalog.View()); ok {
		t.Error("the restore is still under way")
	}
	if _, err := client.Restore(t.Context(), c, bytes.NewReader(file), client.RestoreOptions{}); client.KindOf(err) != client.NotEmpty {
		t.Errorf("into a node that is not empty: %v", err)
	}
	if _, err := client.Restore(t.Context(), c, bytes.NewReader(file), client.RestoreOptions{Force: true}); err != nil {
		t.Errorf("forced: %v", err)
	}
	if got := drain(t, ch, "plain"); len(got) != 20 {
		t.Errorf("forced: %d messages", len(got))
	}
}

// A damaged archive changes nothing.
func TestRestoreRefusesDamage(t *testing.T) {
	from := filled(t)
	_, file := backupOf(t, from)
	to, c := empty(t)
	before := to.catalog.View().Revision()
	bad := bytes.Clone(file)
	bad[len(bad)-1000] ^= 1
	var damage *client.DamageError
	if _, err := client.Restore(t.Context(), c, bytes.NewReader(bad), client.RestoreOptions{}); !errors.As(err, &damage) {
		t.Errorf("a wrong byte: %v", err)
	}
	if _, err := client.Restore(t.Context(), c, bytes.NewReader(file[:len(file)-5]), client.RestoreOptions{}); !errors.As(err, &damage) {
		t.Errorf("cut: %v", err)
	}
	if after := to.catalog.View().Revision(); after != before {
		t.Error("the node was changed")
	}
}

// failing gives up in the middle of a queue.
type failing struct {
	*client.Client
	after int // bytes of the messages of queue at
	at    int
}

func (f failing) RestoreQueue(ctx context.Context, q admin.RestoreQueue, r io.Reader) (admin.Restored, error) {
	if q.Index >= f.at {
		r = io.MultiReader(io.LimitReader(r, int64(f.after)), broken{})
	}
	return f.Client.RestoreQueue(ctx, q, r)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the wire broke") }

// other is another backup of the same node.
func other(t *testing.T, n *running) []byte {
	_, file := backupOf(t, n)
	return file
}

// A queue is restored as a whole or not at all; the next attempt goes on.
func TestRestoreGoesOn(t *testing.T) {
	dir := t.TempDir()
	from := start(t, testOptions(t, dir, vfs.NewMem()))
	ch := dialNode(t, from)
	for q := range 4 {
		name := fmt.Sprint("q", q)
		_, err := ch.QueueDeclare(name, true, false, false, false, nil)
		must(t, err)
		for i := range 30 {
			send(t, ch, name, amqp.Publishing{Body: bytes.Repeat([]byte{byte('a' + i%26)}, 20<<10)})
		}
	}
	_, file := backupOf(t, from)
	to, c := empty(t)
	counts := func() (out []int) {
		tell := dialNode(t, to)
		for q := range 4 {
			d, err := tell.QueueDeclarePassive(fmt.Sprint("q", q), true, false, false, false, nil)
			must(t, err)
			out = append(out, d.Messages)
		}
		return out
	}
	_, err := client.Restore(t.Context(), failing{c, 400 << 10, 2}, bytes.NewReader(file), client.RestoreOptions{})
	if err == nil {
		t.Fatal("the wire did not break")
	}
	// The node learns of the broken wire by itself.
	deadline := time.After(10 * time.Second)
	for want := []int{30, 30, 0, 0}; !reflect.DeepEqual(counts(), want); {
		select {
		case <-deadline:
			t.Fatalf("after the failure: %v, want %v", counts(), want)
		case <-time.After(20 * time.Millisecond):
		}
	}
	// Had the node ended instead, a part of the queue would be there: it goes.
	tell := dialNode(t, to)
	for range 5 {
		send(t, tell, "q2", amqp.Publishing{Body: []byte("a part")})
	}
	if _, err := client.Restore(t.Context(), c, bytes.NewReader(other(t, from)), client.RestoreOptions{}); client.KindOf(err) != client.InUse {
		t.Errorf("another archive in between: %v", err)
	}
	x, err := client.Restore(t.Context(), c, bytes.NewReader(file), client.RestoreOptions{})
	must(t, err)
	if !x.Resumed || x.From != 2 || x.Queues != 2 || !reflect.DeepEqual(counts(), []int{30, 30, 30, 30}) {
		t.Errorf("resumed %t from %d, %d queues: %v", x.Resumed, x.From, x.Queues, counts())
	}
}

// A backup is taken while the queue works: what was confirmed before and not
// acknowledged is in it.
func TestBackupOnline(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testOptions(t, dir, vfs.NewMem()))
	ch := dialNode(t, n)
	_, err := ch.QueueDeclare("q", true, false, false, false, nil)
	must(t, err)
	for i := range 300 {
		send(t, ch, "q", amqp.Publishing{Body: fmt.Appendf(nil, "old %d", i)})
	}
	busy := dialNode(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if c, err := busy.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{Body: []byte("new")}); err != nil || !c.Wait() {
				t.Error("publish", err)
				return
			}
		}
	}()
	for range 5 {
		a, _ := backupOf(t, n)
		if a.Totals.Messages < 300 {
			t.Errorf("%d messages", a.Totals.Messages)
		}
	}
	cancel()
	<-done
}

// TestDefinitions reads a document of RabbitMQ 3.10.8's own rabbitmqctl.
func TestDefinitions(t *testing.T) {
	_, c := empty(t)
	document := realDefinitions(t)
	for range 2 { // the second time it is all there
		got, err := c.ImportDefinitions(t.Context(), document)
		must(t, err)
		want := map[string]int{"vhosts": 4, "users": 6, "permissions": 2, "topic_permissions": 1, "parameters": 2, "global_parameters": 3, "policies": 2, "queues": 3, "exchanges": 1, "bindings": 1}
		if !reflect.DeepEqual(got.Made, want) {
			t.Errorf("made %v, want %v", got.Made, want)
		}
		// RabbitMQ leaves internal exchanges out, but not their bindings; and it
		// has a vhost without a name.
		if len(got.Ignored) != 3 {
			t.Errorf("ignored %q", got.Ignored)
		}
	}
	// A user of RabbitMQ logs in with the password it had there.
	_, err := c.Authenticate(t.Context(), client.UserPassword{Name: "alice", Password: secret.New("np")})
	must(t, err)
	text, err := c.ExportDefinitions(t.Context())
	must(t, err)
	var d definitions
	must(t, json.Unmarshal(text, &d))
	if len(d.Queues) != 3 || d.Queues[0].Name != "orders" || string(d.Queues[0].Arguments) != `{"x-dead-letter-exchange":"","x-max-priority":5,"x-queue-type":"classic"}` {
		t.Errorf("queues: %+v", d.Queues)
	}
	if len(d.Parameters) != 2 || string(d.Parameters[0].Value) != `{"max-queues":100}` || !strings.Contains(string(d.Parameters[1].Value), `"max-length":1000`) {
		t.Errorf("parameters: %s", text)
	}
	again, err := c.ImportDefinitions(t.Context(), text)
	must(t, err)
	if len(again.Kept)+len(again.Ignored) != 0 {
		t.Errorf("our own document: %+v", again)
	}
	if after, err := c.ExportDefinitions(t.Context()); err != nil || string(after) != string(text) {
		t.Errorf("exported, imported and exported again, it differs:\n%s\n%s", text, after)
	}
	for _, tc := range []struct {
		doc, want string
	}{
		{`nojson`, "Failed to deserialise input"},
		{`{"queues":[{"name":"q","vhost":"nov","durable":true}]}`, "vhost 'nov', which does not exist"},
		{`{"users":[{"name":"x","password_hash":"AAAA","tags":[]}]}`, "user 'x'"},
		{`{"exchanges":[{"name":"x","vhost":"/","type":"x-nonsense","durable":true}]}`, "exchange 'x' in vhost '/'"},
		{`{"policies":[{"name":"p","vhost":"/","pattern":"*","definition":{"max-length":1}}]}`, "policy 'p' in vhost '/'"},
	} {
		if _, err := c.ImportDefinitions(t.Context(), json.RawMessage(tc.doc)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.doc, err, tc.want)
		}
	}
}

// Every type of exchange and queue that can be declared comes back from an
// export as it was.
func TestDefinitionsOfEveryType(t *testing.T) {
	_, c := empty(t)
	var doc []string
	for _, name := range []string{"direct", "fanout", "topic", "headers", "x-consistent-hash", "x-modulus-hash", "x-random", "x-local-random", "x-delayed-message"} {
		args := "{}"
		if name == "x-delayed-message" {
			args = `{"x-delayed-type":"topic"}`
		}
		if broker.Offers(name) {
			doc = append(doc, fmt.Sprintf(`{"arguments":%s,"auto_delete":false,"durable":true,"internal":true,"name":"of %s","type":%q,"vhost":"/"}`, args, name, name))
		}
	}
	if len(doc) < 8 {
		t.Errorf("only %d types are offered", len(doc))
	}
	_, err := c.ImportDefinitions(t.Context(), json.RawMessage(`{"exchanges":[`+strings.Join(doc, ",")+`]}`))
	must(t, err)
	text, err := c.ExportDefinitions(t.Context())
	must(t, err)
	for _, x := range doc {
		if !strings.Contains(string(text), x) {
			t.Errorf("%s is not in %s", x, text)
		}
	}
}

// TestDefinitionsOf4 reads a document as RabbitMQ 4 writes it: with names for
// things in two places, limits as a list, a hash of SHA-512 and a shovel.
func TestDefinitionsOf4(t *testing.T) {
	n, c := empty(t)
	document, err := os.ReadFile(filepath.Join("testdata", "definitions-4.json"))
	must(t, err)
	got, err := c.ImportDefinitions(t.Context(), document)
	must(t, err)
	if len(got.Ignored) != 1 || !strings.Contains(got.Ignored[0], "parameter 'move' of component shovel in vhost '/': it is kept") {
		t.Errorf("ignored %q", got.Ignored)
	}
	_, err = c.Authenticate(t.Context(), client.UserPassword{Name: "admin", Password: secret.New("s3cret")})
	must(t, err)
	v := n.catalog.View()
	if m := metaOf(v.VHost("shop")); m.QueueType != "quorum" || !reflect.DeepEqual(m.Tags, []string{"prod"}) {
		t.Errorf("the vhost is %+v", m)
	}
	if m := metaOf(v.VHost("/")); m.Description != "Default virtual host" || m.QueueType != "classic" {
		t.Errorf("the vhost that was there is %+v", m)
	}
	if limits := string(broker.LimitsJSON(v.VHost("shop").Limits)); limits != `{"max-queues":10}` {
		t.Errorf("limits are %s", limits)
	}
	text, err := c.ExportDefinitions(t.Context())
	must(t, err)
	for _, part := range []string{
		`{"component":"shovel","name":"move","value":{"src-uri":"amqp://","src-queue":"a","dest-uri":"amqp://elsewhere","dest-queue":"b"},"vhost":"/"}`,
		`{"name":"cluster_tags","value":[]}`, `"apply-to":"quorum_queues"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in the export", part)
		}
	}
}
