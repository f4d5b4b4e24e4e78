package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
)

// detail returns the text of an error of a kind.
func detail(t *testing.T, err error, kind Kind) string {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("%v, want %v", err, kind)
	}
	return e.Detail
}

// X18: TestConnectionLimits: many come at once, exactly as many as may get in, and a
// place is free again when one leaves.
func TestConnectionLimits(t *testing.T) {
	for name, c := range map[string]struct{ vhost, user, want string }{
		"vhost": {`{"max-connections":5}`, `{}`, "access to vhost '/' refused for user 'v': connection limit (5) is reached"},
		"user":  {`{"max-connections":50}`, `{"max-connections":5}`, "connection refused for user 'v': user connection limit (5) is reached"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newBench(t, 0)
			x.s.Close()
			x.do(&catalog.SetUser{Name: "v"})
			if err := errors.Join(x.b.SetVHostLimits(background, "/", []byte(c.vhost)), x.b.SetUserLimits(background, "v", []byte(c.user))); err != nil {
				t.Fatal(err)
			}
			open := func() (*Session, error) {
				s := x.b.NewSession(Identity{User: "v"}, SessionInfo{})
				err := s.Open(background, "/")
				return s, err
			}
			var in atomic.Int32
			var all sync.WaitGroup
			sessions := make([]*Session, 20)
			for i := range sessions {
				all.Go(func() {
					s, err := open()
					sessions[i] = s
					if err == nil {
						in.Add(1)
					} else if KindOf(err) != OverLimit {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := in.Load(); n != 5 {
				t.Errorf("%d got in", n)
			}
			s, err := open()
			if got := detail(t, err, OverLimit); got != c.want {
				t.Errorf("%q", got)
			}
			s.Close()
			for _, s := range sessions {
				s.Close()
			}
			s, err = open()
			if err != nil {
				t.Errorf("after all left: %v", err)
			}
			s.Close()
			if c := &x.b.census; len(c.users)+len(c.vhosts) != 0 || c.channels != 0 {
				t.Errorf("left behind: %+v %+v %d", c.users, c.vhosts, c.channels)
			}
		})
	}
}

// A refused login takes no place.
func TestRefusedTakesNoPlace(t *testing.T) {
	x := newBench(t, 0)
	x.auth.deny["vhost /"] = true
	s := x.b.NewSession(Identity{User: "v"}, SessionInfo{})
	defer s.Close()
	if err := s.Open(background, "/"); KindOf(err) != Denied {
		t.Fatal(err)
	}
	if _, ok := x.b.census.users["v"]; ok {
		t.Error("it is counted")
	}
}

func TestChannelLimits(t *testing.T) {
	x := newBench(t, 0)
	x.b.o.Limits.Channels = 3
	x.do(&catalog.SetUser{Name: "u"})
	if err := x.b.SetUserLimits(background, "u", []byte(`{"max-channels":2}`)); err != nil {
		t.Fatal(err)
	}
	other := x.session()
	for i := range 2 {
		if err := []*Session{x.s, other}[i].OpenChannel(); err != nil {
			t.Fatal(err)
		}
	}
	want := "number of channels opened for user 'u' has reached the maximum allowed user limit of (2)"
	if got := detail(t, x.s.OpenChannel(), OverLimit); got != want {
		t.Errorf("%q", got)
	}
	if err := x.b.SetUserLimits(background, "u", []byte(`{"max-channels":-1}`)); err != nil {
		t.Fatal(err)
	}
	if err := x.s.OpenChannel(); err != nil {
		t.Fatal(err)
	}
	if got := detail(t, x.s.OpenChannel(), OverLimit); !strings.Contains(got, "on this node has reached the maximum allowed limit of (3)") {
		t.Errorf("%q", got)
	}
	x.s.CloseChannel()
	other.Close() // with a channel open
	for range 2 {
		if err := x.s.OpenChannel(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueueLimits(t *testing.T) {
	x := newBench(t, 0)
	declare := func(name string) error {
		_, err := x.s.DeclareQueue(background, QueueOptions{Name: name})
		return err
	}
	if err := x.b.SetVHostLimits(background, "/", []byte(`{"max-queues":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(declare("a"), declare("a")); err != nil {
		t.Fatal(err)
	}
	if got := detail(t, declare("b"), OverLimit); got != "cannot declare queue 'b': queue limit in vhost '/' (1) is reached" {
		t.Errorf("%q", got)
	}
	x.b.o.Limits.Queues = 1
	if err := x.b.ClearParameter(background, "/", "vhost-limits", "limits"); err != nil {
		t.Fatal(err)
	}
	if got := detail(t, declare("b"), OverLimit); got != "cannot declare queue 'b': queue limit in cluster (1) is reached" {
		t.Errorf("%q", got)
	}
}

func TestParameters(t *testing.T) {
	x := newBench(t, 0)
	x.do(&catalog.SetUser{Name: "u"})
	for _, c := range []struct {
		err  error
		want string
	}{
		{x.b.SetVHostLimits(background, "/", []byte(`{"max-connections":"1"}`)), `max-connections should be an integer of at least -1, actually was <<"1">>`},
		{x.b.SetVHostLimits(background, "/", []byte(`{"max-channels":1}`)), `Unrecognised terms [{<<"max-channels">>,1}] in limits`},
		{x.b.SetVHostLimits(background, "/", []byte(`[]`)), "limits must be a dictionary"},
		{x.b.SetUserLimits(background, "u", []byte(`{"max-queues":1}`)), `Unrecognised terms [{<<"max-queues">>,1}] in limits`},
		{x.b.SetUserLimits(background, "u", []byte(`{"max-channels":-2}`)), "max-channels should be an integer of at least -1, actually was -2"},
		{x.b.SetParameter(background, Parameter{VHost: "/", Component: "shovel", Name: "s", Value: []byte(`{}`)}), "component shovel not found"},
	} {
		if got := detail(t, c.err, Invalid); !strings.HasPrefix(got, "Validation failed\n\n"+c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if ps, err := x.b.Parameters("/"); len(ps) != 0 || err != nil {
		t.Fatalf("%v, %v", ps, err)
	}
	p := Parameter{VHost: "/", Component: "vhost-limits", Name: "limits", Value: []byte(`{"max-connections":0,"max-queues":-1}`)}
	if err := x.b.SetParameter(background, p); err != nil {
		t.Fatal(err)
	}
	if ps, _ := x.b.Parameters("/"); len(ps) != 1 || string(ps[0].Value) != `{"max-connections":0}` {
		t.Fatalf("%s", ps)
	}
	if err := errors.Join(x.b.SetUserLimits(background, "u", []byte(`{"max-channels":5}`)), x.b.SetUserLimits(background, "u", []byte(`{"max-connections":6}`))); err != nil {
		t.Fatal(err)
	}
	if got := string(LimitsJSON(x.b.View().User("u").Limits)); got != `{"max-channels":5,"max-connections":6}` {
		t.Errorf("%s", got)
	}
	if err := x.b.SetGlobalParameter(background, "cluster_name", []byte(`"rabbit`)); KindOf(err) != Invalid {
		t.Errorf("no JSON: %v", err)
	}
	if err := x.b.SetGlobalParameter(background, "cluster_name", []byte(`"rabbit"`)); err != nil {
		t.Fatal(err)
	}
	if ps := x.b.GlobalParameters(); len(ps) != 1 || ps[0].Name != "cluster_name" || string(ps[0].Value) != `"rabbit"` {
		t.Fatalf("%s", ps)
	}
	if err := x.b.ClearGlobalParameter(background, "cluster_name"); err != nil || len(x.b.GlobalParameters()) != 0 {
		t.Fatalf("%v", err)
	}
	if err := x.b.ClearGlobalParameter(background, "cluster_name"); KindOf(err) != NotFound {
		t.Fatalf("%v", err)
	}
}

// TestEvict: what is deleted takes its connections with it, and no others.
func TestEvict(t *testing.T) {
	x := newBench(t, 0)
	x.do(&catalog.AddVHost{Name: "x"})
	x.do(&catalog.SetUser{Name: "v"})
	var ended []string
	open := func(user, vhost string) {
		s := x.b.NewSession(Identity{User: user}, SessionInfo{End: func(reason string) {
			ended = append(ended, fmt.Sprintf("%s in %s: %s", user, vhost, reason))
		}})
		t.Cleanup(s.Close)
		if err := s.Open(background, vhost); err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeclareQueue(background, QueueOptions{Name: "q." + user}); err != nil {
			t.Fatal(err)
		}
	}
	open("u", "/")
	open("u", "x")
	open("v", "/")
	x.do(&catalog.RemoveVHost{Name: "x"})
	x.do(&catalog.RemoveUser{Name: "v"})
	if want := []string{"u in x: vhost 'x' is deleted", "v in /: user 'v' is deleted"}; !slices.Equal(ended, want) {
		t.Errorf("%q, want %q", ended, want)
	}
	if n := x.b.Counts().MemoryQueues; n != 2 {
		t.Errorf("%d queues are left", n)
	}
}

// hookedAuth does something while a session is about to open.
type hookedAuth struct {
	*fakeAuth
	access func()
}

func (a *hookedAuth) Access(user, vhost string) error {
	a.access()
	return a.fakeAuth.Access(user, vhost)
}

// TestOpenWhileItGoes: a vhost that is deleted while a session opens it has no
// session afterwards, though nobody could tell that one.
func TestOpenWhileItGoes(t *testing.T) {
	x := newBench(t, 0)
	x.do(&catalog.AddVHost{Name: "x"})
	told := ""
	s := x.b.NewSession(Identity{User: "u"}, SessionInfo{End: func(reason string) { told = reason }})
	defer s.Close()
	x.b.o.Auth = &hookedAuth{x.auth, func() { x.do(&catalog.RemoveVHost{Name: "x"}) }}
	if err := s.Open(background, "x"); KindOf(err) != NotFound {
		t.Errorf("%v", err)
	}
	if told != "vhost 'x' is deleted" {
		t.Errorf("told %q", told)
	}
	if n := len(x.b.census.vhosts); n != 1 {
		t.Errorf("%d vhosts are counted", n)
	}
}
