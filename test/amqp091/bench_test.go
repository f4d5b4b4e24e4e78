package amqp091_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// BenchmarkFlow measures publish, confirm, deliver and acknowledge through one
// connection over loopback: allocs/op are per message, those of the peer
// included, which are few.
func BenchmarkFlow(b *testing.B) {
	for _, durable := range []bool{true, false} {
		for _, size := range []int{100, 1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("durable=%v/size=%d", durable, size), func(b *testing.B) { flow(b, durable, size) })
		}
	}
}

func flow(b *testing.B, durable bool, size int) {
	p := session(b, broker(b))
	name := fmt.Sprintf("bench.%v.%d", durable, size)
	p.send(1, &wire.QueueDeclare{Queue: name, Durable: durable})
	expect[*wire.QueueDeclareOK](p, 1)
	p.confirms(1)
	p.channel(2)
	p.qos(2, 2000, false)
	p.consume(2, wire.BasicConsume{Queue: name, ConsumerTag: "c"})

	// What is on its way stays below what the node has for queues: a publisher
	// that waits for memory does not read acknowledgements.
	window := min(1000, 4<<20/size)
	one := message{key: name, body: string(make([]byte, size)), props: wire.Properties{DeliveryMode: 2}}.frames(1, p.max)
	batch := max(1, min(64, 32<<10/len(one)))
	var many []byte
	for range batch {
		many = append(many, one...)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	deliveries := make(chan uint64, 1024) // tags to be acknowledged
	room := make(chan struct{}, window/batch+1)
	full := room // nil once all is sent
	done := make(chan error, 1)
	go func() { done <- readFlow(p, b.N, batch, deliveries, room) }()
	var out []byte
	for sent, acked := 0, uint64(0); acked < uint64(b.N); {
		select {
		case full <- struct{}{}:
			if sent < b.N {
				n := min(batch, b.N-sent)
				out = append(out, many[:n*len(one)]...)
				sent += n
			} else {
				full = nil
			}
		case tag := <-deliveries:
			acked = tag
			out = wire.AppendAck(out, 2, tag, true)
		}
		if _, err := p.nc.Write(out); err != nil {
			b.Fatal(err)
		}
		out = out[:0]
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	p.channel(3)
	p.send(3, &wire.QueueDelete{Queue: name})
	p.next()
}

// readFlow reads until n messages were delivered and confirmed.
func readFlow(p *peer, n, batch int, deliveries chan<- uint64, room <-chan struct{}) error {
	buf := make([]byte, 512<<10)
	r, w := 0, 0
	delivered, confirmed, freed := 0, uint64(0), 0
	for delivered < n || confirmed < uint64(n) {
		if r > 0 {
			w = copy(buf, buf[r:w])
			r = 0
		}
		k, err := p.nc.Read(buf[w:])
		if err != nil && err != io.EOF {
			return err
		}
		w += k
		for {
			f, used, err := wire.ScanFrame(buf[r:w], p.max)
			if err != nil {
				return err
			}
			if used == 0 {
				break
			}
			r += used
			if f.Type != wire.FrameMethod {
				continue
			}
			switch id, args, _ := wire.SplitMethod(f.Payload); id {
			case wire.IDBasicDeliver:
				if delivered++; delivered%16 == 0 || delivered == n {
					deliveries <- uint64(delivered)
				}
			case wire.IDBasicAck:
				var m wire.BasicAck
				if err := m.Decode(args); err != nil {
					return err
				}
				confirmed = max(confirmed, m.DeliveryTag)
			}
		}
		for ; freed < int(confirmed)/batch; freed++ {
			<-room
		}
	}
	return nil
}
