package auth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/secret"
)

// newAuthorizer has alice in "/", and what adjust does.
func newAuthorizer(adjust func(c *catalog)) (*auth.Authorizer, *catalog) {
	c := newCatalog()
	c.setUser("alice", secret.String{})
	if adjust != nil {
		adjust(c)
	}
	return auth.NewAuthorizer(auth.AuthorizerOptions{Directory: c.current}), c
}

func TestCheck(t *testing.T) {
	const name = "orders.eu"
	for _, c := range []struct {
		configure, write, read string
		allowed                string // of "cwr"
	}{
		{".*", ".*", ".*", "cwr"},
		{"", "", "", ""},
		{"^$", "^$", "^$", ""},
		{"", "^orders", "eu$", "wr"},
		{"^orders$", "^orders\\.eu$", "orders.eu", "wr"},
		{"rders", "^(?!orders).*", "^(orders|x)", "cr"},
		{"ORDERS", "(?i)ORDERS", "o+", "wr"},
	} {
		a, _ := newAuthorizer(func(cat *catalog) { cat.setPermission("alice", "/", c.configure, c.write, c.read) })
		session := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
		for _, kind := range []auth.Kind{auth.Exchange, auth.Queue} {
			for op, letter := range map[auth.Operation]string{auth.Configure: "c", auth.Write: "w", auth.Read: "r"} {
				want := ""
				if !strings.Contains(c.allowed, letter) {
					want = fmt.Sprintf("%s access to %s 'orders.eu' in vhost '/' refused for user 'alice'", op, kind)
				}
				for who, check := range map[string]func() error{
					"authorizer": func() error { return a.Check("alice", "/", op, kind, name) },
					"session":    func() error { return session.Check(op, kind, name) },
					"remembered": func() error { return session.Check(op, kind, name) },
				} {
					err := check()
					if got := fmt.Sprint(err); want == "" && err != nil || want != "" && (got != want || auth.KindOf(err) != auth.Denied) {
						t.Errorf("%+v: %s: %s: %v, want %q", c, who, op, err, want)
					}
				}
			}
		}
	}
}

func TestDefaultExchange(t *testing.T) {
	a, _ := newAuthorizer(func(c *catalog) { c.setPermission("alice", "/", "", `^amq\.default$`, "") })
	s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
	for range 2 {
		if err := s.Check(auth.Write, auth.Exchange, ""); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(auth.Write, auth.Queue, ""); err == nil {
			t.Fatal("the queue without a name is not the default exchange")
		}
		err := s.Check(auth.Configure, auth.Exchange, "")
		if err == nil || err.Error() != "configure access to exchange 'amq.default' in vhost '/' refused for user 'alice'" {
			t.Fatal(err)
		}
	}
}

func TestVHosts(t *testing.T) {
	a, c := newAuthorizer(func(c *catalog) {
		c.change(func(v *view) { v.vhosts["other"] = true })
		c.setPermission("alice", "/", "", "", "")
		c.setPermission("alice", "gone", ".*", ".*", ".*")
		c.setPermission("deleted", "/", ".*", ".*", ".*")
	})
	for _, x := range []struct{ user, vhost, want string }{
		{"alice", "/", "<nil>"}, // any permission opens the vhost, an empty one too
		{"alice", "other", "access to vhost 'other' refused for user 'alice'"},
		{"alice", "gone", "vhost gone not found"},
		{"deleted", "/", "access to vhost '/' refused for user 'deleted'"},
		{"", "/", "access to vhost '/' refused for user ''"},
	} {
		if got := fmt.Sprint(a.CanAccessVHost(x.user, x.vhost)); got != x.want {
			t.Errorf("%s in %s: %s", x.user, x.vhost, got)
		}
	}
	for user, vhost := range map[string]string{"alice": "gone", "deleted": "/"} {
		if err := a.Check(user, vhost, auth.Read, auth.Queue, "q"); auth.KindOf(err) != auth.Denied {
			t.Errorf("what is left of %s in %s counts", user, vhost)
		}
	}
	// No tag replaces a permission.
	c.setUser("root", secret.String{}, auth.TagAdministrator)
	if a.CanAccessVHost("root", "/") == nil || a.Check("root", "/", auth.Read, auth.Queue, "q") == nil {
		t.Error("an administrator needs no permission")
	}
}

