package client

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is the server's end of a pipe: a script says what it expects and what
// it answers. Writes meet reads, so that a script runs in one order only.
type fake struct {
	t    *testing.T
	conn net.Conn
	in   frameReader
	tune wire.ConnectionTune
}

// hangUp ends a script because the client is gone.
type hangUp struct{ err error }

// dialFake runs script behind the client's back and dials it. The script is
// over when the test is.
func dialFake(t *testing.T, o Options, script func(s *fake)) (*Conn, error) {
	t.Helper()
	near, far := net.Pipe()
	s := &fake{t: t, conn: far, in: frameReader{conn: far, limit: wire.DefaultFrameMax}}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer far.Close()
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(hangUp); !ok {
					panic(p)
				}
			}
		}()
		script(s)
	})
	t.Cleanup(wg.Wait)
	o.Dialer = func(context.Context, string) (net.Conn, error) { return near, nil }
	return Dial(t.Context(), withLogin(o))
}

func withLogin(o Options) Options {
	if o.Addr == "" {
		o.Addr = "broker.test:5672"
	}
	if o.User == "" {
		o.User, o.Password = "u", "p"
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = -1
	}
	return o
}

// open dials a fake that greets and then goes on with script, and has the
// connection closed at the end of the test, whatever became of it.
func open(t *testing.T, o Options, script func(s *fake)) *Conn {
	t.Helper()
	c, err := dialFake(t, o, func(s *fake) {
		s.greet()
		script(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(ctx)
	})
	return c
}

// openChannel opens a channel too; the script begins behind its open-ok.
func openChannel(t *testing.T, o Options, co ChannelOptions, script func(s *fake)) (*Conn, *Channel) {
	t.Helper()
	c := open(t, o, func(s *fake) {
		s.openChannel(1)
		script(s)
	})
	ch, err := c.Channel(t.Context(), co)
	if err != nil {
		t.Fatal(err)
	}
	return c, ch
}

func (s *fake) openChannel(number uint16) {
	want[wire.ChannelOpen](s, number)
	s.send(number, &wire.ChannelOpenOK{})
}

func (s *fake) readHeader() {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		panic(hangUp{err})
	}
	if wire.ParseProtocol(head[:]) != wire.Protocol091 {
		s.t.Errorf("protocol header %q", head)
	}
}

func start() *wire.ConnectionStart {
	return &wire.ConnectionStart{
		VersionMinor: 9, Mechanisms: "AMQPLAIN PLAIN", Locales: "en_US",
		ServerProperties: wire.Table{{Key: "product", Value: wire.String("fake")}},
	}
}

// greet plays the handshake.
func (s *fake) greet() (wire.ConnectionStartOK, wire.ConnectionTuneOK) {
	s.readHeader()
	s.send(0, start())
	ok := want[wire.ConnectionStartOK](s, 0)
	if s.tune == (wire.ConnectionTune{}) {
		s.tune = wire.ConnectionTune{ChannelMax: 2047, FrameMax: wire.DefaultFrameMax, Heartbeat: 60}
	}
	s.send(0, &s.tune)
	tuned := want[wire.ConnectionTuneOK](s, 0)
	want[wire.ConnectionOpen](s, 0)
	s.send(0, &wire.ConnectionOpenOK{})
	return *ok, *tuned
}

func (s *fake) send(channel uint16, m wire.Method) { s.write(m.AppendFrame(nil, channel)) }

func (s *fake) write(b []byte) {
	if _, err := s.conn.Write(b); err != nil {
		panic(hangUp{err})
	}
}

// frame returns the client's next frame.
func (s *fake) frame() wire.Frame {
	f, err := s.in.wait()
	if err != nil {
		var v *violation
		if errors.As(err, &v) {
			s.t.Errorf("the client wrote no frame: %v", err)
		}
		panic(hangUp{err})
	}
	return f
}

// want returns the client's next method, which must be an M. Its views stay
// good.
func want[M any, P interface {
	*M
	wire.Method
}](s *fake, channel uint16,
) P {
	m := P(new(M))
	f := s.frame()
	got, err := wire.DecodeMethod(slices.Clone(f.Payload))
	if err != nil || f.Type != wire.FrameMethod {
		s.t.Errorf("want %v, got type %d: %v", m.ID(), f.Type, err)
		panic(hangUp{err})
	}
	p, ok := got.(P)
	if !ok || f.Channel != channel {
		s.t.Errorf("want %v on channel %d, got %v on %d", m.ID(), channel, got.ID(), f.Channel)
		panic(hangUp{errors.New("script is off")})
	}
	return p
}

// message returns the client's next publish.
func (s *fake) message(channel uint16) (m *wire.BasicPublish, props wire.Props, body []byte) {
	m = want[wire.BasicPublish](s, channel)
	f := s.frame()
	h, err := wire.DecodeHeader(slices.Clone(f.Payload))
	if err != nil || f.Type != wire.FrameHeader {
		s.t.Errorf("header: %v", err)
		panic(hangUp{err})
	}
	for uint64(len(body)) < h.BodySize {
		f := s.frame()
		if f.Type != wire.FrameBody || f.Channel != channel {
			s.t.Errorf("frame of type %d within a body", f.Type)
		}
		body = append(body, f.Payload...)
	}
	return m, h.Props, body
}

// close plays the end the client begins.
func (s *fake) close() {
	want[wire.ConnectionClose](s, 0)
	s.send(0, &wire.ConnectionCloseOK{})
}

// drain reads what the client writes until it hangs up.
func (s *fake) drain() { _, _ = io.Copy(io.Discard, s.conn) }

// deliver appends a delivery whose names and body depend on n.
func deliver(dst []byte, channel uint16, tag string, n uint64, body []byte, frameMax uint32) []byte {
	p := wire.Properties{ContentType: "text/plain", MessageID: string(rune('a' + n%26))}
	dst = wire.AppendDeliver(dst, channel, tag, n, n%2 == 0, []byte("exchange"), []byte{'k', byte('0' + n%10)})
	dst = wire.AppendHeader(dst, channel, p.Append(nil), uint64(len(body)))
	return wire.AppendBodyFrames(dst, channel, body, frameMax)
}

// within ends a wait that would otherwise hang the test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// receive takes one value that a callback sends.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-within(t).Done():
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
