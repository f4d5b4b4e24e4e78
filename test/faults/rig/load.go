package rig

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Dial connects as guest. The connection ends with the test.
func Dial(t testing.TB, addr string) *client.Conn {
	t.Helper()
	c, err := TryDial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closeConn(c) })
	return c
}

// TryDial connects as guest.
func TryDial(addr string) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return client.Dial(ctx, client.Options{Addr: addr, User: "guest", Password: "guest"})
}

func closeConn(c *client.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return c.Close(ctx)
}

// Close closes a connection; one that is broken is closed as well.
func Close(c *client.Conn) { _ = closeConn(c) }

// Channel opens a channel.
func Channel(t testing.TB, c *client.Conn, o client.ChannelOptions) *client.Channel {
	t.Helper()
	ch, err := c.Channel(Ctx(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// Ctx is a context for one call.
func Ctx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Declare makes a durable queue.
func Declare(t testing.TB, ch *client.Channel, queue string) {
	t.Helper()
	if _, err := ch.QueueDeclare(Ctx(t), wire.QueueDeclare{Queue: queue, Durable: true}); err != nil {
		t.Fatal(err)
	}
}

// Count returns how many messages of a queue are ready.
func Count(t testing.TB, ch *client.Channel, queue string) uint32 {
	t.Helper()
	ok, err := ch.QueueDeclare(Ctx(t), wire.QueueDeclare{Queue: queue, Durable: true, Passive: true})
	if err != nil {
		t.Fatal(err)
	}
	return ok.MessageCount
}

// bodyHead is the least size of a body: checksum, producer, number.
const bodyHead = 16

// AppendBody appends the body of a message: what it says of itself, and bytes
// that follow from it.
func AppendBody(dst []byte, producer uint32, number uint64, size int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, producer)
	dst = binary.BigEndian.AppendUint64(dst, number)
	for x := number*0x9e3779b97f4a7c15 + uint64(producer); len(dst)-start < size; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		dst = binary.LittleEndian.AppendUint64(dst, x)
	}
	dst = dst[:start+max(size, bodyHead)]
	binary.BigEndian.PutUint32(dst[start:], crc32.ChecksumIEEE(dst[start+4:]))
	return dst
}

// ParseBody verifies a body.
func ParseBody(b []byte) (producer uint32, number uint64, err error) {
	if len(b) < bodyHead || binary.BigEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]) {
		return 0, 0, fmt.Errorf("a body of %d bytes is not what was published", len(b))
	}
	return binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:]), nil
}

// A Publisher sends numbered messages, of which a window may be unconfirmed.
type Publisher struct {
	Producer uint32
	Exchange string
	Key      string
	Size     int
	Window   int

	mu        sync.Mutex
	moved     sync.Cond
	confirmed []bool // by number
	open      int    // sent and not settled
	refused   int
	base      uint64 // number of the message before tag 1
	next      uint64 // tag that is settled next by a multiple
	err       error
	last      time.Time // of the last confirm
}

// Confirmed returns the numbers below which everything was sent, and which of
// them were confirmed.
func (p *Publisher) Confirmed() []bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]bool(nil), p.confirmed...)
}

// Confirms counts the confirmed, and says when the last one came.
func (p *Publisher) Confirms() (n int, last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ok := range p.confirmed {
		if ok {
			n++
		}
	}
	return n, p.last
}

func (p *Publisher) settled(k client.Confirmation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := k.Tag
	if k.Multiple {
		first = p.next
	}
	for tag := first; tag <= k.Tag; tag++ {
		if i := p.base + tag - 1; !p.confirmed[i] {
			p.confirmed[i] = k.Ack
			p.open--
			if !k.Ack {
				p.refused++
			}
		}
	}
	if k.Multiple {
		p.next = k.Tag + 1
	}
	p.last = time.Now()
	p.moved.Broadcast()
}

func (p *Publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.moved.Broadcast()
}

// Run sends count messages behind those of earlier calls, on a channel of its
// own, and returns when all are settled, or why the connection ended.
func (p *Publisher) Run(c *client.Conn, count int) error {
	p.moved.L = &p.mu
	p.base, p.next, p.open, p.err = uint64(len(p.confirmed)), 1, 0, nil
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	ch, err := c.Channel(ctx, client.ChannelOptions{OnConfirm: p.settled})
	if err != nil {
		return err
	}
	if err := ch.Confirm(ctx); err != nil {
		return err
	}
	over, watched := make(chan struct{}), make(chan struct{})
	go func() { // Run waits for watched
		defer close(watched)
		select {
		case <-ch.Done():
			p.fail(errors.Join(errors.New("the channel ended"), ch.Err()))
		case <-over:
		}
	}()
	err = p.send(ch, count)
	close(over)
	<-watched
	return err
}

