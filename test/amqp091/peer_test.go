package amqp091_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// The error table can be held against another broker: what it answers
// differently is reported, and nothing else is run.
var foreign = flag.String("peer", "", "address of a RabbitMQ to hold the table of errors against")

// patience bounds every wait of a test.
const patience = 8 * time.Second

// A peer is a client that speaks frames.
type peer struct {
	t   testing.TB
	nc  net.Conn
	buf []byte
	max uint32 // frame-max
	// patience bounds its waits instead of the usual one, if set.
	patience time.Duration
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, nc)
}

func newPeer(t testing.TB, nc net.Conn) *peer {
	t.Cleanup(func() { _ = nc.Close() })
	return &peer{t: t, nc: nc, max: wire.DefaultFrameMax}
}

// connect returns a peer whose connection is open.
func connect(t testing.TB, addr string) *peer {
	t.Helper()
	p := dial(t, addr)
	p.open(wire.Table{})
	return p
}

// session returns a peer with channel 1 open.
func session(t testing.TB, addr string) *peer {
	t.Helper()
	p := connect(t, addr)
	p.channel(1)
	return p
}

func (p *peer) raw(b []byte) {
	p.t.Helper()
	_ = p.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.nc.Write(b); err != nil && !errors.Is(err, net.ErrClosed) {
		p.t.Logf("write: %v", err) // the answer decides
	}
}

func (p *peer) send(channel uint16, ms ...wire.Method) {
	p.t.Helper()
	var b []byte
	for _, m := range ms {
		b = m.AppendFrame(b, channel)
	}
	p.raw(b)
}

// read returns the next frame that is no heartbeat.
func (p *peer) read() (wire.Frame, error) {
	for {
		f, n, err := wire.ScanFrame(p.buf, p.max)
		if err != nil {
			return f, err
		}
		if n > 0 {
			f.Payload = bytes.Clone(f.Payload)
			p.buf = p.buf[n:]
			if f.Type == wire.FrameHeartbeat {
				continue
			}
			return f, nil
		}
		_ = p.nc.SetReadDeadline(time.Now().Add(max(patience, p.patience)))
		var chunk [64 << 10]byte
		k, err := p.nc.Read(chunk[:])
		p.buf = append(p.buf, chunk[:k]...)
		if err != nil && k == 0 {
			return wire.Frame{}, err
		}
	}
}

// next returns the next frame, which must be a method.
func (p *peer) next() (uint16, wire.Method) {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("no method: %v", err)
	}
	if f.Type != wire.FrameMethod {
		p.t.Fatalf("frame of type %d on channel %d: %q", f.Type, f.Channel, f.Payload)
	}
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	return f.Channel, m
}

// expect returns the next method, which must be a T on that channel.
func expect[T wire.Method](p *peer, channel uint16) T {
	p.t.Helper()
	ch, m := p.next()
	x, ok := m.(T)
	if !ok || ch != channel {
		p.t.Fatalf("channel %d: %T %+v, want %T on channel %d", ch, m, m, *new(T), channel)
	}
	return x
}

// eof requires that the broker hangs up and says nothing more.
func (p *peer) eof() {
	p.t.Helper()
	f, err := p.read()
	if err == nil {
		p.t.Fatalf("frame of type %d on channel %d instead of the end: %q", f.Type, f.Channel, f.Payload)
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		p.t.Fatal("the broker does not hang up")
	}
}

// idle requires that nothing comes while the broker answers a question.
func (p *peer) idle(channel uint16) {
	p.t.Helper()
	p.send(channel, &wire.ChannelFlow{Active: true})
	expect[*wire.ChannelFlowOK](p, channel)
}

func plain(user, password string) string { return "\x00" + user + "\x00" + password }

// start sends the header and answers connection.start.
func (p *peer) start(properties wire.Table, mechanism, response string) {
	p.t.Helper()
	p.raw([]byte(wire.Header091))
	expect[*wire.ConnectionStart](p, 0)
	p.send(0, &wire.ConnectionStartOK{ClientProperties: properties, Mechanism: mechanism, Response: wire.Secret(response), Locale: "en_US"})
}

func (p *peer) login(capabilities wire.Table) {
	p.t.Helper()
	p.start(wire.Table{{Key: "capabilities", Value: wire.TableOf(capabilities)}}, "PLAIN", plain("guest", "guest"))
	expect[*wire.ConnectionTune](p, 0)
}

