package auth_test

import (
	"net/netip"
	"testing"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/secret"
)

// Who need not show a password must still exist, and guest must still be here
// (X19, X21).
func TestAdmit(t *testing.T) {
	for _, c := range []struct {
		name, user, mechanism string
		peer                  netip.AddrPort
		kind                  auth.ErrorKind
	}{
		{"by certificate", "cert", auth.External, remote, 0},
		{"anonymous", "alice", auth.Anonymous, remote, 0},
		{"unknown", "bob", auth.External, remote, auth.Refused},
		{"no name", "", auth.External, remote, auth.Refused},
		{"guest from elsewhere", "guest", auth.Anonymous, remote, auth.Refused},
		{"guest from here", "guest", auth.Anonymous, local, 0},
		{"by a mechanism that asks for a password", "alice", auth.Plain, remote, auth.NoMechanism},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.catalog.setUser("cert", secret.String{})
			id, err := r.Admit(auth.Credentials{User: c.user, Peer: c.peer, Mechanism: c.mechanism})
			if auth.KindOf(err) != c.kind || (err == nil) != (c.kind == 0) {
				t.Fatalf("%+v, %v", id, err)
			}
			if err == nil && (id.User != c.user || id.Mechanism != c.mechanism) || err != nil && id.User != "" {
				t.Errorf("%+v", id)
			}
		})
	}
}
