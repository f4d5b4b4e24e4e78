package amqp091_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// greeting is what a peer does with a connection that is not open.
type greeting struct {
	name, want string
	do         func(p *peer)
	old        string // what RabbitMQ 3.10 says, if it differs
}

func greetings() []greeting {
	tune := func(channels uint16, frames uint32) func(*peer) {
		return func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: channels, FrameMax: frames}, &wire.ConnectionOpen{VirtualHost: "/"})
		}
	}
	failClose := args(field("capabilities", wire.TableOf(args(field("authentication_failure_close", wire.Bool(true))))))
	return []greeting{
		{name: "unknown vhost", do: func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 131072}, &wire.ConnectionOpen{VirtualHost: "nowhere"})
		}, want: "connection 530 10.40 NOT_ALLOWED - vhost nowhere not found"},
		{
			name: "channel-max 0", do: tune(0, 131072),
			want: "connection 530 10.31 NOT_ALLOWED - negotiated channel_max = 0 is higher than the maximum allowed value (2047)", old: "end",
		},
		{
			name: "channel-max too high", do: tune(65535, 131072),
			want: "connection 530 10.31 NOT_ALLOWED - negotiated channel_max = 65535 is higher than the maximum allowed value (2047)", old: "end",
		},
		{
			name: "frame-max 0", do: tune(10, 0),
			want: "connection 530 10.31 NOT_ALLOWED - negotiated frame_max = 0 is higher than the maximum allowed value (131072)", old: "end",
		},
		{
			name: "frame-max too high", do: tune(10, 131073),
			want: "connection 530 10.31 NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)", old: "end",
		},
		{
			name: "frame-max too low", do: tune(10, 4095),
			want: "connection 530 10.31 NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)", old: "end",
		},
		{name: "wrong password, silent", do: func(p *peer) { p.start(nil, "PLAIN", plain("guest", "wrong")) }, want: "end"},
		{
			name: "wrong password", do: func(p *peer) { p.start(failClose, "PLAIN", plain("guest", "wrong")) },
			want: "connection 403 0.0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
		},
		{
			name: "unknown user", do: func(p *peer) { p.start(failClose, "PLAIN", plain("nobody", "wrong")) },
			want: "connection 403 0.0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
		},
		{
			name: "unknown mechanism", do: func(p *peer) { p.start(failClose, "X-WHAT", "") },
			want: "end",
		},
		{name: "open before start-ok", do: func(p *peer) {
			p.raw([]byte(wire.Header091))
			p.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
		}, want: "end"},
		{name: "tune-ok before start-ok", do: func(p *peer) {
			p.raw([]byte(wire.Header091))
			p.send(0, &wire.ConnectionTuneOK{})
		}, want: "end"},
		{name: "channel before start-ok", do: func(p *peer) {
			p.raw([]byte(wire.Header091))
			p.send(1, &wire.ChannelOpen{})
		}, want: "end"},
		{name: "declare before login", do: func(p *peer) {
			p.raw([]byte(wire.Header091))
			p.send(0, &wire.QueueDeclare{Queue: "q"})
		}, want: "end"},
		{name: "start-ok twice", do: func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionStartOK{Mechanism: "PLAIN", Response: wire.Secret(plain("guest", "guest")), Locale: "en_US"})
		}, want: "connection 504 10.11 CHANNEL_ERROR - unexpected method in connection state tuning", old: "end"},
		{name: "open before tune-ok", do: func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
		}, want: "connection 504 10.40 CHANNEL_ERROR - unexpected method in connection state tuning", old: "end"},
		{name: "channel before open", do: func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 131072})
			p.send(1, &wire.ChannelOpen{})
		}, want: "connection 505 0.0 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"},
		{name: "garbage before login", do: func(p *peer) {
			p.raw([]byte(wire.Header091))
			p.raw([]byte("GET / HTTP/1.1\r\n\r\n"))
		}, want: "end"},
		{name: "large frame before login", do: func(p *peer) {
			p.raw([]byte(wire.Header091))
			p.raw([]byte{1, 0, 0, 0x7f, 0xff, 0xff, 0xff})
		}, want: "end"},
	}
}