func (p *peer) open(capabilities wire.Table) {
	p.t.Helper()
	p.login(capabilities)
	p.send(0, &wire.ConnectionTuneOK{ChannelMax: 2047, FrameMax: p.max})
	p.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
	expect[*wire.ConnectionOpenOK](p, 0)
}

func (p *peer) channel(id uint16) {
	p.t.Helper()
	p.send(id, &wire.ChannelOpen{})
	expect[*wire.ChannelOpenOK](p, id)
}

// closeChannel closes a channel in order: its settles are committed then.
func (p *peer) closeChannel(id uint16) {
	p.t.Helper()
	p.send(id, &wire.ChannelClose{ReplyCode: 200})
	for {
		ch, m := p.next()
		switch m.(type) {
		case *wire.BasicDeliver: // it was on its way
			p.content(ch)
		case *wire.ChannelCloseOK:
			return
		default:
			p.t.Fatalf("channel %d: %+v", ch, m)
		}
	}
}

func (p *peer) close() {
	p.t.Helper()
	p.send(0, &wire.ConnectionClose{ReplyCode: 200})
	expect[*wire.ConnectionCloseOK](p, 0)
	if *foreign == "" {
		p.eof()
	}
}

// queue declares a queue that ends with the connection.
func (p *peer) queue(channel uint16, name string) string {
	p.t.Helper()
	p.send(channel, &wire.QueueDeclare{Queue: name, Exclusive: true})
	return expect[*wire.QueueDeclareOK](p, channel).Queue
}

// durable declares a durable queue and has it deleted after the test.
func (p *peer) durable(channel uint16, name string, args ...wire.Field) string {
	p.t.Helper()
	p.send(channel, &wire.QueueDeclare{Queue: name, Durable: true, Arguments: args})
	name = expect[*wire.QueueDeclareOK](p, channel).Queue
	p.t.Cleanup(func() { drop(p.t, p.nc.RemoteAddr().String(), name) })
	return name
}

func drop(t testing.TB, addr, queue string) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return // the broker was stopped
	}
	p := newPeer(t, nc)
	p.open(nil)
	p.channel(1)
	p.send(1, &wire.QueueDelete{Queue: queue})
	p.next()
}

// ready returns how many messages are ready in a queue.
func (p *peer) ready(channel uint16, queue string) int {
	p.t.Helper()
	p.send(channel, &wire.QueueDeclare{Queue: queue, Passive: true})
	return int(expect[*wire.QueueDeclareOK](p, channel).MessageCount)
}

type message struct {
	exchange, key, body string
	props               wire.Properties
	mandatory           bool
}

func (m message) frames(channel uint16, frameMax uint32) []byte {
	b := wire.AppendPublish(nil, channel, m.exchange, m.key, m.mandatory)
	b = wire.AppendHeader(b, channel, m.props.Append(nil), uint64(len(m.body)))
	return wire.AppendBodyFrames(b, channel, []byte(m.body), frameMax)
}

func (p *peer) publish(channel uint16, ms ...message) {
	p.t.Helper()
	var b []byte
	for _, m := range ms {
		b = append(b, m.frames(channel, p.max)...)
	}
	p.raw(b)
}

// to publishes bodies to a queue.
func (p *peer) to(channel uint16, queue string, bodies ...string) {
	p.t.Helper()
	for _, b := range bodies {
		p.publish(channel, message{key: queue, body: b, props: wire.Properties{DeliveryMode: 2}})
	}
}

func (p *peer) confirms(channel uint16) {
	p.t.Helper()
	p.send(channel, &wire.ConfirmSelect{})
	expect[*wire.ConfirmSelectOK](p, channel)
}

// acked waits until every publish up to a tag is acknowledged.
func (p *peer) acked(channel uint16, upTo uint64) {
	p.t.Helper()
	seen := map[uint64]bool{}
	for low := uint64(1); low <= upTo; {
		a := expect[*wire.BasicAck](p, channel)
		if a.Multiple {
			low = max(low, a.DeliveryTag+1)
		}
		seen[a.DeliveryTag] = true
		for seen[low] {
			delete(seen, low)
			low++
		}
	}
}

