package health

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/protocol"
)

const (
	// headerBytes bounds a request's header; net/http adds 4 KiB of its own.
	headerBytes = 8 << 10
	// headerTime bounds the time for it, beside what the listener allows.
	headerTime = 10 * time.Second
)

// A Frontend speaks HTTP/1 on the connections of a listener.
type Frontend struct {
	name    string
	handler http.Handler
	log     *slog.Logger
}

// NewFrontend returns the frontend for listeners of that name, http or https.
func NewFrontend(name string, h http.Handler, log *slog.Logger) *Frontend {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Frontend{name: name, handler: h, log: log}
}

// Name implements protocol.Frontend.
func (f *Frontend) Name() string { return f.name }

// longestMethod is how far Sniff looks for the end of a method's name.
const longestMethod = 16

// Sniff implements protocol.Frontend: a request begins with a method's name.
func (f *Frontend) Sniff(prefix []byte) protocol.Verdict {
	method, _, ended := bytes.Cut(prefix, []byte{' '})
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return protocol.No
		}
	}
	switch {
	case len(method) > longestMethod || ended && len(method) == 0:
		return protocol.No
	case ended:
		return protocol.Yes
	}
	return protocol.NeedMore
}

// Serve implements protocol.Frontend: one request, one answer. Every connection
// has a server of its own, so that its goroutine can be waited for.
func (f *Frontend) Serve(ctx context.Context, c net.Conn, _ protocol.Info) error {
	one := &single{Conn: c, closed: make(chan struct{})}
	ended := make(chan struct{})
	var asked atomic.Bool
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(true)
			f.handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: headerTime, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				close(ended)
			}
		},
	}
	srv.SetKeepAlivesEnabled(false)
	defer context.AfterFunc(ctx, func() { _ = c.Close() })() // who is still asking asks another node
	_ = srv.Serve(one)                                       // ends when the connection does, with nothing to tell
	<-ended
	if !asked.Load() {
		return one.late()
	}
	return nil
}

// A single is a listener with one connection, which is it itself.
type single struct {
	net.Conn
	closed chan struct{}

	mu struct {
		sync.Mutex
		taken, shut bool
		read        error // the first that a read failed with
	}
}

// Accept implements net.Listener. The second call waits until the connection is
// closed.
func (s *single) Accept() (net.Conn, error) {
	s.mu.Lock()
	taken := s.mu.taken
	s.mu.taken = true
	s.mu.Unlock()
	if !taken {
		return s, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

// Addr implements net.Listener.
func (s *single) Addr() net.Addr { return s.LocalAddr() }

// Read notes why there is nothing more to read.
func (s *single) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.mu.Lock()
		if s.mu.read == nil {
			s.mu.read = err
		}
		s.mu.Unlock()
	}
	return n, err
}

// Close implements net.Conn and net.Listener.
func (s *single) Close() error {
	s.mu.Lock()
	shut := s.mu.shut
	s.mu.shut = true
	s.mu.Unlock()
	if shut {
		return nil
	}
	err := s.Conn.Close()
	close(s.closed)
	return err
}

// late is why a peer that did not finish its request was not served: its time.
func (s *single) late() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.mu.read, os.ErrDeadlineExceeded) {
		return s.mu.read
	}
	return nil
}
