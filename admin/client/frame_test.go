package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin"
)

// A generator answers with as many queues as it is asked for, and fails after
// them if it is told to.
type generator struct {
	admin.Operations
	n       int
	fails   error
	made    atomic.Int64
	stopped chan struct{}
}

func (g *generator) Queues(_ context.Context, q admin.QueueQuery) iter.Seq2[admin.Queue, error] {
	return func(yield func(admin.Queue, error) bool) {
		defer close(g.stopped)
		for i := range g.n {
			g.made.Add(1)
			if !yield(admin.Queue{Name: fmt.Sprintf("queue-%06d", i), VHost: q.VHost}, nil) {
				return
			}
		}
		if g.fails != nil {
			yield(admin.Queue{}, g.fails)
		}
	}
}

func (g *generator) PurgeQueue(_ context.Context, o admin.PurgeQueue) (admin.Removed, error) {
	if g.fails != nil {
		return admin.Removed{}, g.fails
	}
	return admin.Removed{Messages: uint64(len(o.Name))}, nil
}

// ask serves g and returns a client of it.
func (g *generator) serve(t *testing.T) *Client {
	t.Helper()
	g.stopped = make(chan struct{})
	dir := t.TempDir()
	start(t, dir, g)
	c := New(dir)
	t.Cleanup(c.Close)
	return c
}

func TestList(t *testing.T) {
	g := &generator{n: 100_000}
	c := g.serve(t)
	n := 0
	for q, err := range c.Queues(t.Context(), QueueQuery{VHost: "a/b?q={}&é"}) {
		if want := fmt.Sprintf("queue-%06d", n); err != nil || q.Name != want || q.VHost != "a/b?q={}&é" {
			t.Fatalf("item %d: %+v, %v", n, q, err)
		}
		n++
	}
	if n != g.n {
		t.Errorf("%d items", n)
	}
}

// Who has seen enough does not make the node list the rest: nothing holds a
// whole list.
func TestListIsNeverWhole(t *testing.T) {
	g := &generator{n: 10_000_000}
	c := g.serve(t)
	for range c.Queues(t.Context(), QueueQuery{}) {
		break
	}
	c.Close()
	select {
	case <-g.stopped:
	case <-time.After(20 * time.Second):
		t.Fatal("the node lists on")
	}
	if made := g.made.Load(); made >= int64(g.n) {
		t.Errorf("%d items were made for one", made)
	}
}

func TestListFails(t *testing.T) {
	for _, n := range []int{0, 1, 5000} {
		t.Run(fmt.Sprintf("after=%d", n), func(t *testing.T) {
			g := &generator{n: n, fails: admin.NotFoundf(admin.VHostThing, "gone")}
			c := g.serve(t)
			seen := 0
			var last error
			for _, err := range c.Queues(t.Context(), QueueQuery{}) {
				if last = err; err == nil {
					seen++
				}
			}
			var e *Error
			if seen != n || !errors.As(last, &e) || e.Kind != NotFound || e.Thing != VHostThing || e.Name != "gone" {
				t.Errorf("%d items, then %v", seen, last)
			}
		})
	}
}

func TestListEndsWithItsContext(t *testing.T) {
	g := &generator{n: 1 << 40}
	c := g.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Queues(ctx, QueueQuery{}) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v", last)
	}
	<-g.stopped
}

// Kinds survive the socket.
func TestErrors(t *testing.T) {
	for _, kind := range []admin.Kind{
		Internal, Invalid, NotFound, Exists, InUse, NotEmpty, Denied, Unavailable, Timeout, Unsupported,
	} {
		g := &generator{fails: &admin.Error{Kind: kind, Thing: QueueThing, Name: "n\"\n", Text: "no"}}
		_, err := g.serve(t).PurgeQueue(t.Context(), PurgeQueue{})
		var e *Error
		if !errors.As(err, &e) || *e != (Error{Kind: kind, Thing: QueueThing, Name: "n\"\n", Text: "no"}) {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	g := &generator{fails: fmt.Errorf("wait: %w", context.DeadlineExceeded)}
	if _, err := g.serve(t).PurgeQueue(t.Context(), PurgeQueue{}); KindOf(err) != Timeout {
		t.Errorf("got %v", err)
	}
	g = &generator{fails: &admin.Error{Kind: "nonsense", Text: "odd"}}
	if _, err := g.serve(t).PurgeQueue(t.Context(), PurgeQueue{}); KindOf(err) != Internal {
		t.Errorf("got %v", err)
	}
}

// A request with anything in it that is not understood changes nothing.
func TestBadRequests(t *testing.T) {
	g := &generator{}
	c := g.serve(t)
	for _, tc := range []struct{ method, path, body, want string }{
		{"POST", "/api/v1/queues/purge", `{"nam":"x"}`, `unknown field \"nam\"`},
		{"POST", "/api/v1/queues/purge", `{"name":"x"} {"name":"y"}`, "more than one value"},
		{"POST", "/api/v1/queues/purge", `{"name":7}`, "cannot unmarshal number"},
		{"POST", "/api/v1/queues/purge", `{"name":"x`, "unexpected EOF"},
		{"GET", "/api/v1/queues?q=%7B%22limit%22%3A1%7D", "", `unknown field \"limit\"`},
		{"GET", "/api/v1/queues?q=%7B", "", "unexpected EOF"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://node"+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), tc.want) {
			t.Errorf("%s %s %s: %d %s", tc.method, tc.path, tc.body, resp.StatusCode, text)
		}
	}
	if g.made.Load() != 0 {
		t.Error("something was done")
	}
}
