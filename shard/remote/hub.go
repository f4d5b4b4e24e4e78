package remote

import (
	"cmp"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// HubOptions of NewHub.
type HubOptions struct {
	// Incarnation is this node's.
	Incarnation queue.Incarnation
	// View returns the revision of this node's view of the catalog.
	View func() uint64
	// Tell returns the label of a consumer of this node, Label makes of that of
	// another node what operators of this one see of it, as Consumer.User. May be
	// nil.
	Tell  func(c *shard.Consumer) []byte
	Label func(of queue.Incarnation, label []byte) any
	// Peer is told that a stream to a node opened, so that Propose reaches it, or
	// ended: what was sent may be lost. It is called on the stream's reader
	// goroutine and must not block. May be nil.
	Peer func(node uint64, open bool)
	// Credit is how many messages may be on their way to a consumer before their
	// size is known; 256 unless told. Afterwards it is what could be kept if the
	// connection had too much to write, from an eighth to sixteen times that.
	Credit int
	Clock  clock.Clock
	Logger *slog.Logger
}

// A Hub is a node's end of the streams that it opened, and has its Clients.
type Hub struct {
	o HubOptions

	mu struct {
		sync.RWMutex
		streams map[Stream]*outbound
		opened  uint64 // streams
		clients map[clientKey]*Client
		ended   map[uint64]uint64 // the highest incarnation that ended, by node
	}
}

// A clientKey names a shard, or the memory of an incarnation.
type clientKey struct {
	target Target
	of     queue.Incarnation // of Memory
}

// NewHub returns a hub without streams.
func NewHub(o HubOptions) *Hub {
	if o.Credit == 0 {
		o.Credit = 256
	}
	h := &Hub{o: o}
	h.mu.streams = map[Stream]*outbound{}
	h.mu.clients = map[clientKey]*Client{}
	h.mu.ended = map[uint64]uint64{}
	return h
}

// An outbound is a stream that this node opened.
type outbound struct {
	h     *Hub
	st    Stream
	no    uint64            // in the order of opening
	leads map[Target]uint64 // terms; guarded by Hub.mu

	// room is what clients are about to send of batches.
	room    atomic.Int64
	waiting atomic.Bool // there is somebody in mu.waiting

	// mu is held while the stream queues frames: what depends on a revision leaves
	// behind it.
	mu struct {
		sync.Mutex
		revision uint64 // that the server was told of
		read     int    // bytes of deliveries, not yet told
		waiting  []*Client
	}
}

// mostQueued is how many bytes of batches may wait for a socket, of all clients
// together and but for one batch of each: far less than what closes a stream.
const mostQueued = 16 << 20

// reserve makes room for a batch of n bytes. If there is none, the client is
// poked when there is.
func (x *outbound) reserve(c *Client, n int) bool {
	if int64(x.st.Queued())+x.room.Load() < mostQueued {
		x.room.Add(int64(n))
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.mu.waiting, c) {
		x.mu.waiting = append(x.mu.waiting, c)
	}
	x.waiting.Store(true)
	return false
}

// pokeWaiting pokes those that wait for room. It is called when something
// arrives, as it does while the peer reads, and from time to time.
func (x *outbound) pokeWaiting() {
	if !x.waiting.Load() || x.st.Queued() > mostQueued/2 {
		return
	}
	x.mu.Lock()
	cs := x.mu.waiting
	x.mu.waiting = nil
	x.waiting.Store(false)
	x.mu.Unlock()
	for _, c := range cs {
		c.poke()
	}
}

// readEvery is how much is read until the server is told: less than any window.
const readEvery = 256 << 10

// send sends what was collected behind the revision it depends on.
func (x *outbound) send(o *out) {
	if len(o.pieces) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if rev := x.h.o.View(); rev > x.mu.revision {
		x.mu.revision = rev
		x.st.Send(Frame{Type: typeRevision, Head: binary.AppendUvarint(nil, rev)})
	}
	o.send(x.st)
}

// read says that a deliver frame of n bytes is done with.
func (x *outbound) read(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.read += n; x.mu.read < readEvery {
		return
	}
	x.st.Send(Frame{Type: typeRead, Head: binary.AppendUvarint(nil, uint64(x.mu.read))})
	x.mu.read = 0
}

// Opened takes a stream that this node opened.
func (h *Hub) Opened(st Stream) {
	x := &outbound{h: h, st: st, leads: map[Target]uint64{}}
	x.mu.revision = h.o.View()
	st.Send(Frame{Type: typeHello, Head: appendHello(nil, hello{h.o.Incarnation, x.mu.revision})})
	h.mu.Lock()
	h.mu.opened++
	x.no = h.mu.opened
	h.mu.streams[st] = x
	h.mu.Unlock()
	if h.o.Peer != nil {
		h.o.Peer(st.Peer(), true)
	}
}

// Frames takes what came over a stream.
func (h *Hub) Frames(st Stream, fs []Frame) {
	h.mu.RLock()
	x := h.mu.streams[st]
	h.mu.RUnlock()
	if x == nil {
		return
	}
	var last *Client
	for i := range fs {
		c, err := h.frame(x, &fs[i])
		if err != nil {
			st.Close(err)
			break
		}
		if last != nil && last != c {
			last.poke()
		}
		last = c
	}
	if last != nil {
		last.poke()
	}
	x.pokeWaiting()
}

// frame hands a frame to the client it is for, which has to be poked.
func (h *Hub) frame(x *outbound, f *Frame) (*Client, error) {
	switch f.Type {
	case typeLead, typeNotLead:
		l, err := parseLead(f.Body)
		if err != nil {
			return nil, err
		}
		return h.lead(x, l, f.Type == typeLead), nil
	}
	r := reader{b: f.Body}
	t := r.target()
	if r.bad {
		return nil, malformed("target")
	}
	h.mu.RLock()
	c := h.mu.clients[h.key(x, t)]
	h.mu.RUnlock()
	if c == nil || !c.take(x, f) {
		if f.Type == typeDeliver {
			x.read(len(f.Body))
		}
		return nil, nil
	}
	return c, nil
}

// key names what a stream's peer means by a target; h.mu is held.
func (h *Hub) key(x *outbound, t Target) clientKey {
	k := clientKey{target: t}
	if t == Memory {
		k.of = queue.Incarnation{Node: x.st.Peer(), Number: x.leads[Memory]}
	}
	return k
}

// lead notes that a peer leads a target, or does not any more.
func (h *Hub) lead(x *outbound, l lead, leads bool) *Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !leads && x.leads[l.target] != l.term {
		return nil // it was told before that it leads in a later term
	}
	k := h.key(x, l.target)
	if leads {
		x.leads[l.target] = l.term
		k = h.key(x, l.target)
	} else {
		delete(x.leads, l.target)
	}
	c := h.mu.clients[k]
	if c != nil {
		h.follow(c)
	}
	return c
}

