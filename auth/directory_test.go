package auth_test

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

// view is an immutable auth.Directory.
type view struct {
	rev    uint64
	users  map[string]auth.User
	perms  map[[2]string]auth.Permission
	topics map[[3]string]auth.TopicPermission
	vhosts map[string]bool
}

func (v *view) User(name string) (auth.User, bool) { u, ok := v.users[name]; return u, ok }
func (v *view) Permission(user, vhost string) (auth.Permission, bool) {
	p, ok := v.perms[[2]string{user, vhost}]
	return p, ok
}

func (v *view) TopicPermission(user, vhost, exchange string) (auth.TopicPermission, bool) {
	p, ok := v.topics[[3]string{user, vhost, exchange}]
	return p, ok
}
func (v *view) VHost(name string) bool     { return v.vhosts[name] }
func (v *view) PermissionRevision() uint64 { return v.rev }

// catalog swaps views as the real one does.
type catalog struct {
	mu  sync.Mutex // of writers
	now atomic.Pointer[view]
}

func newCatalog() *catalog {
	c := &catalog{}
	c.now.Store(&view{
		users: map[string]auth.User{}, perms: map[[2]string]auth.Permission{},
		topics: map[[3]string]auth.TopicPermission{}, vhosts: map[string]bool{"/": true},
	})
	return c
}

func (c *catalog) current() auth.Directory { return c.now.Load() }

func (c *catalog) change(f func(v *view)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.now.Load()
	v := &view{
		rev: old.rev + 1, users: maps.Clone(old.users), perms: maps.Clone(old.perms),
		topics: maps.Clone(old.topics), vhosts: maps.Clone(old.vhosts),
	}
	f(v)
	c.now.Store(v)
}

func (c *catalog) setUser(name string, record secret.String, tags ...string) {
	c.change(func(v *view) {
		v.users[name] = auth.User{Name: name, Password: record, Tags: tags, Revision: v.rev}
	})
}

func (c *catalog) setPermission(user, vhost, configure, write, read string) {
	c.change(func(v *view) {
		v.perms[[2]string{user, vhost}] = auth.Permission{Configure: configure, Write: write, Read: read}
	})
}

// random is a reader of a seeded generator, for several goroutines.
type random struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newRandom(seed uint64) *random { return &random{rng: rand.New(rand.NewPCG(seed, 1))} }

func (r *random) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

var (
	local  = netip.MustParseAddrPort("127.0.0.1:40000")
	remote = netip.MustParseAddrPort("192.0.2.10:40000")
)

const rightPassword = "correct horse"

// record makes the record of rightPassword once: hashing is slow on purpose.
var record = sync.OnceValues(func() (secret.String, error) {
	return auth.NewRecord(newRandom(1), secret.New(rightPassword))
})

// rig is a verifier over a catalog in which alice and guest have rightPassword.
type rig struct {
	*auth.Verifier
	catalog *catalog
	clock   *clock.Manual
}

func newRig(t testing.TB, adjust func(*auth.VerifierOptions)) *rig {
	t.Helper()
	text, err := record()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{catalog: newCatalog(), clock: clock.NewManual(time.Unix(1e9, 0))}
	r.catalog.setUser("alice", text, "monitoring")
	r.catalog.setUser("guest", text, "administrator")
	o := auth.VerifierOptions{Directory: r.catalog.current, Clock: r.clock, Rand: newRandom(2)}
	if adjust != nil {
		adjust(&o)
	}
	if r.Verifier, err = auth.NewVerifier(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// login tries a password and returns how many hashes it cost.
func (r *rig) login(t testing.TB, user, password string, peer netip.AddrPort) (id auth.Identity, hashes uint64, err error) {
	t.Helper()
	before := r.Stats().Hashes
	id, err = r.Authenticate(t.Context(), auth.Credentials{
		User: user, Password: secret.New(password), Peer: peer, Mechanism: auth.Plain,
	})
	return id, r.Stats().Hashes - before, err
}