// behaviour 4: what is negotiated. X7, X10, X20, X21: every step before its time,
// extremes, empty and unknown credentials and mechanisms.
func TestGreetings(t *testing.T) {
	addr := *foreign
	if addr == "" {
		addr = broker(t)
	}
	for _, g := range greetings() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			p := dial(t, addr)
			g.do(p)
			got, want := p.closed(), g.want
			if *foreign != "" && g.old != "" {
				want = g.old
			}
			if got != want {
				t.Fatalf("\n got %s\nwant %s", got, want)
			}
			if *foreign == "" && got != "end" {
				p.eof()
			}
		})
	}
}

// X9: before login a client is told nothing but how to log in, and what it asks for
// does not happen: not when it asks early, nor when it goes on after a refusal.
func TestNothingBeforeLogin(t *testing.T) {
	t.Parallel()
	watch := session(t, broker(t))
	header := func(p *peer) { p.raw([]byte(wire.Header091)) }
	for name, reach := range map[string]func(p *peer){
		"after the header": header,
		"after a wrong password": func(p *peer) {
			header(p)
			p.send(0, &wire.ConnectionStartOK{Mechanism: "PLAIN", Response: wire.Secret(plain("guest", "wrong")), Locale: "en_US"})
		},
		"before the tuning is answered": func(p *peer) { p.login(nil) },
		"before a vhost is open": func(p *peer) {
			p.login(nil)
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 8192})
		},
	} {
		for _, channel := range []uint16{0, 1} {
			p := dial(t, broker(t))
			reach(p)
			p.send(channel, &wire.ChannelOpen{}, &wire.ExchangeDeclare{Exchange: "h.early", Type: "fanout"}, &wire.QueueDeclare{Queue: "h.early"})
			p.publish(channel, message{key: "h.early", body: "x"})
			for f, err := p.read(); err == nil; f, err = p.read() {
				id, _, err := wire.SplitMethod(f.Payload)
				if err != nil || f.Channel != 0 || id.Class() != wire.IDConnectionClose.Class() {
					t.Errorf("%s, on channel %d: is told %q on channel %d", name, channel, f.Payload, f.Channel)
				}
			}
		}
	}
	watch.send(1, &wire.QueueDeclare{Queue: "h.early", Passive: true})
	if got := watch.closed(); got != "channel 404 50.10 NOT_FOUND - no queue 'h.early' in vhost '/'" {
		t.Error(got)
	}
	watch.channel(1)
	watch.send(1, &wire.ExchangeDeclare{Exchange: "h.early", Passive: true})
	if got := watch.closed(); got != "channel 404 40.10 NOT_FOUND - no exchange 'h.early' in vhost '/'" {
		t.Error(got)
	}
}

func TestStart(t *testing.T) {
	p := dial(t, broker(t))
	p.raw([]byte(wire.Header091))
	m := expect[*wire.ConnectionStart](p, 0)
	if m.VersionMajor != 0 || m.VersionMinor != 9 || m.Locales != "en_US" || m.Mechanisms != "PLAIN AMQPLAIN" {
		t.Errorf("%+v", m)
	}
	v, _ := m.ServerProperties.Get("capabilities")
	caps, _ := v.Table()
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
	} {
		v, _ := caps.Get(name)
		if b, _ := v.Bool(); !b {
			t.Errorf("capability %s is missing", name)
		}
	}
	for _, name := range []string{"product", "version", "platform", "cluster_name"} {
		v, _ := m.ServerProperties.Get(name)
		if s, _ := v.Text(); s == "" {
			t.Errorf("property %s is missing", name)
		}
	}
}