// X30: what can not be read, understood or answered in time allows nothing.
func TestFailClosed(t *testing.T) {
	var log bytes.Buffer
	c := newCatalog()
	c.setUser("alice", secret.String{})
	a := auth.NewAuthorizer(auth.AuthorizerOptions{
		Directory: c.current, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	name := strings.Repeat("a", 60) + "!"
	for _, pattern := range []string{"(", "a++", strings.Repeat("a", 5000), "^(a+)+$"} {
		c.setPermission("alice", "/", pattern, pattern, pattern)
		s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
		for range 2 {
			if s.Check(auth.Read, auth.Queue, name) == nil || a.Check("alice", "/", auth.Write, auth.Queue, name) == nil {
				t.Errorf("%.10q allows", pattern)
			}
		}
		if log.Len() == 0 {
			t.Errorf("%.10q is not in the log", pattern)
		}
		log.Reset()
	}
	c.setPermission("alice", "/", ".*", ".*", ".*")
	for what, err := range map[string]error{
		"NUL in a name":        a.Check("alice", "/", auth.Read, auth.Queue, "a\x00b"),
		"unknown operation":    a.Check("alice", "/", 0, auth.Queue, "a"),
		"operation 99":         a.Check("alice", "/", 99, auth.Queue, "a"),
		"configure on a topic": denyTopic(a, c),
	} {
		if auth.KindOf(err) != auth.Denied {
			t.Errorf("%s: %v", what, err)
		}
	}
	if auth.ValidatePattern("(") == nil || auth.ValidatePattern("^(?!x).*") != nil {
		t.Error("ValidatePattern is wrong")
	}
}

func denyTopic(a *auth.Authorizer, c *catalog) error {
	c.change(func(v *view) { v.topics[[3]string{"alice", "/", "t"}] = auth.TopicPermission{Write: ".*", Read: ".*"} })
	return a.Session(auth.SessionOptions{User: "alice", VHost: "/"}).CheckTopic(auth.Configure, "t", "k")
}

func TestTopics(t *testing.T) {
	a, c := newAuthorizer(func(c *catalog) {
		c.setPermission("alice", "/", ".*", ".*", ".*")
		c.change(func(v *view) {
			v.topics[[3]string{"alice", "/", "t"}] = auth.TopicPermission{Write: `^{username}\.{client_id}\.`, Read: ""}
		})
	})
	s := a.Session(auth.SessionOptions{User: "alice", VHost: "/", ClientID: "c+1"})
	for range 2 {
		for _, x := range []struct {
			op              auth.Operation
			exchange, topic string
			want            string
		}{
			{auth.Write, "t", "alice.c+1.x", "<nil>"},
			{auth.Write, "t", "alice.cc1.x", "write access to topic 'alice.cc1.x' in exchange 't' in vhost '/' refused for user 'alice'"},
			{auth.Write, "t", "bob.c+1.x", "write access to topic 'bob.c+1.x' in exchange 't' in vhost '/' refused for user 'alice'"},
			{auth.Read, "t", "alice.c+1.x", "read access to topic 'alice.c+1.x' in exchange 't' in vhost '/' refused for user 'alice'"},
			{auth.Read, "t", "", "<nil>"},
			{auth.Write, "without a rule", "anything", "<nil>"},
		} {
			if got := fmt.Sprint(s.CheckTopic(x.op, x.exchange, x.topic)); got != x.want {
				t.Errorf("%s %s %s: %s", x.op, x.exchange, x.topic, got)
			}
		}
	}
	c.change(func(v *view) { delete(v.users, "alice") })
	if s.CheckTopic(auth.Write, "without a rule", "anything") == nil {
		t.Error("a deleted user may")
	}
}

// X27: TestClientTextIsNeverAPattern: whatever is in a user's or client's name, the
// expanded pattern matches that text and nothing else.
func TestClientTextIsNeverAPattern(t *testing.T) {
	alphabet := rapid.SampledFrom([]rune(`.*+?()|[]{}^$\#-/ ,:=!<>&~'"` + "ab\n\u00e4"))
	rapid.Check(t, func(rt *rapid.T) {
		text := func(label string) string {
			return string(rapid.SliceOfN(alphabet, 1, 8).Draw(rt, label))
		}
		user, id, other := text("user"), text("id"), text("other")
		c := newCatalog()
		c.setUser(user, secret.String{})
		c.setPermission(user, "/", ".*", ".*", ".*")
		c.change(func(v *view) {
			v.topics[[3]string{user, "/", "t"}] = auth.TopicPermission{Write: "^{username}-{client_id}-{vhost}$"}
		})
		a := auth.NewAuthorizer(auth.AuthorizerOptions{Directory: c.current})
		s := a.Session(auth.SessionOptions{User: user, VHost: "/", ClientID: id})
		if err := s.CheckTopic(auth.Write, "t", user+"-"+id+"-/"); err != nil {
			rt.Fatal(err)
		}
		if topic := other + "-" + id + "-/"; other != user && s.CheckTopic(auth.Write, "t", topic) == nil {
			rt.Fatalf("%q may write %q", user, topic)
		}
	})
}

// TestChangesCountAtOnce also from other goroutines' sessions.
func TestChangesCountAtOnce(t *testing.T) {
	a, c := newAuthorizer(func(c *catalog) { c.setPermission("alice", "/", "", "^q", "") })
	s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
	for round := range 3 {
		if err := s.Check(auth.Write, auth.Queue, "q1"); err != nil {
			t.Fatal(round, err)
		}
		if s.Check(auth.Write, auth.Queue, "x1") == nil {
			t.Fatal(round, "x1 allowed")
		}
		c.setPermission("alice", "/", "", "^x", "")
		if s.Check(auth.Write, auth.Queue, "q1") == nil {
			t.Fatal(round, "the old permission still allows")
		}
		if err := s.Check(auth.Write, auth.Queue, "x1"); err != nil {
			t.Fatal(round, "the old permission still denies")
		}
		c.change(func(v *view) { delete(v.perms, [2]string{"alice", "/"}) })
		if s.Check(auth.Write, auth.Queue, "x1") == nil {
			t.Fatal(round, "no permission allows")
		}
		c.setPermission("alice", "/", "", "^q", "")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
			for i := range 500 {
				if err := s.Check(auth.Write, auth.Queue, fmt.Sprint("q", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestSessionAgreesWithAuthorizer compares the memory with none.
func TestSessionAgreesWithAuthorizer(t *testing.T) {
	patterns := rapid.SampledFrom([]string{"", ".*", "^a", "b$", "^(?!a).*", "(", "c"})
	names := rapid.StringMatching("[abc]{0,3}")
	rapid.Check(t, func(rt *rapid.T) {
		a, c := newAuthorizer(nil)
		s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
		rt.Repeat(map[string]func(*rapid.T){
			"permission": func(rt *rapid.T) {
				c.setPermission("alice", "/", patterns.Draw(rt, "c"), patterns.Draw(rt, "w"), patterns.Draw(rt, "r"))
			},
			"clear": func(*rapid.T) { c.change(func(v *view) { delete(v.perms, [2]string{"alice", "/"}) }) },
			"check": func(rt *rapid.T) {
				op := auth.Operation(rapid.IntRange(1, 3).Draw(rt, "op"))
				kind := auth.Kind(rapid.IntRange(1, 2).Draw(rt, "kind"))
				for range 200 { // more names than a session remembers
					name := names.Draw(rt, "name")
					want, got := a.Check("alice", "/", op, kind, name), s.Check(op, kind, name)
					if fmt.Sprint(want) != fmt.Sprint(got) {
						rt.Fatalf("%s %s %q: %v, remembered %v", op, kind, name, want, got)
					}
				}
			},
		})
	})
}

// TestSessionKeepsNothingOfTheCaller: names may be views of a buffer that is
// used again.
func TestSessionKeepsNothingOfTheCaller(t *testing.T) {
	a, _ := newAuthorizer(func(c *catalog) { c.setPermission("alice", "/", "", "^good", "") })
	s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
	buf := []byte("good")
	name := unsafe.String(&buf[0], len(buf))
	for range 2 {
		copy(buf, "good")
		if err := s.Check(auth.Write, auth.Queue, name); err != nil {
			t.Fatal(err)
		}
		copy(buf, "evil")
		if s.Check(auth.Write, auth.Queue, name) == nil {
			t.Fatal("another name got the last one's answer")
		}
	}
}

func TestSessionChecksAllocateNothing(t *testing.T) {
	a, _ := newAuthorizer(func(c *catalog) { c.setPermission("alice", "/", "", "^q", "") })
	s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
	names := []string{"q1", "q2", "q3"}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			if err := s.Check(auth.Write, auth.Queue, name); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTags(t *testing.T) {
	for _, c := range []struct {
		tags auth.Tags
		want string // administrator, monitoring, policymaker, management, impersonator
	}{
		{nil, "-----"},
		{auth.Tags{"none", "Administrator", ""}, "-----"},
		{auth.Tags{auth.TagManagement}, "---m-"},
		{auth.Tags{auth.TagPolicyMaker}, "--pm-"},
		{auth.Tags{auth.TagMonitoring}, "-o-m-"},
		{auth.Tags{auth.TagAdministrator}, "aopm-"},
		{auth.Tags{"x", auth.TagImpersonator}, "----i"},
	} {
		got := ""
		for i, yes := range []bool{
			c.tags.Administrator(), c.tags.Monitoring(), c.tags.PolicyMaker(), c.tags.Management(), c.tags.Impersonator(),
		} {
			if yes {
				got += string("aopmi"[i])
			} else {
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.tags, got, c.want)
		}
	}
}

func BenchmarkSessionCheck(b *testing.B) {
	a, _ := newAuthorizer(func(c *catalog) { c.setPermission("alice", "/", "", "^q", "") })
	for _, names := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			s := a.Session(auth.SessionOptions{User: "alice", VHost: "/"})
			list := make([]string, names)
			for i := range list {
				list[i] = fmt.Sprint("queue.", i)
			}
			b.ReportAllocs()
			for i := range b.N {
				_ = s.Check(auth.Write, auth.Queue, list[i%names])
			}
		})
	}
}
