package auth_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/secret"
)

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		name, response string
		kind           auth.ErrorKind
	}{
		{"right", "\x00alice\x00" + rightPassword, 0},
		{"acting as another is ignored", "root\x00alice\x00" + rightPassword, 0},
		{"wrong", "\x00alice\x00wrong", auth.Refused},
		{"blank", "\x00alice\x00", auth.Refused},
		{"guest from afar", "\x00guest\x00" + rightPassword, auth.Refused},
		{"empty", "", auth.Malformed},
		{"two parts", "alice\x00" + rightPassword, auth.Malformed},
		{"four parts", "\x00alice\x00" + rightPassword + "\x00", auth.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			conv, err := newRig(t, nil).Begin(auth.Plain, remote)
			if err != nil {
				t.Fatal(err)
			}
			s, err := conv.Step(t.Context(), []byte(c.response))
			if auth.KindOf(err) != c.kind || (err == nil) != s.Done || s.Done && s.Identity.User != "alice" {
				t.Fatalf("%+v, %v", s, err)
			}
			if _, err := conv.Step(t.Context(), []byte("\x00alice\x00"+rightPassword)); auth.KindOf(err) != auth.Malformed {
				t.Fatalf("a second response: %v", err)
			}
		})
	}
}

func TestUnknownMechanism(t *testing.T) {
	for _, m := range []string{"", "plain", "CRAM-MD5", "ANONYMOUS", "EXTERNAL"} {
		_, err := newRig(t, nil).Begin(m, remote)
		if auth.KindOf(err) != auth.NoMechanism || err.Error() != "unknown authentication mechanism '"+m+"'" {
			t.Errorf("%q: %v", m, err)
		}
	}
}

func scramClient(t *testing.T, mechanism, user, password, authzid string) *scram.ClientConversation {
	t.Helper()
	hash := scram.SHA256
	if mechanism == auth.ScramSHA512 {
		hash = scram.SHA512
	}
	c, err := hash.NewClient(user, password, authzid)
	if err != nil {
		t.Fatal(err)
	}
	return c.NewConversation()
}

