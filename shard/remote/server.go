package remote

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
)

// Reasons for which a server closes a stream.
var (
	// ErrOlder says that a later life of the node has a stream already.
	ErrOlder = errors.New("remote: a later incarnation of the node is served")
	// ErrReplaced says that the node opened another stream.
	ErrReplaced = errors.New("remote: the node opened another stream")
	// ErrEnded says that the catalog ended the node's incarnation.
	ErrEnded = errors.New("remote: the incarnation has ended")
	// ErrBacklog says that too much waits for this node's View.
	ErrBacklog = errors.New("remote: too much waits for the catalog")
)

// ServerOptions of NewServer.
type ServerOptions struct {
	// Incarnation is this node's: the term of its Memory.
	Incarnation queue.Incarnation
	// Host returns what serves a target here, nil if nothing does.
	Host func(Target) shard.Host
	// View returns the revision of this node's view of the catalog.
	View func() uint64
	// Label makes of a consumer's label what operators of this node see of it, as
	// its Consumer.User; nil: nothing.
	Label func(of queue.Incarnation, label []byte) any
	// Tell is the reverse: the label of a consumer of this node.
	Tell func(c *shard.Consumer) []byte
	// Propose takes a command for the catalog from another node, Post a message
	// for a session of this one. They are called on the stream's reader
	// goroutine, own the data, and must not block. May be nil.
	Propose, Post func(from uint64, data []byte)
	// Window is how many bytes of deliveries may be on their way to a node;
	// default 8 MiB, at least 1 MiB.
	Window int
	Clock  clock.Clock
	Logger *slog.Logger
}

const (
	defaultWindow = 8 << 20
	// settleEvery is how long a client waits to hear that what it settled is
	// committed: asking for it makes a commit of its own.
	settleEvery = 10 * time.Millisecond
	// mostBacklog bounds what waits of one stream until this node's View is where
	// the client's was.
	mostBacklog = 64 << 20
)

// A Server serves the sessions of other nodes, over the streams that these
// opened.
type Server struct {
	o ServerOptions

	mu struct {
		sync.RWMutex
		streams map[Stream]*inbound
		nodes   map[uint64]*inbound // by node, from its hello on
		guests  map[guestKey]*guest
		leads   map[Target]uint64 // terms
	}

	answers struct {
		sync.Mutex
		of []*guest // with answers to be sent
	}
}

// A guestKey names a guest by its node's incarnation.
type guestKey struct {
	of     queue.Incarnation
	target Target
}

// NewServer returns a server that serves nobody yet.
func NewServer(o ServerOptions) *Server {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	o.Window = max(o.Window, 4*readEvery)
	s := &Server{o: o}
	s.mu.streams = map[Stream]*inbound{}
	s.mu.nodes = map[uint64]*inbound{}
	s.mu.guests = map[guestKey]*guest{}
	s.mu.leads = map[Target]uint64{Memory: o.Incarnation.Number}
	return s
}

// Opened takes a stream that another node opened.
func (s *Server) Opened(st Stream) {
	in := &inbound{s: s, st: st}
	s.mu.Lock()
	s.mu.streams[st] = in
	s.mu.Unlock()
}

// Frames takes what came over a stream.
func (s *Server) Frames(st Stream, fs []Frame) {
	s.mu.RLock()
	in := s.mu.streams[st]
	s.mu.RUnlock()
	if in != nil {
		in.take(fs)
	}
}

// Closed says that a stream ended.
func (s *Server) Closed(st Stream, _ error) {
	s.mu.Lock()
	in := s.mu.streams[st]
	delete(s.mu.streams, st)
	s.mu.Unlock()
	if in != nil {
		in.finish(nil)
	}
}

// Lead says that this node leads a target from a term on. It may be called in
// the target's turn, and does not block.
func (s *Server) Lead(t Target, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.leads[t] = term
	s.tellAll(Frame{Type: typeLead, Head: appendLead(nil, lead{t, term})})
}

// tellAll sends a frame to all nodes, in their order; s.mu is held.
func (s *Server) tellAll(f Frame) {
	for _, n := range slices.Sorted(maps.Keys(s.mu.nodes)) {
		s.mu.nodes[n].st.Send(f)
	}
}

// Follow says that this node does not lead a target any more; see Lead.
func (s *Server) Follow(t Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	term, led := s.mu.leads[t]
	if !led {
		return
	}
	delete(s.mu.leads, t)
	s.tellAll(Frame{Type: typeNotLead, Head: appendLead(nil, lead{t, term})})
}

// greet makes a stream the one of its node and tells it who leads here. It
// returns the stream that was the node's before, which has to end first.
func (s *Server) greet(in *inbound) (before *inbound, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before = s.mu.nodes[in.inc.Node]; before != nil && before.inc.Number > in.inc.Number {
		return nil, ErrOlder
	}
	s.mu.nodes[in.inc.Node] = in
	for _, t := range slices.Sorted(maps.Keys(s.mu.leads)) {
		in.st.Send(Frame{Type: typeLead, Head: appendLead(nil, lead{t, s.mu.leads[t]})})
	}
	return before, nil
}

// leave takes a stream out that ended.
func (s *Server) leave(in *inbound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.nodes[in.inc.Node] == in {
		delete(s.mu.nodes, in.inc.Node)
	}
}

// enter makes a guest the one of its node for its target.
func (s *Server) enter(g *guest) {
	s.mu.Lock()
	s.mu.guests[guestKey{g.in.inc, g.target}] = g
	s.mu.Unlock()
}

// exit takes a guest out.
func (s *Server) exit(g *guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := (guestKey{g.in.inc, g.target}); s.mu.guests[k] == g {
		delete(s.mu.guests, k)
	}
}

// Answer implements shard.Answers.
func (s *Server) Answer(a shard.Answer) {
	s.mu.RLock()
	g := s.mu.guests[guestKey{a.To, Target(a.Shard)}]
	s.mu.RUnlock()
	if g == nil || !g.answer(&a) {
		return
	}
	s.answers.Lock()
	s.answers.of = append(s.answers.of, g)
	s.answers.Unlock()
}

// Wake implements shard.Answers. It may send answers of other shards as well.
func (s *Server) Wake() {
	s.answers.Lock()
	gs := s.answers.of
	s.answers.of = nil
	s.answers.Unlock()
	for _, g := range gs {
		g.Wake()
	}
}

// later calls f on a goroutine that is in nobody's turn.
func (s *Server) later(f func()) { s.o.Clock.AfterFunc(0, f) }

// Viewed says that this node's View moved. It does not block.
func (s *Server) Viewed() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, n := range slices.Sorted(maps.Keys(s.mu.nodes)) {
		in := s.mu.nodes[n]
		if need := in.need.Load(); need != 0 && need <= s.o.View() {
			// What waits is given to shards, whose turns this goroutine must not
			// run: it may be in the catalog's.
			s.later(in.run)
		}
	}
}

// Ended says that the catalog ended an incarnation: its stream is closed. That
// its shards end what it held is not said here.
func (s *Server) Ended(inc queue.Incarnation) {
	s.mu.RLock()
	in := s.mu.nodes[inc.Node]
	s.mu.RUnlock()
	if in != nil && in.inc.Number <= inc.Number {
		in.st.Close(ErrEnded)
	}
}
