package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
)

// flip changes a bit of the first record of the log that holds needle, and
// returns the name of its file.
func flip(t *testing.T, fs vfs.FS, dir, needle string) string {
	t.Helper()
	log := fs.PathJoin(dir, "e1", "log")
	names, err := fs.List(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := fs.OpenReadWrite(fs.PathJoin(log, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, info.Size())
		if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		at := bytes.Index(b, []byte(needle))
		if at >= 0 {
			if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if at >= 0 {
			return name
		}
	}
	t.Fatalf("%q is nowhere in the log", needle)
	return ""
}

// twoQueues declares queues in different shards.
func twoQueues(t *testing.T, r *running, ch *amqp.Channel) (a, b string) {
	t.Helper()
	shardOf := func(q string) uint64 { return r.catalog.View().Queue("/", q).Shard }
	a = "q0"
	declare(t, ch, a)
	for i := 1; i < 100; i++ {
		b = fmt.Sprintf("q%d", i)
		if declare(t, ch, b); shardOf(a) != shardOf(b) {
			return a, b
		}
	}
	t.Fatal("all queues are in one shard")
	return "", ""
}

func closedWith(t *testing.T, err error, what string) {
	t.Helper()
	var e *amqp.Error
	if !errors.As(err, &e) || e.Code < 400 {
		t.Errorf("%s: got %v, want an error of the broker", what, err)
	}
}

// TestRefusedShard flips a bit below the synced mark: the shard is refused, by
// file and offset, and its queues are unavailable; the others serve, and new
// queues go to them. It stays so at the next start.
func TestRefusedShard(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	ch := r.channel()
	bad, whole := twoQueues(t, r, ch)
	publish(t, ch, whole, 0, 10)
	if err := ch.Publish("", bad, false, false, amqpMessage("needle in the hay")); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, bad, 0, 10)
	r.stop()
	file := flip(t, o.FS, o.DataDir, "needle in the hay")

	for life := range 2 {
		r = start(t, o)
		log := r.log.String()
		for _, says := range []string{"shard refused", file, "offset", bad} {
			if life == 0 && !strings.Contains(log, says) {
				t.Errorf("the log does not say %q:\n%s", says, log)
			}
		}
		ch = r.channel()
		if n := declare(t, ch, whole).Messages; n != 10+life*5 {
			t.Errorf("the whole queue has %d messages", n)
		}
		publish(t, ch, whole, 10+life*5, 15+life*5)
		_, err := r.channel().QueueDeclarePassive(bad, true, false, false, false, nil)
		closedWith(t, err, "passive declare")
		_, err = r.channel().Consume(bad, "", false, false, false, false, nil)
		closedWith(t, err, "consume")
		_, _, err = r.channel().Get(bad, true)
		closedWith(t, err, "get")
		refusePublish(t, r, bad)
		for i := range 8 { // new queues go to the others
			q := fmt.Sprintf("new%d", i)
			declare(t, ch, q)
			publish(t, ch, q, 5*life, 5*life+5)
		}
		s := r.status()
		refused := 0
		for _, sh := range s.Shards {
			if sh.Refused != "" {
				refused++
				if sh.Queues == 0 || sh.Leader != "" {
					t.Errorf("the refused shard: %+v", sh)
				}
			}
		}
		if refused != 1 || len(s.Limiting) != 1 || !strings.Contains(s.Limiting[0], "refused") {
			t.Errorf("%d refused, limiting %q", refused, s.Limiting)
		}
		r.stop()
	}
	want(t, start(t, o).channel(), whole, 0, 20)
}

// refusePublish wants a publish to be neither confirmed nor lost in silence.
func refusePublish(t *testing.T, r *running, queue string) {
	t.Helper()
	ch := r.channel()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	c, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqpMessage("x"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-c.Done():
	}
	if c.Acked() {
		t.Error("a refused shard confirmed a message")
	}
}

// TestAllShardsRefused makes a shard that serves what is declared anew.
func TestAllShardsRefused(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	o.Shards = 1
	r := start(t, o)
	ch := r.channel()
	declare(t, ch, "a")
	publish(t, ch, "a", 0, 1)
	if err := ch.Publish("", "a", false, false, amqpMessage("needle in the hay")); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "a", 1, 2)
	r.stop()
	flip(t, o.FS, o.DataDir, "needle in the hay")
	for life := range 2 {
		r = start(t, o)
		ch = r.channel()
		declare(t, ch, "b")
		publish(t, ch, "b", life, life+1)
		if n := len(r.status().Shards); n != 3 { // the catalog, the refused one, the new one
			t.Errorf("life %d: %d groups", life, n)
		}
		r.stop()
	}
}

// TestDamagedCatalog refuses to start, names the place, and touches nothing.
func TestDamagedCatalog(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	declare(t, r.channel(), "needle-in-the-hay")
	r.stop()
	file := flip(t, o.FS, o.DataDir, "needle-in-the-hay")
	for range 2 {
		err := tryRun(o)
		if !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "catalog") {
			t.Errorf("got %v", err)
		}
	}
}

// TestLogLost takes the log's files away: what the state store has does not fit.
func TestLogLost(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	declare(t, r.channel(), "a")
	saved := make(chan struct{})
	r.rounds.Force(func() { close(saved) })
	<-saved
	r.stop()
	log := o.FS.PathJoin(o.DataDir, "e1", "log")
	names, err := o.FS.List(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := o.FS.Remove(o.FS.PathJoin(log, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tryRun(o); !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), "catalog") {
		t.Errorf("got %v", err)
	}
}

// TestStatusNames keeps what operators' tools read.
func TestStatusNames(t *testing.T) {
	var n interface {
		Status(context.Context) (admin.Status, error)
	} = start(t, testOptions(t, t.TempDir(), vfs.NewMem())).Node
	s, err := n.Status(t.Context())
	if err != nil || s.Version != "devel" || s.Started.IsZero() || s.Memory.Budget != 256<<20 || s.Disk.Segments == 0 {
		t.Errorf("status %+v, %v", s, err)
	}
}
