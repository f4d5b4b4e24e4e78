package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/secret"
)

// X20, X22: empty and odd credentials are none, and who does not exist is told the
// same, after the same work, as who errs.
func TestAuthenticate(t *testing.T) {
	for _, c := range []struct {
		name, user, password string
		peer                 netip.AddrPort
		want                 string // error; "" for none
		hashes               uint64
	}{
		{"right", "alice", rightPassword, remote, "", 1},
		{"wrong", "alice", "wrong", remote, "user 'alice' - invalid credentials", 1},
		{"unknown user", "bob", rightPassword, remote, "user 'bob' - invalid credentials", 1},
		{"no password set", "cert", rightPassword, remote, "user 'cert' - invalid credentials", 1},
		{"record not readable", "odd", rightPassword, remote, "user 'odd' - invalid credentials", 1},
		{"blank", "alice", "", remote, "user 'alice' - the password is blank or cannot be one", 0},
		{"blank for no password", "cert", "", remote, "user 'cert' - the password is blank or cannot be one", 0},
		{"NUL in password", "alice", rightPassword + "\x00", remote, "user 'alice' - the password is blank or cannot be one", 0},
		{"huge password", "alice", strings.Repeat("x", 5000), remote, "user 'alice' - the password is blank or cannot be one", 0},
		{"no name", "", rightPassword, remote, "user '' - the name cannot be one", 0},
		{"NUL in name", "alice\x00", rightPassword, remote, "user 'alice\x00' - the name cannot be one", 0},
		{"huge name", strings.Repeat("x", 300), "x", remote, "user '" + strings.Repeat("x", 255) + "' - the name cannot be one", 0},
		{"guest from here", "guest", rightPassword, local, "", 1},
		{"guest from ::1", "guest", rightPassword, netip.MustParseAddrPort("[::1]:1"), "", 1},
		{"guest from mapped loopback", "guest", rightPassword, netip.MustParseAddrPort("[::ffff:127.9.9.9]:1"), "", 1},
		{"guest from elsewhere", "guest", rightPassword, remote, "user 'guest' - can only connect via localhost", 0},
		{"guest from nowhere", "guest", rightPassword, netip.AddrPort{}, "user 'guest' - can only connect via localhost", 0},
		{"guest from mapped elsewhere", "guest", rightPassword, netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"), "user 'guest' - can only connect via localhost", 0},
		{"names are exact", "Alice", rightPassword, remote, "user 'Alice' - invalid credentials", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.catalog.setUser("cert", secret.String{})
			r.catalog.setUser("odd", secret.New("$w9$argon2id"))
			id, hashes, err := r.login(t, c.user, c.password, c.peer)
			if hashes != c.hashes {
				t.Errorf("%d hashes", hashes)
			}
			if c.want == "" {
				if err != nil || id.User != c.user || len(id.Tags) != 1 || id.Mechanism != auth.Plain || id.Revision == 0 {
					t.Fatalf("%+v, %v", id, err)
				}
				return
			}
			if auth.KindOf(err) != auth.Refused || err.Error() != c.want || id.User != "" {
				t.Fatalf("%+v, %v", id, err)
			}
		})
	}
}

func TestLoopbackUsersCanBeChosen(t *testing.T) {
	r := newRig(t, func(o *auth.VerifierOptions) { o.LoopbackUsers = []string{} })
	if _, _, err := r.login(t, "guest", rightPassword, remote); err != nil {
		t.Fatal(err)
	}
}

// TestRemembered: a password found right costs no hash until time or a change
// of the user makes it doubtful; a wrong one always costs one.
func TestRemembered(t *testing.T) {
	r := newRig(t, nil)
	text, err := record()
	if err != nil {
		t.Fatal(err)
	}
	expect := func(step, password string, right bool, hashes uint64) {
		t.Helper()
		r.clock.Advance(time.Second) // past any delay
		_, n, err := r.login(t, "alice", password, remote)
		if (err == nil) != right || n != hashes {
			t.Fatalf("%s: %v, %d hashes", step, err, n)
		}
	}
	expect("first", rightPassword, true, 1)
	expect("second", rightPassword, true, 0)
	expect("wrong", "wrong", false, 1)
	expect("right after wrong", rightPassword, true, 0)
	r.catalog.setUser("bob", text)
	expect("another user changed", rightPassword, true, 0)
	r.catalog.setUser("alice", text, "administrator")
	expect("the user changed", rightPassword, true, 1)
	expect("and again", rightPassword, true, 0)
	other, err := r.NewRecord(t.Context(), secret.New("new password"))
	if err != nil {
		t.Fatal(err)
	}
	r.catalog.setUser("alice", other)
	expect("old password", rightPassword, false, 1)
	expect("new password", "new password", true, 1)
	r.clock.Advance(10 * time.Minute)
	expect("ten minutes later", "new password", true, 1)
	r.catalog.change(func(v *view) { delete(v.users, "alice") })
	expect("deleted", "new password", false, 1)
}

// TestChangedWhileHashing: a password that was replaced while it was hashed
// does not log in, and one that only shares its user with a change does.
func TestChangedWhileHashing(t *testing.T) {
	other, err := auth.NewRecord(newRandom(9), secret.New("another"))
	if err != nil {
		t.Fatal(err)
	}
	same, err := record()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		record secret.String
		right  bool
	}{"new password": {other, false}, "new tags": {same, true}} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			looks := 0
			r = newRig(t, func(o *auth.VerifierOptions) {
				o.Directory = func() auth.Directory {
					if looks++; looks == 3 { // asked by the memory, for the hash, after the hash
						r.catalog.setUser("alice", c.record, "changed")
					}
					return r.catalog.current()
				}
			})
			id, hashes, err := r.login(t, "alice", rightPassword, remote)
			if (err == nil) != c.right || hashes != 2 || c.right && fmt.Sprint(id.Tags) != "[changed]" {
				t.Fatalf("%+v, %v, %d hashes", id, err, hashes)
			}
		})
	}
}