func TestAMQPlain(t *testing.T) {
	p := dial(t, broker(t))
	login := wire.Table{field("LOGIN", wire.String("guest")), field("PASSWORD", wire.String("guest"))}
	p.start(nil, "AMQPLAIN", string(login.Append(nil)[4:]))
	tune := expect[*wire.ConnectionTune](p, 0)
	if tune.ChannelMax != 2047 || tune.FrameMax != 131072 || tune.Heartbeat != 40 {
		t.Errorf("%+v", tune)
	}
}

// Every header but that of 0-9-1 and 0-9 is answered with one that is served.
//
// behaviour 6.
func TestHeaders(t *testing.T) {
	for head, want := range map[string]string{
		"AMQP\x00\x00\x09\x01": "",
		"AMQP\x01\x01\x00\x09": "",
		"AMQP\x01\x01\x08\x00": wire.Header10SASL,
		"AMQP\x00\x00\x09\x02": wire.Header091,
		"AMQP\x00\x01\x00\x00": wire.Header10SASL,
		"AMQP\x07\x07\x07\x07": wire.Header10SASL,
	} {
		p := dial(t, broker(t))
		for _, b := range []byte(head) {
			p.raw([]byte{b}) // it may come in pieces
		}
		if want == "" {
			expect[*wire.ConnectionStart](p, 0)
			continue
		}
		_ = p.nc.SetReadDeadline(time.Now().Add(patience))
		got := make([]byte, 8)
		if _, err := p.nc.Read(got); err != nil || string(got) != want {
			t.Errorf("%q is answered with %q, %v", head, got, err)
		}
		p.eof()
	}
}

// A peer may ask for small frames: it gets no larger ones.
func TestSmallFrames(t *testing.T) {
	p := dial(t, broker(t))
	p.max = 4096
	p.open(nil)
	p.channel(1)
	q := p.queue(1, "")
	for _, size := range []int{0, 1, 4087, 4088, 4089, 16384, 16385, 100_000} {
		body := strings.Repeat("b", size)
		p.to(1, q, body)
		if got, _ := p.get(1, q, true); got != body {
			t.Errorf("body of %d bytes came as %d", size, len(got))
		}
	}
}

// behaviour 5.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	p := dial(t, broker(t))
	p.login(nil)
	p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 131072, Heartbeat: 1}, &wire.ConnectionOpen{VirtualHost: "/"})
	expect[*wire.ConnectionOpenOK](p, 0)
	begin := time.Now()
	beats := 0
	_ = p.nc.SetReadDeadline(begin.Add(patience))
	for {
		var b [64]byte
		n, err := p.nc.Read(b[:])
		beats += n / 8
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			t.Fatal("a silent client is not dropped")
		}
		if err != nil {
			break
		}
	}
	if d := time.Since(begin); d < 1400*time.Millisecond || d > 5*time.Second || beats < 2 {
		t.Errorf("dropped after %s and %d heartbeats", d, beats)
	}
}

// Any traffic counts as a sign of life, and a peer that sends none of its own
// gets heartbeats.
func TestHeartbeatTraffic(t *testing.T) {
	t.Parallel()
	p := dial(t, broker(t))
	p.login(nil)
	p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 131072, Heartbeat: 1}, &wire.ConnectionOpen{VirtualHost: "/"})
	expect[*wire.ConnectionOpenOK](p, 0)
	p.channel(1)
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for range 8 {
		<-tick.C
		p.idle(1)
	}
	p.close()
}

// A user with a password has no secret that ends: any new one is taken, and
// the connection goes on as it was.
func TestUpdateSecret(t *testing.T) {
	p := connect(t, broker(t))
	p.channel(1)
	q := p.queue(1, "")
	p.to(1, q, "before")
	for _, s := range []wire.Secret{"guest", "another", ""} {
		p.send(0, &wire.ConnectionUpdateSecret{NewSecret: s, Reason: "r"})
		expect[*wire.ConnectionUpdateSecretOK](p, 0)
	}
	if got := p.drain(1, q); got != "before" {
		t.Errorf("the queue holds %s", got)
	}
}
