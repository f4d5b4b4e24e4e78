package client

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func raw(typ byte, channel uint16, payload ...byte) []byte {
	return wire.AppendFrame(nil, wire.Frame{Type: typ, Channel: channel, Payload: payload})
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// TestServerBreaksTheProtocol: whatever it is, the connection ends with a close
// that says so, and what was whole before it was still handed out.
func TestServerBreaksTheProtocol(t *testing.T) {
	method := func(channel uint16, m wire.Method) []byte { return m.AppendFrame(nil, channel) }
	deliverOnly := wire.AppendDeliver(nil, 1, "c", 1, false, nil, nil)
	header := func(size uint64) []byte { return wire.AppendHeader(nil, 1, nil, size) }
	deep := make([]byte, 0, 1000)
	for range 100 {
		deep = binary.BigEndian.AppendUint32(append(deep, 1, 'k', 'F'), uint32(1000))
	}
	for _, c := range []struct {
		name string
		in   []byte
		want wire.ReplyCode
		text string
	}{
		{"end octet", []byte{1, 0, 1, 0, 0, 0, 0, 0}, wire.CodeFrameError, "invalid_frame_end_marker"},
		{"frame type", raw(9, 1), wire.CodeFrameError, "unknown_frame"},
		{"frame of 4 GiB", []byte{3, 0, 1, 255, 255, 255, 255}, wire.CodeFrameError, "frame_too_large,4294967295,131064"},
		{"frame of 2 GiB", []byte{3, 0, 1, 128, 0, 0, 0}, wire.CodeFrameError, "frame_too_large"},
		{"unknown channel", method(2, &wire.ChannelFlow{}), wire.CodeUnexpectedFrame, "type 1"},
		{"heartbeat on a channel", raw(wire.FrameHeartbeat, 1), wire.CodeUnexpectedFrame, "type 8"},
		{"header on channel 0", wire.AppendHeader(nil, 0, nil, 0), wire.CodeUnexpectedFrame, "type 2"},
		{"header from nowhere", header(0), wire.CodeUnexpectedFrame, "type 2"},
		{"body from nowhere", raw(wire.FrameBody, 1, 'x'), wire.CodeUnexpectedFrame, "type 3"},
		{"body without header", join(deliverOnly, raw(wire.FrameBody, 1, 'x')), wire.CodeUnexpectedFrame, "type 3"},
		{"second header", join(deliverOnly, header(5), header(5)), wire.CodeUnexpectedFrame, "type 2"},
		{"method within a content", join(deliverOnly, deliverOnly), wire.CodeUnexpectedFrame, "type 1"},
		{"close within a content", join(deliverOnly, header(5), method(1, &wire.ChannelClose{})), wire.CodeUnexpectedFrame, "type 1"},
		{"body beyond its size", join(deliverOnly, header(2), raw(wire.FrameBody, 1, 'a', 'b', 'c')), wire.CodeUnexpectedFrame, "type 3"},
		{"body beyond its size, later", join(deliverOnly, header(2), raw(wire.FrameBody, 1, 'a'), raw(wire.FrameBody, 1, 'b', 'c')), wire.CodeUnexpectedFrame, "type 3"},
		{"message too large", join(deliverOnly, header(1001)), wire.CodeResourceError, "message size 1001"},
		{"message of 2^63", join(deliverOnly, header(1<<63)), wire.CodeResourceError, "message size 9223372036854775808"},
		{"message of 2^64-1", join(deliverOnly, header(math.MaxUint64)), wire.CodeResourceError, "18446744073709551615"},
		{"header of another class", join(deliverOnly, raw(wire.FrameHeader, 1, 0, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), wire.CodeUnexpectedFrame, "class 90"},
		{"deep headers", join(deliverOnly, raw(wire.FrameHeader, 1, join(make([]byte, 0), []byte{0, 60, 0, 0}, make([]byte, 8), []byte{0x20, 0},
			binary.BigEndian.AppendUint32(nil, uint32(len(deep))), deep)...)), wire.CodeSyntaxError, "field table"},
		{"unknown method", raw(wire.FrameMethod, 1, 0, 60, 0, 99), wire.CodeCommandInvalid, "unimplemented"},
		{"method cut short", raw(wire.FrameMethod, 1, 0, 60, 0, 80, 0), wire.CodeFrameError, "cannot decode"},
		{"answer to nobody", method(1, &wire.QueueDeclareOK{}), wire.CodeCommandInvalid, "unexpected queue.declare-ok"},
		{"message to nobody", join((&wire.BasicGetOK{}).AppendFrame(nil, 1), header(0)), wire.CodeCommandInvalid, "unexpected basic.get-ok"},
		{"close-ok to nobody", method(1, &wire.ChannelCloseOK{}), wire.CodeCommandInvalid, "unexpected channel.close-ok"},
		{"connection.close-ok to nobody", method(0, &wire.ConnectionCloseOK{}), wire.CodeCommandInvalid, "unexpected connection.close-ok"},
		{"start again", method(0, start()), wire.CodeCommandInvalid, "unexpected connection.start"},
		{"tune again", method(0, &wire.ConnectionTune{FrameMax: math.MaxUint32}), wire.CodeCommandInvalid, "unexpected connection.tune"},
		{"a client's method", method(1, &wire.BasicPublish{}), wire.CodeCommandInvalid, "unexpected basic.publish"},
	} {
		t.Run(c.name, func(t *testing.T) {
			delivered := 0
			conn, ch := openChannel(t, Options{MaxMessage: 1000}, ChannelOptions{}, func(s *fake) {
				want[wire.BasicConsume](s, 1)
				s.send(1, &wire.BasicConsumeOK{ConsumerTag: "c"})
				go s.write(join(deliver(nil, 1, "c", 1, []byte("whole"), wire.DefaultFrameMax), c.in))
				bye := want[wire.ConnectionClose](s, 0)
				if bye.ReplyCode != c.want || !strings.Contains(bye.ReplyText, c.text) {
					s.t.Errorf("said %d %s, want %d and %s", bye.ReplyCode, bye.ReplyText, c.want, c.text)
				}
			})
			if _, err := ch.Consume(within(t), wire.BasicConsume{}, func(b []Delivery) { delivered += len(b) }); err != nil {
				t.Fatal(err)
			}
			receive(t, conn.Done())
			var e *wire.Error
			if err := conn.Close(within(t)); !errors.As(err, &e) || e.Code != c.want {
				t.Errorf("the reason: %v", err)
			}
			if ch.Err() == nil || delivered != 1 {
				t.Errorf("channel: %v, %d delivered", ch.Err(), delivered)
			}
		})
	}
}

// TestAnnouncedSizeCostsNothing: memory grows with what arrives.
func TestAnnouncedSizeCostsNothing(t *testing.T) {
	c := quiet(&stream{data: join(
		wire.AppendDeliver(nil, 1, "c", 1, false, nil, nil), wire.AppendHeader(nil, 1, nil, 512<<20), raw(wire.FrameBody, 1, 'x'),
		[]byte{wire.FrameBody, 0, 1, 0, 1, 255, 0},
	), rounds: 1})
	spent := allocated(c.readLoop)
	if spent > 256<<10 {
		t.Errorf("%d bytes allocated", spent)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// quiet returns a connection over a stream with channel 1 and consumer c, none
// of whose goroutines runs.
func quiet(s *stream) *Conn {
	c := newConn(withLogin(Options{}).withDefaults(), s)
	c.frameMax, c.in.limit, c.channelMax = wire.DefaultFrameMax, wire.DefaultFrameMax, 10
	ch, err := c.register(ChannelOptions{
		OnConfirm: func(Confirmation) {}, OnReturn: func(Return) {}, OnCancel: func(string) {},
	})
	if err != nil {
		panic(err)
	}
	ch.consumers["c"] = &consumer{tag: "c", deliver: func([]Delivery) {}}
	return c
}

// FuzzServer lets a server say anything.
func FuzzServer(f *testing.F) {
	f.Add(deliver(nil, 1, "c", 1, []byte("body"), wire.DefaultFrameMax), uint16(5))
	f.Add(deliver(deliver(nil, 1, "c", 1, make([]byte, 200), wire.DefaultFrameMax), 1, "c", 2, nil, wire.DefaultFrameMax), uint16(40))
	f.Add((&wire.ChannelClose{ReplyCode: 404}).AppendFrame(wire.AppendAck(nil, 1, 7, true), 1), uint16(3))
	f.Add((&wire.ConnectionClose{ReplyCode: 320}).AppendFrame((&wire.ConnectionBlocked{}).AppendFrame(nil, 0), 0), uint16(9))
	f.Add((&wire.BasicCancel{ConsumerTag: "c"}).AppendFrame(raw(wire.FrameHeartbeat, 0), 1), uint16(100))
	back := (&wire.BasicReturn{ReplyCode: 312}).AppendFrame(nil, 1)
	f.Add(wire.AppendBodyFrames(wire.AppendHeader(back, 1, nil, 3), 1, []byte("abc"), 0), uint16(1))
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		c := quiet(&stream{})
		c.in.conn = &slow{stream: stream{data: in, rounds: 1}, step: int(step)%len(append(in, 0)) + 1}
		seen := map[string]int{}
		c.mu.channels[1].consumers["c"].deliver = func(batch []Delivery) {
			for _, d := range batch {
				seen[d.String()]++ // reads all of it
			}
		}
		spent := allocated(c.readLoop)
		if c.Err() == nil {
			t.Fatal("the connection has no reason to have ended")
		}
		// The read buffer, the printed deliveries, and what came.
		if limit := uint64(64*len(in) + 512<<10); spent > limit {
			t.Errorf("%d bytes allocated for %d", spent, len(in))
		}
		for len(c.mu.out) > 0 {
			_, n, err := wire.ScanFrame(c.mu.out, wire.DefaultFrameMax)
			if err != nil || n == 0 {
				t.Fatalf("we answered %x: %v", c.mu.out, err)
			}
			c.mu.out = c.mu.out[n:]
		}
	})
}

// slow yields a few bytes at a time.
type slow struct {
	stream
	step int
}

func (s *slow) Read(b []byte) (int, error) { return s.stream.Read(b[:min(len(b), s.step)]) }
