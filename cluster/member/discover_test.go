package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/storage"
)

func registry(t *testing.T, alive ...int) *Registry {
	return &Registry{
		FS: storage.PrivateFS(), Dir: filepath.Join(t.TempDir(), "nodes"),
		Alive: func(pid int) bool { return slices.Contains(alive, pid) },
	}
}

// estate R15: several nodes on one machine, found by their names.
func TestRegistry(t *testing.T) {
	r := registry(t, 10, 11)
	if _, ok, err := r.Find("rabbit@here"); ok || err != nil {
		t.Fatal("found in a registry that is not there", err)
	}
	a := Entry{Name: "rabbit@here", Node: 1 << 63, Host: "127.0.0.1", Port: 25672, PID: 10}
	b := Entry{Name: "hare@here", Node: 2, Host: "::1", Port: 25673, PID: 11}
	for _, e := range []Entry{a, b} {
		if err := r.Register(e); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]Entry{"rabbit@here": a, "rabbit": a, "hare@here": b} {
		if e, ok, err := r.Find(name); err != nil || !ok || e != want {
			t.Errorf("%s: %+v %v %v", name, e, ok, err)
		}
	}
	if _, ok, _ := r.Find("rabbit@there"); ok {
		t.Error("found a node of another host")
	}
	if b.Addr() != "[::1]:25673" {
		t.Errorf("address %s", b.Addr())
	}

	// The name is taken while its process runs, and free afterwards.
	other := a
	other.PID = 11
	if err := r.Register(other); !errors.Is(err, ErrNameInUse) {
		t.Errorf("took a name in use: %v", err)
	}
	r.Alive = func(pid int) bool { return pid == 11 }
	if all, err := r.List(); err != nil || !slices.Equal(all, []Entry{b}) {
		t.Errorf("with a stale entry: %v, %v", all, err)
	}
	if err := r.Register(other); err != nil {
		t.Errorf("a stale entry: %v", err)
	}
	if err := r.Leave(a.Name, 10); err != nil {
		t.Error(err)
	}
	if _, ok, _ := r.Find(a.Name); !ok {
		t.Error("took another's entry out")
	}
	if err := r.Leave(a.Name, 11); err != nil {
		t.Error(err)
	}
	if _, ok, _ := r.Find(a.Name); ok {
		t.Error("still there after it left")
	}
}

