package amqp091_test

import (
	"testing"

	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A client whose login is under way when the node goes is told so: one that finds
// its socket closed takes its password for wrong, and stays away.
func TestLoginMeetsTheEnd(t *testing.T) {
	r := own(t, func(o *node.Options) { o.Name = "going@localhost" })
	steps := map[string]func(p *peer){
		"greeted": func(p *peer) {
			p.raw([]byte(wire.Header091))
			expect[*wire.ConnectionStart](p, 0)
		},
		"logged in": func(p *peer) { p.login(wire.Table{}) },
		"tuned": func(p *peer) {
			p.login(wire.Table{})
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: 2047, FrameMax: p.max})
		},
	}
	peers := map[string]*peer{}
	for name, step := range steps {
		peers[name] = dial(t, r.addr())
		step(peers[name])
	}
	r.stop()
	for name, p := range peers {
		if got := p.closed(); got != "connection 320 0.0 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
			t.Errorf("%s: %s", name, got)
		}
		p.eof()
	}
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r.done = nil
}
