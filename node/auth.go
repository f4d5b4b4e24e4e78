package node

import (
	"context"
	"crypto/rand"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/secret"
)

// directory shows the catalog to auth.
type directory struct{ v *catalog.View }

// User implements auth.Directory.
func (d directory) User(name string) (auth.User, bool) {
	u := d.v.User(name)
	if u == nil {
		return auth.User{}, false
	}
	return auth.User{Name: u.Name, Password: secret.New(string(u.Password)), Tags: u.Tags, Revision: u.Revision}, true
}

// Permission implements auth.Directory.
func (d directory) Permission(user, vhost string) (auth.Permission, bool) {
	h := d.v.VHost(vhost)
	if h == nil {
		return auth.Permission{}, false
	}
	p := d.v.Permission(user, h)
	if p == nil {
		return auth.Permission{}, false
	}
	return auth.Permission{Configure: p.Configure, Write: p.Write, Read: p.Read}, true
}

// TopicPermission implements auth.Directory.
func (d directory) TopicPermission(user, vhost, exchange string) (auth.TopicPermission, bool) {
	x := d.v.Exchange(vhost, exchange)
	if x == nil {
		return auth.TopicPermission{}, false
	}
	p := d.v.TopicPermission(user, x)
	if p == nil {
		return auth.TopicPermission{}, false
	}
	return auth.TopicPermission{Write: p.Write, Read: p.Read}, true
}

// VHost implements auth.Directory.
func (d directory) VHost(name string) bool { return d.v.VHost(name) != nil }

// PermissionRevision implements auth.Directory.
func (d directory) PermissionRevision() uint64 { return d.v.RightsRevision() }

// authority is broker.Auth over the verifier and the authoriser.
type authority struct {
	verifier   *auth.Verifier
	authorizer *auth.Authorizer
}

func (n *Node) newAuth() (*authority, error) {
	current := func() auth.Directory { return directory{n.catalog.View()} }
	v, err := auth.NewVerifier(auth.VerifierOptions{
		Directory: current, Clock: n.clock, Rand: rand.Reader, Logger: n.log,
		Upgrade: func(u auth.Upgrade) {
			have := n.catalog.View().User(u.User)
			if have == nil || have.Revision != u.Revision {
				return
			}
			n.catalog.Start(&catalog.SetUser{Name: u.User, Password: []byte(u.Record.Reveal()), Tags: have.Tags, Attrs: have.Attrs},
				func(catalog.Result, error) {})
		},
	})
	if err != nil {
		return nil, err
	}
	return &authority{v, auth.NewAuthorizer(auth.AuthorizerOptions{Directory: current, Logger: n.log})}, nil
}

// Login implements broker.Auth.
func (a *authority) Login(ctx context.Context, c broker.Credentials) (broker.Identity, error) {
	shown := auth.Credentials{User: c.User, Password: c.Password, Peer: c.Peer, Mechanism: c.Mechanism}
	if c.Proven {
		id, err := a.verifier.Admit(shown)
		return broker.Identity{User: id.User, Tags: id.Tags}, err
	}
	id, err := a.verifier.Authenticate(ctx, shown)
	return broker.Identity{User: id.User, Tags: id.Tags}, err
}

// Access implements broker.Auth.
func (a *authority) Access(user, vhost string) error { return a.authorizer.CanAccessVHost(user, vhost) }

// Check implements broker.Auth.
func (a *authority) Check(user, vhost, op string, r broker.Resource, name string) error {
	kind := auth.Queue
	if r == broker.ExchangeResource {
		kind = auth.Exchange
	}
	return a.authorizer.Check(user, vhost, operation(op), kind, name)
}

// CheckTopic implements broker.Auth.
func (a *authority) CheckTopic(user, vhost, op, exchange, key string) error {
	return a.authorizer.Session(auth.SessionOptions{User: user, VHost: vhost}).CheckTopic(operation(op), exchange, key)
}

func operation(op string) auth.Operation {
	switch op {
	case auth.Configure.String():
		return auth.Configure
	case auth.Write.String():
		return auth.Write
	default:
		return auth.Read
	}
}
