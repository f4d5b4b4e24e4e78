package amqp091_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// everyMethod returns every method that a client can send, filled in so that
// it is accepted where it is expected.
func everyMethod(queue string) []wire.Method {
	return []wire.Method{
		&wire.ConnectionStartOK{Mechanism: "PLAIN", Response: wire.Secret(plain("guest", "guest")), Locale: "en_US"},
		&wire.ConnectionSecureOK{Response: "x"}, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 8192}, &wire.ConnectionOpen{VirtualHost: "/"},
		&wire.ConnectionCloseOK{}, &wire.ConnectionUpdateSecret{NewSecret: "x"}, &wire.ConnectionBlocked{}, &wire.ConnectionUnblocked{},
		&wire.ConnectionStart{}, &wire.ConnectionTune{}, &wire.ConnectionOpenOK{}, &wire.ConnectionClose{ReplyCode: 200},
		&wire.ChannelOpen{}, &wire.ChannelOpenOK{}, &wire.ChannelFlow{Active: true}, &wire.ChannelFlow{}, &wire.ChannelFlowOK{},
		&wire.ChannelClose{ReplyCode: 200}, &wire.ChannelCloseOK{}, &wire.AccessRequest{Realm: "/"}, &wire.AccessRequestOK{},
		&wire.ExchangeDeclare{Exchange: "h.x", Type: "fanout", AutoDelete: true}, &wire.ExchangeDeclareOK{},
		&wire.ExchangeDelete{Exchange: "h.x"}, &wire.ExchangeDeleteOK{},
		&wire.ExchangeBind{Source: "amq.fanout", Destination: "amq.topic"}, &wire.ExchangeBindOK{},
		&wire.ExchangeUnbind{Source: "amq.fanout", Destination: "amq.topic"}, &wire.ExchangeUnbindOK{},
		&wire.QueueDeclare{Queue: queue, Exclusive: true}, &wire.QueueDeclareOK{}, &wire.QueueBind{Queue: queue, Exchange: "amq.fanout"}, &wire.QueueBindOK{},
		&wire.QueuePurge{Queue: queue}, &wire.QueuePurgeOK{}, &wire.QueueUnbind{Queue: queue, Exchange: "amq.fanout"}, &wire.QueueUnbindOK{},
		&wire.QueueDelete{Queue: queue}, &wire.QueueDeleteOK{},
		&wire.BasicQos{PrefetchCount: 3}, &wire.BasicQos{PrefetchCount: 1, Global: true}, &wire.BasicQosOK{},
		&wire.BasicConsume{Queue: queue, ConsumerTag: "c"}, &wire.BasicConsume{Queue: queue, NoAck: true}, &wire.BasicConsumeOK{},
		&wire.BasicCancel{ConsumerTag: "c"}, &wire.BasicCancelOK{}, &wire.BasicPublish{RoutingKey: []byte(queue)}, &wire.BasicReturn{},
		&wire.BasicDeliver{}, &wire.BasicGet{Queue: queue}, &wire.BasicGet{Queue: queue, NoAck: true}, &wire.BasicGetOK{}, &wire.BasicGetEmpty{},
		&wire.BasicAck{DeliveryTag: 1}, &wire.BasicAck{Multiple: true}, &wire.BasicReject{DeliveryTag: 1, Requeue: true},
		&wire.BasicNack{Multiple: true, Requeue: true}, &wire.BasicNack{Multiple: true}, &wire.BasicRecover{Requeue: true}, &wire.BasicRecoverAsync{Requeue: true}, &wire.BasicRecover{},
		&wire.BasicRecoverOK{}, &wire.ConfirmSelect{}, &wire.ConfirmSelectOK{}, &wire.TxSelect{}, &wire.TxCommit{}, &wire.TxRollback{}, &wire.TxSelectOK{},
	}
}

// ended reads until the broker hangs up or answers a question of the peer's:
// it does one of both, whatever was sent to it.
func (p *peer) ended() {
	p.t.Helper()
	p.send(0, &wire.ConnectionClose{ReplyCode: 200})
	_ = p.nc.(*net.TCPConn).CloseWrite()
	for {
		_, err := p.read()
		var ne net.Error
		switch {
		case errors.As(err, &ne) && ne.Timeout():
			p.t.Fatal("the broker neither answers nor hangs up")
		case err != nil:
			return
		}
	}
}

