package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/warrenmq/warren/admin"
)

// A Resident is what answers for a process whatever its node is at.
type Resident interface {
	admin.Lives
	Identity(ctx context.Context) (admin.Identity, error)
	Status(ctx context.Context) (admin.Status, error)
	Overview(ctx context.Context) (admin.Overview, error)
	Stop(ctx context.Context, o admin.StopNode) (admin.Done, error)
}

// A Front answers for a process whose node comes and goes: the resident for what
// is about its life, the node for everything else while it runs.
type Front struct {
	always, alone http.Handler

	mu struct {
		sync.Mutex
		guest *guest
	}
}

// A guest is a node that runs, and what it is being asked.
type guest struct {
	handler http.Handler
	ctx     context.Context // ends when the node stops
	asked   sync.WaitGroup  // guarded by Front.mu for Add
}

// NewFront returns a front without a node.
func NewFront(r Resident) *Front {
	always, alone := http.NewServeMux(), http.NewServeMux()
	always.HandleFunc("GET /api/v1/life", ask(r.Life))
	always.HandleFunc("POST /api/v1/life/stop", act(r.StopApp))
	always.HandleFunc("POST /api/v1/life/start", act(r.StartApp))
	always.HandleFunc("POST /api/v1/life/join", act(r.JoinCluster))
	always.HandleFunc("POST /api/v1/life/reset", act(r.ResetApp))
	always.HandleFunc("GET /api/v1/identity", asks(r.Identity))
	always.HandleFunc("POST /api/v1/stop", act(r.Stop))
	alone.HandleFunc("GET /api/v1/status", asks(r.Status))
	alone.HandleFunc("GET /api/v1/overview", asks(r.Overview))
	profiles(alone)
	alone.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		failure(w, &admin.Error{Kind: admin.AppStopped, Text: "the node is not running in its process"})
	})
	f := &Front{alone: few(alone, mostRequests)}
	always.HandleFunc("/", f.pass)
	f.always = always // orders about its life never wait behind lists
	return f
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.always.ServeHTTP(w, r) }

// pass hands a request to the node, if it runs.
func (f *Front) pass(w http.ResponseWriter, r *http.Request) {
	g := f.enter()
	if g == nil {
		f.alone.ServeHTTP(w, r)
		return
	}
	defer g.asked.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)() //nolint:contextcheck // when the node stops
	g.handler.ServeHTTP(w, r.WithContext(ctx))
}

func (f *Front) enter() *guest {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.guest != nil {
		f.mu.guest.asked.Add(1)
	}
	return f.mu.guest
}

// Open has a node answer until the returned function is called, which ends what
// it is being asked and waits for that as long as a stop may take.
func (f *Front) Open(ops admin.Operations) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &guest{handler: Handler(Options{Operations: ops}), ctx: ctx}
	f.mu.Lock()
	f.mu.guest = g
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		if f.mu.guest == g {
			f.mu.guest = nil
		}
		f.mu.Unlock()
		cancel()
		ended := make(chan struct{})
		go func() { g.asked.Wait(); close(ended) }() // ends with the last request
		t := time.NewTimer(shutdownTime)
		defer t.Stop()
		select {
		case <-ended:
		case <-t.C:
		}
	}
}