// The nodes of one process may enter themselves at once.
func TestRegisterAtOnce(t *testing.T) {
	r := registry(t, 10)
	var nodes sync.WaitGroup
	const n = 16
	for k := range n {
		nodes.Go(func() {
			if err := r.Register(Entry{Name: fmt.Sprintf("rabbit-%d@here", k), Node: uint64(k + 1), Host: "127.0.0.1", Port: 25672, PID: 10}); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	if all, err := r.List(); err != nil || len(all) != n {
		t.Errorf("%d are there: %v", len(all), err)
	}
}

func TestRegistryIsTheUsersAlone(t *testing.T) {
	r := registry(t, 1)
	e := Entry{Name: "rabbit@here", Node: 1, Host: "127.0.0.1", Port: 1, PID: 1}
	if err := r.Register(e); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{r.Dir: 0o700, filepath.Join(r.Dir, "rabbit@here.node"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if err := os.Chmod(r.Dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("read what others can write: %v", err)
	}
	if err := r.Register(e); err == nil {
		t.Error("wrote where others can write")
	}
}

// What is no entry is passed over, and what cannot be one is refused.
func TestRegistryRefuses(t *testing.T) {
	r := registry(t, 1)
	good := Entry{Name: "rabbit@here", Node: 1, Host: "127.0.0.1", Port: 1, PID: 1}
	for _, change := range []func(e *Entry){
		func(e *Entry) { e.Name = "" },
		func(e *Entry) { e.Name = "../rabbit" },
		func(e *Entry) { e.Name = ".rabbit" },
		func(e *Entry) { e.Name = "a b" },
		func(e *Entry) { e.Name = strings.Repeat("a", 255) },
		func(e *Entry) { e.Host = "localhost" },
		func(e *Entry) { e.Port = 0 },
		func(e *Entry) { e.PID = 0 },
		func(e *Entry) { e.Node = 0 },
	} {
		e := good
		change(&e)
		if err := r.Register(e); err == nil {
			t.Errorf("registered %+v", e)
		}
	}
	if err := r.Register(good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.Dir, "rabbit@here.node"))
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{
		"other@here.node": text, "half.node": text[:10], "big.node": make([]byte, maxEntrySize+1), "notes.txt": text,
	} {
		if err := os.WriteFile(filepath.Join(r.Dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := r.List(); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
}

func TestStatic(t *testing.T) {
	r := registry(t, 1)
	if err := r.Register(Entry{Name: "rabbit@node-01", Node: 1, Host: "127.0.0.1", Port: 25999, PID: 1}); err != nil {
		t.Fatal(err)
	}
	s := Static{Registry: r, Peers: []string{"rabbit@node-02", "rabbit@node-01", "10.0.0.1", "10.0.0.1:99", "::1", "[::2]:7", "host", "host"}}
	got, err := s.Discover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []Candidate{
		{"10.0.0.1", "10.0.0.1:25672"},
		{"10.0.0.1:99", "10.0.0.1:99"},
		{"::1", "[::1]:25672"},
		{"[::2]:7", "[::2]:7"},
		{"host", "host:25672"},
		{"rabbit@node-01", "127.0.0.1:25999"},
		{"rabbit@node-02", "node-02:25672"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, peer := range []string{"", "rabbit@", "host:port", "host:0", ":5672", "a:b:c", "host:99999"} {
		if c, err := (Static{Peers: []string{peer}}).Discover(context.Background()); err == nil {
			t.Errorf("%q was taken for %v", peer, c)
		}
	}
	many := Static{}
	for i := range 2 * maxCandidates {
		many.Peers = append(many.Peers, fmt.Sprintf("h%d", i))
	}
	if got, err := many.Discover(context.Background()); err != nil || len(got) != maxCandidates {
		t.Errorf("%d candidates, %v", len(got), err)
	}
}

type resolver map[string][]netip.Addr

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if ips, ok := r[host]; ok {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestDNS(t *testing.T) {
	r := resolver{"warren.local": {netip.MustParseAddr("::ffff:10.0.0.2"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.1")}}
	got, err := DNS{Name: "warren.local", Port: 26000, Resolver: r}.Discover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"10.0.0.1:26000", "10.0.0.2:26000", "[fd00::1]:26000"}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i, c := range got {
		if c.Key != want[i] || c.Addr != want[i] {
			t.Errorf("got %v", got)
		}
	}
	if _, err := (DNS{Name: "nowhere", Resolver: r}).Discover(context.Background()); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("an unknown name: %v", err)
	}
}

// Two clusters share a group; each sees its own.
func TestMulticast(t *testing.T) {
	c := clock.NewManual(time.Time{})
	lo := netip.MustParseAddr("127.0.0.1")
	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: lo.AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	group := netip.AddrPortFrom(DefaultGroup().Addr(), free.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	start := func(cluster, name string, id uint64) *Multicast {
		in, out, err := ListenMulticast(group, lo)
		if err != nil {
			t.Fatal(err)
		}
		m, err := NewMulticast(MulticastOptions{
			Cluster: cluster, Name: name, Node: id, Port: uint16(1000 + id), Group: group, In: in, Out: out, Clock: c,
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- m.Run(ctx) }()
		return m
	}
	a, b, other := start("blue", "a", 1), start("blue", "b", 2), start("red", "c", 3)
	sees := func(m *Multicast, want ...Candidate) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			got, err := m.Discover(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Equal(got, want) {
				return
			}
			select {
			case <-deadline:
				t.Fatalf("sees %v, want %v", got, want)
			case <-time.After(time.Millisecond):
				c.Advance(20 * time.Millisecond)
			}
		}
	}
	ca, cb := Candidate{"a", "127.0.0.1:1001"}, Candidate{"b", "127.0.0.1:1002"}
	sees(a, ca, cb)
	sees(b, ca, cb)
	sees(other, Candidate{"c", "127.0.0.1:1003"})
	cancel()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	c.Advance(time.Minute)
	if got, err := a.Discover(ctx); err != nil || len(got) != 0 {
		t.Errorf("still sees %v, %v", got, err)
	}
	if _, _, err := ListenMulticast(group, netip.MustParseAddr("203.0.113.1")); err == nil {
		t.Error("listens on an interface that is not there")
	}
	if _, _, err := ListenMulticast(netip.MustParseAddrPort("10.0.0.1:1"), lo); err == nil {
		t.Error("takes an address for a group")
	}
}

func FuzzAnnouncement(f *testing.F) {
	m := Multicast{o: MulticastOptions{Cluster: "blue", Name: "rabbit@a", Node: 7, Port: 25672}}
	f.Add(m.announcement())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnnouncement(b)
		if err != nil {
			return
		}
		m := Multicast{o: MulticastOptions{Cluster: a.cluster, Name: a.name, Node: a.node, Port: a.port}}
		if string(m.announcement()) != string(b) {
			t.Errorf("%q became %q", b, m.announcement())
		}
	})
}