// Every method in every state, on channel 0 and on a channel, twice: the broker
// answers or hangs up, and others do not notice.
//
// X7.
func TestEveryMethodInEveryState(t *testing.T) {
	neighbour := session(t, broker(t))
	nq := neighbour.queue(1, "")
	states := map[string]func(p *peer){
		"header": func(p *peer) { p.raw([]byte(wire.Header091)) },
		"tuning": func(p *peer) { p.login(nil) },
		"opening": func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 8192})
		},
		"open":    func(p *peer) { p.open(nil) },
		"channel": func(p *peer) { p.open(nil); p.channel(1) },
		"content": func(p *peer) {
			p.open(nil)
			p.channel(1)
			p.send(1, &wire.BasicPublish{})
		},
		"consuming": func(p *peer) {
			p.open(nil)
			p.channel(1)
			q := p.queue(1, "")
			p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "c"})
			p.to(1, q, "1", "2")
		},
		"closing channel": func(p *peer) {
			p.open(nil)
			p.channel(1)
			p.send(1, &wire.QueueDeclare{Queue: "h.none", Passive: true})
			expect[*wire.ChannelClose](p, 1)
		},
		"closing": func(p *peer) {
			p.open(nil)
			p.send(0, &wire.QueueDeclare{})
			expect[*wire.ConnectionClose](p, 0)
		},
	}
	for name, reach := range states {
		t.Run(name, func(t *testing.T) {
			for i := range everyMethod("") {
				for _, channel := range []uint16{0, 1} {
					p := dial(t, broker(t))
					reach(p)
					m := everyMethod("h.own")[i]
					p.send(channel, m, m)
					p.ended()
					_ = p.nc.Close()
				}
			}
		})
	}
	neighbour.to(1, nq, "still here")
	if got := neighbour.drain(1, nq); got != "still here" {
		t.Errorf("got %q", got)
	}
}

// Every length field at its extremes: the connection is refused before anything
// of that size is made.
//
// X2, X4.
func TestLengths(t *testing.T) {
	extremes := []uint64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	for _, n := range extremes {
		// The frame's own.
		p := session(t, broker(t))
		b := (&wire.QueueDeclare{Exclusive: true}).AppendFrame(nil, 1)
		binary.BigEndian.PutUint32(b[3:], uint32(n))
		p.raw(b)
		p.ended()
		// A table's, and a string's in it.
		for _, back := range []int{5, 9} {
			p = session(t, broker(t))
			b = (&wire.QueueDeclare{Exclusive: true, Arguments: args(field("k", wire.String("")))}).AppendFrame(nil, 1)
			binary.BigEndian.PutUint32(b[len(b)-1-back:], uint32(n))
			p.raw(b)
			p.ended()
		}
	}
	for _, n := range append(extremes, 1<<63-1, 1<<63, 1<<64-1) {
		// A body's.
		p := session(t, broker(t))
		p.raw(wire.AppendHeader(wire.AppendPublish(nil, 1, "", "q", false), 1, nil, n))
		p.raw(wire.AppendBodyFrames(nil, 1, []byte("ab"), p.max))
		p.ended()
	}
}

// Nested tables and arrays are bounded, by depth and by count.
//
// X5, X6.
func TestNesting(t *testing.T) {
	for _, depth := range []int{10, 60, 70, 1000} {
		p := session(t, broker(t))
		var v wire.Table
		for range depth {
			v = args(field("t", wire.TableOf(v)))
		}
		p.send(1, &wire.QueueDeclare{Exclusive: true, Arguments: v})
		if depth < 64 {
			expect[*wire.QueueDeclareOK](p, 1)
		} else if got := p.closed(); !strings.HasPrefix(got, "connection 502 50.10 SYNTAX_ERROR - ") {
			t.Errorf("depth %d: %s", depth, got)
		}
	}
	p := session(t, broker(t))
	voids := make([]wire.Value, 100_000)
	p.send(1, &wire.QueueDeclare{Exclusive: true, Arguments: args(field("a", wire.Array(voids...)))})
	if got := p.closed(); !strings.HasPrefix(got, "connection 502 50.10 SYNTAX_ERROR - ") {
		t.Error(got)
	}
}

