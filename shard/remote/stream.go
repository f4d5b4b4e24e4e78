package remote

import "github.com/warrenmq/warren/cluster/transport"

// A Frame is what a data stream carries.
type Frame = transport.Frame

// A Stream is a data stream to another node, as far as it is used here.
type Stream interface {
	// Peer returns the node on the other side.
	Peer() uint64
	// Send queues frames, in order. It never blocks and calls nobody back; false
	// says that the stream is closed.
	Send(fs ...Frame) bool
	// Queued returns how many bytes wait for the socket. Too many close the
	// stream.
	Queued() int
	// Close ends the stream; its handler's Closed follows.
	Close(err error)
}

// A piece is a frame whose head lies in an out's buffer.
type piece struct {
	kind       uint8
	start, end int
	body       []byte
}

// An out collects frames until they are sent together. Its memory is used again.
type out struct {
	buf    []byte
	pieces []piece
	frames []Frame
}

// frame begins a frame; the caller appends its head to o.buf and calls end.
func (o *out) begin(kind uint8) { o.pieces = append(o.pieces, piece{kind: kind, start: len(o.buf)}) }

// end ends the frame begun last; body follows what was appended.
func (o *out) end(body []byte) {
	p := &o.pieces[len(o.pieces)-1]
	p.end, p.body = len(o.buf), body
}

// keepOut is how much memory an out keeps.
const keepOut = 256 << 10

// send sends what was collected and returns whether the stream took it.
func (o *out) send(st Stream) bool {
	if len(o.pieces) == 0 {
		return true
	}
	fs := o.frames[:0]
	for i := range o.pieces {
		p := &o.pieces[i]
		fs = append(fs, Frame{Type: p.kind, Head: o.buf[p.start:p.end], Body: p.body})
	}
	ok := st.Send(fs...)
	o.frames = fs
	o.reset()
	return ok
}

// reset drops what was collected.
func (o *out) reset() {
	clear(o.frames)
	clear(o.pieces)
	o.frames, o.pieces, o.buf = o.frames[:0], o.pieces[:0], o.buf[:0]
	if cap(o.buf) > keepOut {
		o.buf = nil
	}
}

// A Handler is the transport's: streams that this node opened go to its hub,
// the others to its server.
type Handler struct {
	Server *Server
	Hub    *Hub
}

// Opened implements transport.DataHandler.
func (h Handler) Opened(st *transport.Stream) {
	if st.Dialled() {
		h.Hub.Opened(st)
	} else {
		h.Server.Opened(st)
	}
}

// Frames implements transport.DataHandler.
func (h Handler) Frames(st *transport.Stream, fs []Frame) {
	if st.Dialled() {
		h.Hub.Frames(st, fs)
	} else {
		h.Server.Frames(st, fs)
	}
}

// Closed implements transport.DataHandler.
func (h Handler) Closed(st *transport.Stream, err error) {
	if st.Dialled() {
		h.Hub.Closed(st, err)
	} else {
		h.Server.Closed(st, err)
	}
}

var (
	_ transport.DataHandler = Handler{}
	_ Stream                = (*transport.Stream)(nil)
)