func TestNothingRemembered(t *testing.T) {
	r := newRig(t, func(o *auth.VerifierOptions) { o.Remember = -1 })
	for range 2 {
		if _, n, err := r.login(t, "alice", rightPassword, remote); err != nil || n != 1 {
			t.Fatalf("%v, %d hashes", err, n)
		}
	}
}

// TestRehashAtLogin: an imported record is replaced once its password is known.
func TestRehashAtLogin(t *testing.T) {
	imported, err := auth.ImportRabbitMQ(secret.New("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"), auth.RabbitSHA256)
	if err != nil {
		t.Fatal(err)
	}
	var upgrades []auth.Upgrade
	r := newRig(t, func(o *auth.VerifierOptions) {
		o.Upgrade = func(u auth.Upgrade) { upgrades = append(upgrades, u) }
	})
	r.catalog.setUser("carol", imported)
	if _, n, err := r.login(t, "carol", "wrong", remote); err == nil || n != 1 || len(upgrades) != 0 {
		t.Fatalf("wrong: %v, %d hashes, %d upgrades", err, n, len(upgrades))
	}
	r.clock.Advance(time.Second)
	id, _, err := r.login(t, "carol", "test12", remote)
	if err != nil || len(upgrades) != 1 {
		t.Fatalf("right: %v, %d upgrades", err, len(upgrades))
	}
	u := upgrades[0]
	if u.User != "carol" || u.Revision != id.Revision || auth.NeedsRehash(u.Record) {
		t.Fatalf("%+v", u)
	}
	r.catalog.setUser("carol", u.Record)
	if _, n, err := r.login(t, "carol", "test12", remote); err != nil || n != 1 || len(upgrades) != 1 {
		t.Fatalf("after the upgrade: %v, %d hashes, %d upgrades", err, n, len(upgrades))
	}
}

// TestFailuresAreSlowed drives the delays with the clock.
func TestFailuresAreSlowed(t *testing.T) {
	r := newRig(t, nil)
	if _, _, err := r.login(t, "alice", "wrong", remote); err == nil {
		t.Fatal("logged in")
	}
	if _, _, err := r.login(t, "alice", rightPassword, netip.MustParseAddrPort("198.51.100.1:1")); err != nil {
		t.Fatalf("from another network: %v", err)
	}
	if _, n, err := r.login(t, "alice", rightPassword, remote); err != nil || n != 0 {
		t.Fatalf("a remembered password waits for nobody: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := r.Authenticate(context.Background(), auth.Credentials{
			User: "alice", Password: secret.New("wrong again"), Peer: remote,
		})
		done <- err
	}()
	r.clock.BlockUntil(1)
	before := r.Stats().Hashes
	r.clock.Advance(249 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatalf("too early: %v", err)
	default:
	}
	if r.Stats().Hashes != before {
		t.Fatal("hashed before its time")
	}
	r.clock.Advance(time.Millisecond)
	if err := <-done; auth.KindOf(err) != auth.Refused {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client left")
	go func() {
		r.clock.BlockUntil(1)
		cancel(gone)
	}()
	_, err := r.Authenticate(ctx, auth.Credentials{User: "alice", Password: secret.New("x"), Peer: remote})
	if !errors.Is(err, gone) {
		t.Fatalf("left while waiting: %v", err)
	}
}

// TestManyAttemptsAtOnceAreRefused: who would wait too long is told no, with
// the same kind of answer and without a hash.
func TestManyAttemptsAtOnceAreRefused(t *testing.T) {
	r := newRig(t, nil)
	if _, _, err := r.login(t, "alice", "wrong", remote); err == nil {
		t.Fatal("logged in")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	const attempts = 60 // 250 ms apart, 8 s hold 32 of them
	refused := make(chan error, attempts)
	for i := range attempts {
		wg.Go(func() {
			_, err := r.Authenticate(ctx, auth.Credentials{User: "alice", Password: secret.New(fmt.Sprint(i)), Peer: remote})
			if !errors.Is(err, context.Canceled) {
				refused <- err
			}
		})
	}
	r.clock.BlockUntil(32)
	for range attempts - 32 {
		if err := <-refused; err.Error() != "user 'alice' - too many failed logins" || auth.KindOf(err) != auth.Refused {
			t.Fatal(err)
		}
	}
	if n := r.Stats().Hashes; n != 1 {
		t.Errorf("%d hashes", n)
	}
	cancel()
	wg.Wait()
}

// TestEqualAttemptsShareAHash: a crowd of one user's clients costs one hash.
func TestEqualAttemptsShareAHash(t *testing.T) {
	r := newRig(t, func(o *auth.VerifierOptions) { o.Queue = -1 })
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, _, err := r.login(t, "alice", rightPassword, remote); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := r.Stats(); s.Hashes != 1 || s.Busy != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestNewVerifierNeedsItsParts(t *testing.T) {
	if _, err := auth.NewVerifier(auth.VerifierOptions{}); err == nil {
		t.Fatal("made without anything")
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, password := range []string{rightPassword, "wrong"} {
		b.Run("password="+strings.ReplaceAll(password, " ", "_"), func(b *testing.B) {
			r := newRig(b, nil)
			b.ReportAllocs()
			for range b.N {
				r.clock.Advance(time.Minute)
				_, _, _ = r.login(b, "alice", password, remote)
			}
		})
	}
}