// exchange runs a whole SCRAM exchange with a foreign client. It returns the
// server's first message, and its outcome.
func exchange(t *testing.T, r *rig, mechanism string, client *scram.ClientConversation, peer netip.AddrPort) (string, auth.Step, error) {
	t.Helper()
	conv, err := r.Begin(mechanism, peer)
	if err != nil {
		t.Fatal(err)
	}
	toServer, err := client.Step("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := conv.Step(t.Context(), []byte(toServer))
	if err != nil {
		return "", s, err
	}
	first := string(s.Challenge)
	if toServer, err = client.Step(first); err != nil {
		t.Fatal(err)
	}
	s, err = conv.Step(t.Context(), []byte(toServer))
	if err == nil {
		if _, err := client.Step(string(s.Challenge)); err != nil || !client.Valid() {
			t.Fatalf("the client does not trust the server: %v", err)
		}
	}
	if _, err := conv.Step(t.Context(), []byte(toServer)); auth.KindOf(err) != auth.Malformed {
		t.Fatalf("a third message: %v", err)
	}
	return first, s, err
}

func TestScram(t *testing.T) {
	imported, err := auth.ImportRabbitMQ(secret.New("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, mechanism := range []string{auth.ScramSHA256, auth.ScramSHA512} {
		for _, c := range []struct {
			name, user, password, authzid string
			peer                          netip.AddrPort
			want                          string
		}{
			{"right", "alice", rightPassword, "", remote, ""},
			{"acting as oneself", "alice", rightPassword, "alice", remote, ""},
			{"wrong", "alice", "wrong", "", remote, "user 'alice' - invalid credentials"},
			{"blank", "alice", "", "", remote, "user 'alice' - invalid credentials"},
			{"unknown", "bob", "x", "", remote, "user 'bob' - invalid credentials"},
			{"unknown and blank", "bob", "", "", remote, "user 'bob' - invalid credentials"},
			{"no password", "cert", "", "", remote, "user 'cert' - invalid credentials"},
			{"imported, not rehashed yet", "carol", "test12", "", remote, "user 'carol' - invalid credentials"},
			{"acting as another", "alice", rightPassword, "root", remote, "user 'alice' - may not act as another"},
			{"guest here", "guest", rightPassword, "", local, ""},
			{"guest elsewhere", "guest", rightPassword, "", remote, "user 'guest' - can only connect via localhost"},
			{"a name to escape", "a=b,c", "x", "", remote, "user 'a=b,c' - invalid credentials"},
		} {
			t.Run(mechanism+"/"+c.name, func(t *testing.T) {
				r := newRig(t, nil)
				r.catalog.setUser("cert", secret.String{})
				r.catalog.setUser("carol", imported)
				client := scramClient(t, mechanism, c.user, c.password, c.authzid)
				_, s, err := exchange(t, r, mechanism, client, c.peer)
				if r.Stats().Hashes != 0 {
					t.Error("a password was hashed")
				}
				if c.want != "" {
					if auth.KindOf(err) != auth.Refused || err.Error() != c.want || s.Done {
						t.Fatalf("%+v, %v", s, err)
					}
					return
				}
				if err != nil || !s.Done || s.Identity.User != c.user || s.Identity.Mechanism != mechanism {
					t.Fatalf("%+v, %v", s, err)
				}
			})
		}
	}
}

// X22: TestScramHidesWhoExists: salts of users who do not exist look like others,
// stay the same and differ from each other.
func TestScramHidesWhoExists(t *testing.T) {
	key := secret.New("the cluster's key")
	salt := func(seed uint64, user string) string {
		r := newRig(t, func(o *auth.VerifierOptions) { o.SaltKey, o.Rand = key, newRandom(seed) })
		first, _, err := exchange(t, r, auth.ScramSHA256, scramClient(t, auth.ScramSHA256, user, "x", ""), remote)
		if auth.KindOf(err) != auth.Refused {
			t.Fatal(err)
		}
		parts := strings.Split(first, ",")
		if len(parts) != 3 || parts[2] != "i=4096" {
			t.Fatal(first)
		}
		return parts[1]
	}
	alice, bob, carl := salt(1, "alice"), salt(2, "bob"), salt(3, "carl")
	if bob != salt(4, "bob") {
		t.Error("another verifier with the same key shows another salt")
	}
	if bob == carl || len(alice) != len(bob) {
		t.Error("made-up salts are not like real ones")
	}
}

func TestScramSeesChangesAndFailures(t *testing.T) {
	r := newRig(t, nil)
	conv, err := r.Begin(auth.ScramSHA256, remote)
	if err != nil {
		t.Fatal(err)
	}
	client := scramClient(t, auth.ScramSHA256, "alice", rightPassword, "")
	first, err := client.Step("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := conv.Step(t.Context(), []byte(first))
	if err != nil {
		t.Fatal(err)
	}
	last, err := client.Step(string(s.Challenge))
	if err != nil {
		t.Fatal(err)
	}
	text, err := record()
	if err != nil {
		t.Fatal(err)
	}
	r.catalog.setUser("alice", text) // changed in between
	if _, err := conv.Step(t.Context(), []byte(last)); auth.KindOf(err) != auth.Refused {
		t.Fatalf("the user changed on the way: %v", err)
	}
	// That failure delays the next attempt, by whatever mechanism.
	done := make(chan error, 1)
	go func() {
		_, _, err := exchange(t, r, auth.ScramSHA256, scramClient(t, auth.ScramSHA256, "alice", rightPassword, ""), remote)
		done <- err
	}()
	r.clock.BlockUntil(1)
	r.clock.Advance(250 * time.Millisecond)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestScramMalformed(t *testing.T) {
	for _, first := range []string{"", "n", "n,,", "n,,n=alice", "n,,n=,r=x", "p=tls-unique,,n=alice,r=x", "n,,m=ext,n=alice,r=x", "n,,n=al=ice,r=x", strings.Repeat("x", 5000)} {
		conv, err := newRig(t, nil).Begin(auth.ScramSHA256, remote)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conv.Step(t.Context(), []byte(first))
		if k := auth.KindOf(err); k != auth.Malformed && k != auth.Refused {
			t.Errorf("%.20q: %v", first, err)
		}
		if _, err := conv.Step(t.Context(), []byte("c=biws,r=x,p=x")); auth.KindOf(err) != auth.Malformed {
			t.Errorf("%.20q: the exchange goes on: %v", first, err)
		}
	}
	for _, last := range []string{"", "c=biws", "c=biws,r=other,p=AAAA", "c=AAAA,r=x,p=AAAA"} {
		conv, err := newRig(t, nil).Begin(auth.ScramSHA256, remote)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = conv.Step(t.Context(), []byte("n,,n=alice,r=x")); err != nil {
			t.Fatal(err)
		}
		if _, err = conv.Step(t.Context(), []byte(last)); auth.KindOf(err) != auth.Refused {
			t.Errorf("%q: %v", last, err)
		}
	}
}