// follow tells a client who leads: the peer of the highest term. h.mu is held.
func (h *Hub) follow(c *Client) {
	var best *outbound
	for _, x := range h.mu.streams {
		term, ok := x.leads[c.key.target]
		if !ok || c.key.target == Memory && (x.st.Peer() != c.key.of.Node || term != c.key.of.Number) {
			continue
		}
		if best == nil || term > best.leads[c.key.target] || term == best.leads[c.key.target] && x.no > best.no {
			best = x
		}
	}
	if best == nil {
		c.leads(nil, 0)
		return
	}
	c.leads(best, best.leads[c.key.target])
}

// Closed says that a stream ended.
func (h *Hub) Closed(st Stream, _ error) {
	h.mu.Lock()
	x := h.mu.streams[st]
	delete(h.mu.streams, st)
	var cs []*Client
	if x != nil {
		for _, t := range slices.Sorted(maps.Keys(x.leads)) {
			if c := h.mu.clients[h.key(x, t)]; c != nil {
				h.follow(c)
				cs = append(cs, c)
			}
		}
	}
	h.mu.Unlock()
	for _, c := range cs {
		c.poke()
	}
	if x != nil && h.o.Peer != nil {
		h.o.Peer(st.Peer(), false)
	}
}

// Shard returns the client of a shard, made at the first call. o is this node's
// origin of the shard; nil: one is made, see Client.Origin.
func (h *Hub) Shard(id uint64, o *origin.Origin) *Client {
	return h.client(clientKey{target: Target(id)}, o)
}

// Memory returns the client of the queues in the memory of another node's
// incarnation, made at the first call.
func (h *Hub) Memory(of queue.Incarnation) *Client {
	return h.client(clientKey{target: Memory, of: of}, nil)
}

func (h *Hub) client(k clientKey, o *origin.Origin) *Client {
	h.mu.RLock()
	c := h.mu.clients[k]
	h.mu.RUnlock()
	if c != nil {
		return c
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c = h.mu.clients[k]; c != nil {
		return c
	}
	if o == nil {
		o = origin.New(h.o.Incarnation)
	}
	c = newClient(h, k, o)
	if k.target == Memory && k.of.Number <= h.mu.ended[k.of.Node] {
		c.over.Store(true) // whoever asks has an older View
		return c
	}
	h.mu.clients[k] = c
	h.follow(c)
	return c
}

// Ended says that the catalog ended an incarnation: what was in its memory is
// gone, and those who use it are told.
func (h *Hub) Ended(of queue.Incarnation) {
	h.mu.Lock()
	h.mu.ended[of.Node] = max(h.mu.ended[of.Node], of.Number)
	var cs []*Client
	for k, c := range h.mu.clients {
		if k.target == Memory && k.of.Node == of.Node && k.of.Number <= of.Number {
			delete(h.mu.clients, k)
			cs = append(cs, c)
		}
	}
	h.mu.Unlock()
	for _, c := range cs {
		c.over.Store(true)
		h.o.Clock.AfterFunc(0, c.poke) // this may be the catalog's turn
	}
}

// Viewed says that this node's View moved. It does not block.
func (h *Hub) Viewed() {
	for _, c := range h.all() {
		if need := c.need.Load(); need != 0 && need <= h.o.View() {
			h.o.Clock.AfterFunc(0, c.poke)
		}
	}
}

// Tick looks at what waits too long. It is to be called every second or so.
func (h *Hub) Tick() {
	for _, c := range h.all() {
		c.poke()
	}
}

func (h *Hub) all() []*Client {
	h.mu.RLock()
	defer h.mu.RUnlock()
	cs := make([]*Client, 0, len(h.mu.clients))
	for _, c := range h.mu.clients {
		cs = append(cs, c)
	}
	slices.SortFunc(cs, func(a, b *Client) int {
		return cmp.Or(cmp.Compare(a.key.target, b.key.target), cmp.Compare(a.key.of.Number, b.key.of.Number))
	})
	return cs
}

// Propose sends what is for the catalog to another node, to its
// ServerOptions.Propose, Post a message for a session there. They own data, and
// return false if there is no stream: then nothing was sent. What was sent over
// one stream arrives in order.
func (h *Hub) Propose(to uint64, data []byte) bool { return h.send(to, typePropose, data) }

// Post is described at Propose.
func (h *Hub) Post(to uint64, data []byte) bool { return h.send(to, typePost, data) }

func (h *Hub) send(to uint64, kind uint8, data []byte) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for st := range h.mu.streams {
		if st.Peer() == to && st.Send(Frame{Type: kind, Body: data}) {
			return true
		}
	}
	return false
}