func (p *Publisher) send(ch *client.Channel, count int) error {
	var body []byte
	props := persistent()
	for range count {
		p.mu.Lock()
		full := p.open >= p.Window
		p.mu.Unlock()
		if full {
			if err := ch.Flush(); err != nil {
				return err
			}
			if err := p.wait(p.Window - 1); err != nil {
				return err
			}
		}
		p.mu.Lock()
		number := uint64(len(p.confirmed))
		p.confirmed = append(p.confirmed, false)
		p.open++
		p.mu.Unlock()
		body = AppendBody(body[:0], p.Producer, number, p.Size)
		if _, err := ch.Publish(&client.Publishing{Exchange: p.Exchange, RoutingKey: p.Key, Props: props, Body: body}); err != nil {
			return err
		}
	}
	if err := ch.Flush(); err != nil {
		return err
	}
	return p.wait(0)
}

// persistent returns the properties of delivery mode 2: the flag word, the octet.
func persistent() wire.Props { return wire.Props{0x10, 0, 2} }

// wait waits until at most open messages are not settled.
func (p *Publisher) wait(open int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open > open && p.err == nil {
		p.moved.Wait()
	}
	return p.err
}

// A Tally is what a consumer got: per producer which numbers, and in what order.
type Tally struct {
	mu        sync.Mutex
	seen      map[uint32][]uint8 // by number: how often, up to 255
	last      map[uint32]uint64  // highest number of a first delivery, plus 1
	got       int
	unflagged int // arrived again and not marked as redelivered
	disorder  int // first deliveries behind a higher number
	damaged   int
}

// Got returns how many deliveries were counted.
func (y *Tally) Got() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.got
}

// Add counts deliveries.
func (y *Tally) Add(ds []client.Delivery) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.seen == nil {
		y.seen, y.last = map[uint32][]uint8{}, map[uint32]uint64{}
	}
	for i := range ds {
		d := &ds[i]
		y.got++
		producer, number, err := ParseBody(d.Body)
		if err != nil || number > 1<<32 {
			y.damaged++
			continue
		}
		s := y.seen[producer]
		for uint64(len(s)) <= number {
			s = append(s, 0)
		}
		if s[number] > 0 && !d.Redelivered {
			y.unflagged++
		}
		if s[number] < 255 {
			s[number]++
		}
		y.seen[producer] = s
		if !d.Redelivered {
			if number+1 <= y.last[producer] {
				y.disorder++
			}
			y.last[producer] = max(y.last[producer], number+1)
		}
	}
}

// Judge fails the test if a confirmed message of the publishers did not arrive,
// one was changed, one came again unmarked, or first deliveries changed places.
func (y *Tally) Judge(t testing.TB, ps ...*Publisher) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	confirmed, lost, first := 0, 0, -1
	for _, p := range ps {
		seen := y.seen[p.Producer]
		for i, ok := range p.Confirmed() {
			if !ok {
				continue
			}
			confirmed++
			if i >= len(seen) || seen[i] == 0 {
				if lost++; first < 0 {
					first = i
				}
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d confirmed messages are lost, the first is number %d", lost, confirmed, first)
	}
	if y.damaged > 0 || y.unflagged > 0 || y.disorder > 0 {
		t.Errorf("of %d deliveries: %d changed, %d came again unmarked, %d out of order", y.got, y.damaged, y.unflagged, y.disorder)
	}
	if confirmed == 0 {
		t.Error("nothing was confirmed: nothing is shown")
	}
}

// Consume starts a consumer that counts and acknowledges.
func Consume(t testing.TB, c *client.Conn, queue string, prefetch uint16, y *Tally) *client.Channel {
	t.Helper()
	ch := Channel(t, c, client.ChannelOptions{})
	if err := ch.Qos(Ctx(t), wire.BasicQos{PrefetchCount: prefetch}); err != nil {
		t.Fatal(err)
	}
	_, err := ch.Consume(Ctx(t), wire.BasicConsume{Queue: queue}, func(ds []client.Delivery) {
		y.Add(ds)
		_ = ch.Ack(wire.BasicAck{DeliveryTag: ds[len(ds)-1].Tag, Multiple: true}) // the channel's end says it
	})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// Drain reads a queue until nothing is left in it, and returns how long it took.
func Drain(t testing.TB, addr, queue string, y *Tally) time.Duration {
	t.Helper()
	c := Dial(t, addr)
	defer Close(c)
	watch := Channel(t, c, client.ChannelOptions{})
	begin := time.Now()
	ch := Consume(t, c, queue, 1000, y)
	got, last := -1, begin
	AwaitFor(t, 20*time.Minute, "the queue to be empty", func() bool {
		if n := y.Got(); n != got {
			got, last = n, time.Now()
			return false
		}
		if time.Since(last) > Patience {
			t.Fatalf("nothing came for %s, %d are ready", Patience, Count(t, watch, queue))
		}
		return time.Since(last) > 200*time.Millisecond && Count(t, watch, queue) == 0
	})
	if err := ch.Close(Ctx(t)); err != nil {
		t.Fatalf("the consumer: %v", err)
	}
	return last.Sub(begin)
}
