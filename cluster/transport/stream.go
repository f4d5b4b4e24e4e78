package transport

import (
	"fmt"
)

// A DataHandler takes what data streams bring. For one stream Opened, then
// Frames, then Closed are called on its reader's goroutine: a slow handler
// slows this peer only. The methods must not close the Transport.
type DataHandler interface {
	Opened(s *Stream)
	// Frames takes what came, in order. The slice is reused, the bodies are the
	// receiver's.
	Frames(s *Stream, fs []Frame)
	// Closed is the last call. What was sent and not answered may have arrived
	// or not.
	Closed(s *Stream, err error)
}

// A Stream is one data connection to a peer. Its methods may be called from any
// goroutine.
type Stream struct {
	peer    uint64
	dialled bool
	limit   int
	c       *conn
	out     *outbox
}

// Peer returns the node on the other side.
func (s *Stream) Peer() uint64 { return s.peer }

// Dialled reports whether this node opened the stream: then it is the one that
// asks, and the peer the one that serves.
func (s *Stream) Dialled() bool { return s.dialled }

// Queued returns how many bytes wait for the socket.
func (s *Stream) Queued() int { return int(s.out.queued.Load()) }

// Send queues frames, in order and together. It never blocks. It returns false
// if the stream is closed, or is closed by this because too much waits.
func (s *Stream) Send(fs ...Frame) bool {
	o := s.out
	o.mu.Lock()
	if o.mu.closed {
		o.mu.Unlock()
		return false
	}
	for i := range fs {
		f := &fs[i]
		if f.Type < FirstType {
			o.mu.Unlock()
			panic(fmt.Sprintf("transport: frame type %d is the transport's own", f.Type))
		}
		n := len(f.Head) + len(f.Body)
		if waits := o.mu.lanes[laneBulky].bytes; n > maxFrame-frameHead || waits > 0 && waits+n > s.limit {
			o.mu.Unlock()
			s.Close(ErrOverflow)
			return false
		}
		c := o.last(laneBulky)
		at, refs := c.begin(f.Type), len(c.refs)
		c.text = append(c.text, f.Head...)
		c.body(f.Body)
		o.count(laneBulky, c.end(at, refs))
	}
	o.mu.Unlock()
	o.signal()
	return true
}

// Close ends the stream; what is queued is dropped. The handler's Closed is
// called with err, unless the stream had ended before.
func (s *Stream) Close(err error) {
	if err == nil {
		err = ErrClosed
	}
	s.out.close()
	s.c.fail(err)
}

// read feeds the handler until the stream ends.
func (s *Stream) read(h DataHandler) error {
	r := newFrameReader(s.c, maxFrame)
	var fs []Frame
	for {
		var err error
		if fs, err = r.read(fs[:0]); err != nil {
			return err
		}
		n := 0
		for _, f := range fs {
			switch {
			case f.Type >= FirstType:
				fs[n] = f
				n++
			case f.Type != typePing:
				return fmt.Errorf("%w: type %d on a data stream", errFrame, f.Type)
			}
		}
		if n > 0 {
			h.Frames(s, fs[:n])
			r.lend()
		}
		clear(fs)
	}
}