// Contents that never end are bounded for all channels of a connection
// together.
//
// X2, X15.
func TestUnfinishedContents(t *testing.T) {
	p := session(t, broker(t))
	part := strings.Repeat("x", 131064)
	end := make(chan string, 1)
	go func() { end <- p.closed() }()
	for id := uint16(2); id < 100; id++ {
		b := (&wire.ChannelOpen{}).AppendFrame(nil, id)
		b = wire.AppendPublish(b, id, "", "q", false)
		b = wire.AppendHeader(b, id, nil, 16<<20)
		for range 10 {
			b = wire.AppendBodyFrames(b, id, []byte(part), p.max)
		}
		_ = p.nc.SetWriteDeadline(time.Now().Add(patience))
		if _, err := p.nc.Write(b); err != nil {
			break
		}
	}
	if got := <-end; got != "connection 506 60.40 RESOURCE_ERROR - unfinished messages on this connection exceed 67108864 bytes" {
		t.Error(got)
	}
}

// A slow login: a peer that sends a byte now and then is served as long as its
// budget lasts; one that says nothing at all is not kept.
//
// X3.
func TestSlowLogin(t *testing.T) {
	p := dial(t, broker(t))
	var b []byte
	b = append(b, wire.Header091...)
	b = (&wire.ConnectionStartOK{Mechanism: "PLAIN", Response: wire.Secret(plain("guest", "guest")), Locale: "en_US"}).AppendFrame(b, 0)
	b = (&wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 8192}).AppendFrame(b, 0)
	b = (&wire.ConnectionOpen{VirtualHost: "/"}).AppendFrame(b, 0)
	for i := range b {
		p.raw(b[i : i+1])
	}
	expect[*wire.ConnectionStart](p, 0)
	expect[*wire.ConnectionTune](p, 0)
	expect[*wire.ConnectionOpenOK](p, 0)
}

// Random frames of a client that means well and badly in turn.
func TestRandomScripts(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			p := session(t, broker(t))
			script := make([]byte, 400)
			for i := range script {
				script[i] = byte(r.Uint32())
			}
			p.raw(frames(script))
			p.ended()
		})
	}
}

// frames makes the frames of a script: two bytes each, what and how.
func frames(script []byte) []byte {
	var b []byte
	methods := everyMethod("h.script")
	for ; len(script) >= 2; script = script[2:] {
		what, how := script[0], script[1]
		channel := uint16(how >> 6) // 0 is rarely right
		if channel == 0 && how&7 != 0 {
			channel = 1
		}
		switch {
		case what < 60:
			b = append(b, message{key: "h.script", body: strings.Repeat("x", int(how)), mandatory: how&1 != 0}.frames(channel, 8192)...)
		case what < 70:
			b = wire.AppendHeader(b, channel, nil, uint64(how))
		case what < 80:
			b = wire.AppendBodyFrames(b, channel, make([]byte, how), 8192)
		case what < 90:
			b = (&wire.ChannelOpen{}).AppendFrame(b, channel)
		case what < 130:
			b = (&wire.BasicAck{DeliveryTag: uint64(how & 31), Multiple: how&32 != 0}).AppendFrame(b, channel)
		case what < 150:
			b = (&wire.BasicNack{DeliveryTag: uint64(how & 15), Multiple: how&32 != 0, Requeue: how&16 != 0}).AppendFrame(b, channel)
		case what == 150:
			b = append(b, how)
		default:
			b = methods[int(how)%len(methods)].AppendFrame(b, channel)
		}
	}
	return b
}

// FuzzSession runs scripts of frames against a session of a whole node. The
// broker answers or hangs up; nothing panics and, as TestMain sees, nothing is
// left behind.
func FuzzSession(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{200, 29, 0, 65, 200, 42, 100, 1, 140, 16, 200, 17})
	f.Add([]byte{200, 29, 0, 65, 200, 51, 90, 1, 200, 43, 0, 66, 200, 45, 200, 59})
	f.Add([]byte{85, 130, 60, 65, 70, 65, 75, 65, 150, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1000 {
			return
		}
		p := session(t, broker(t))
		p.raw(frames(script))
		p.ended()
	})
}
