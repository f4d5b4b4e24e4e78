package node

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin/client"
)

// What is damaged and has no other replica is shown with its queues, and given up
// when somebody accepts that: they begin empty, with their bindings, and the next
// start finds nothing damaged that counts. What is whole is not given up.
func TestGiveUpDamaged(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	ch := r.channel()
	bad, whole := twoQueues(t, r, ch)
	must(t, ch.QueueBind(bad, "key", "amq.topic", false, nil))
	publish(t, ch, whole, 0, 10)
	must(t, ch.Publish("", bad, false, false, amqpMessage("needle in the hay")))
	publish(t, ch, bad, 0, 10)
	r.stop()
	file := flip(t, o.FS, o.DataDir, "needle in the hay")

	r = start(t, o)
	c := client.New(o.DataDir)
	defer c.Close()
	d, err := c.DamagedShards(t.Context(), client.DamagedQuery{})
	must(t, err)
	if len(d.Shards) != 1 || len(d.Shards[0].Others) != 0 || !strings.Contains(d.Shards[0].Why, file) ||
		len(d.Shards[0].Queues) != 1 || d.Shards[0].Queues[0].Queue != bad {
		t.Fatalf("%+v", d)
	}
	was := d.Shards[0].Shard
	if _, err := c.GiveUpShards(t.Context(), client.GiveUpShards{Shards: []uint64{was, r.catalog.View().Queue("/", whole).Shard}}); err == nil {
		t.Fatal("a whole shard was given up")
	}
	if r.catalog.View().Shard(was) == nil {
		t.Fatal("half of an order was carried out")
	}
	_, err = c.GiveUpShards(t.Context(), client.GiveUpShards{Shards: []uint64{was}})
	must(t, err)
	for life := range 2 {
		ch = r.channel()
		if n := declare(t, ch, bad).Messages; n != 5*life {
			t.Errorf("life %d: %d messages in the queue that was given up", life, n)
		}
		must(t, ch.Confirm(false))
		publish(t, ch, bad, 5*life, 5*life+4)
		must(t, ch.Publish("amq.topic", "key", true, false, amqp.Publishing{Body: []byte("bound still")}))
		eventually(t, ch, bad, 5*life+5)
		if n := declare(t, ch, whole).Messages; n != 10 {
			t.Errorf("the whole queue has %d messages", n)
		}
		if d, err := c.DamagedShards(t.Context(), client.DamagedQuery{}); err != nil || len(d.Shards) != 0 {
			t.Errorf("life %d: %+v, %v", life, d, err)
		}
		r.stop()
		r = start(t, o)
	}
}
