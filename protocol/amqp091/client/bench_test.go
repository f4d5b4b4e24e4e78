package client

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			c := quiet(&stream{})
			ch := c.mu.channels[1]
			p := Publishing{Exchange: "orders", RoutingKey: "orders.new", Body: make([]byte, size)}
			p.Props = (&wire.Properties{DeliveryMode: 2}).Append(nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ch.Publish(&p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkConsume(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			var data []byte
			const round = 100
			for n := range uint64(round) {
				data = deliver(data, 1, "c", n, make([]byte, size), wire.DefaultFrameMax)
			}
			c := quiet(&stream{data: data, rounds: (b.N + round - 1) / round})
			ch := c.mu.channels[1]
			got := 0
			ch.consumers["c"].deliver = func(batch []Delivery) {
				got += len(batch)
				_ = ch.Ack(wire.BasicAck{DeliveryTag: batch[len(batch)-1].Tag, Multiple: true})
				c.mu.out = c.mu.out[:0]
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			c.readLoop()
			if got < b.N {
				b.Fatalf("%d of %d messages", got, b.N)
			}
		})
	}
}

// TestHotPathsDoNotAllocate holds what the benchmarks show.
func TestHotPathsDoNotAllocate(t *testing.T) {
	c := quiet(&stream{})
	ch := c.mu.channels[1]
	p := Publishing{Exchange: "orders", RoutingKey: "orders.new", Body: make([]byte, 1000)}
	for range 1000 { // both buffers are in use
		if _, err := ch.Publish(&p); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = ch.Publish(&p) }); n != 0 {
		t.Errorf("publish: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		_ = ch.Ack(wire.BasicAck{DeliveryTag: 1})
		_ = ch.Nack(wire.BasicNack{DeliveryTag: 1})
		c.mu.out = c.mu.out[:0]
	}); n != 0 {
		t.Errorf("settle: %v allocations", n)
	}
	data := deliver(nil, 1, "c", 1, make([]byte, 1000), wire.DefaultFrameMax)
	in := &stream{data: data}
	c.in.conn = in
	read := func() {
		in.rounds = 1
		if err := c.in.fill(); err != nil {
			t.Fatal(err)
		}
		if err := c.frames(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("deliver: %v allocations", n)
	}
}
