package ctl

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What it costs to list queues: with what they hold, and by name alone.
func BenchmarkListQueues(b *testing.B) {
	for _, n := range []int{1000, 20_000} {
		d, url := nodeDesk(b)
		c, err := amqp.Dial(url)
		if err != nil {
			b.Fatal(err)
		}
		ch, err := c.Channel()
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			// Nobody waits for the answer.
			if _, err := ch.QueueDeclare(fmt.Sprintf("queue-%06d", i), true, false, false, i < n-1, nil); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.Close()
		for _, columns := range []string{"name", "messages"} {
			b.Run(fmt.Sprintf("queues=%d/columns=%s", n, columns), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if code := d.run("-s", "list_queues", columns); code != exitOK {
						b.Fatal(code, d.errs.String())
					}
				}
			})
		}
	}
}