// content reads the header and the body of a message.
func (p *peer) content(channel uint16) (wire.Props, string) {
	p.t.Helper()
	f, err := p.read()
	if err != nil || f.Type != wire.FrameHeader || f.Channel != channel {
		p.t.Fatalf("no header: type %d on channel %d, %v", f.Type, f.Channel, err)
	}
	h, err := wire.DecodeHeader(f.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		f, err := p.read()
		if err != nil || f.Type != wire.FrameBody || f.Channel != channel {
			p.t.Fatalf("no body: type %d on channel %d, %v", f.Type, f.Channel, err)
		}
		if len(f.Payload)+wire.FrameOverhead > int(p.max) {
			p.t.Fatalf("frame of %d bytes, frame-max is %d", len(f.Payload)+wire.FrameOverhead, p.max)
		}
		body = append(body, f.Payload...)
	}
	return h.Props, string(body)
}

type delivery struct {
	*wire.BasicDeliver
	props wire.Props
	body  string
}

func (p *peer) deliver(channel uint16) delivery {
	p.t.Helper()
	d := delivery{BasicDeliver: expect[*wire.BasicDeliver](p, channel)}
	d.props, d.body = p.content(channel)
	return d
}

// deliveries returns the bodies of the next n deliveries, those delivered again
// with a star.
func (p *peer) deliveries(channel uint16, n int) string {
	p.t.Helper()
	var out []string
	for range n {
		d := p.deliver(channel)
		out = append(out, star(d.body, d.Redelivered))
	}
	return strings.Join(out, " ")
}

func star(body string, again bool) string {
	if again {
		return body + "*"
	}
	return body
}

// get returns what basic.get takes: "-" if there is nothing.
func (p *peer) get(channel uint16, queue string, noAck bool) (body string, tag uint64) {
	p.t.Helper()
	p.send(channel, &wire.BasicGet{Queue: queue, NoAck: noAck})
	_, m := p.next()
	switch m := m.(type) {
	case *wire.BasicGetEmpty:
		return "-", 0
	case *wire.BasicGetOK:
		_, body := p.content(channel)
		return star(body, m.Redelivered), m.DeliveryTag
	default:
		p.t.Fatalf("basic.get: %+v", m)
		return "", 0
	}
}

// eventually requires that a message comes back to a queue: what another
// connection gives back is ready when it is committed.
func (p *peer) eventually(channel uint16, queue, want string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		got, _ := p.get(channel, queue, true)
		if got == want {
			return
		}
		if got != "-" || time.Now().After(end) {
			p.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// holds waits until so many messages are ready in a queue: what another
// connection gave back is ready when it is committed.
func (p *peer) holds(channel uint16, queue string, n int) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		got := p.ready(channel, queue)
		if got == n {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%d messages are ready in %s, want %d", got, queue, n)
		}
	}
}

// drain takes everything from a queue.
func (p *peer) drain(channel uint16, queue string) string {
	p.t.Helper()
	var out []string
	for {
		body, _ := p.get(channel, queue, true)
		if body == "-" {
			return strings.Join(out, " ")
		}
		out = append(out, body)
	}
}

func (p *peer) consume(channel uint16, m wire.BasicConsume) string {
	p.t.Helper()
	p.send(channel, &m)
	return expect[*wire.BasicConsumeOK](p, channel).ConsumerTag
}

func (p *peer) qos(channel, count uint16, global bool) {
	p.t.Helper()
	p.send(channel, &wire.BasicQos{PrefetchCount: count, Global: global})
	expect[*wire.BasicQosOK](p, channel)
}

// closed reads up to a close and returns it as text: level, code, class, method
// and reply text. It answers the close.
func (p *peer) closed() string {
	p.t.Helper()
	for {
		f, err := p.read()
		var ne net.Error
		switch {
		case errors.Is(err, io.EOF), errors.As(err, &ne) && !ne.Timeout():
			return "end"
		case err != nil:
			return fmt.Sprintf("nothing (%v)", errors.Is(err, os.ErrDeadlineExceeded))
		case f.Type != wire.FrameMethod:
			continue
		}
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			p.t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.ChannelClose:
			p.send(f.Channel, &wire.ChannelCloseOK{})
			return fmt.Sprintf("channel %d %d.%d %s", m.ReplyCode, m.ClassID, m.MethodID, m.ReplyText)
		case *wire.ConnectionClose:
			p.send(0, &wire.ConnectionCloseOK{})
			return fmt.Sprintf("connection %d %d.%d %s", m.ReplyCode, m.ClassID, m.MethodID, m.ReplyText)
		}
	}
}
