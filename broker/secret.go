package broker

import (
	"context"
	"errors"

	"github.com/warrenmq/warren/internal/secret"
)

// UpdateSecret checks another secret of the session's user, as Login would,
// and takes over what the user is tagged with now. If it is refused the
// session has to end: who asks for this says that the old one is over.
func (s *Session) UpdateSecret(ctx context.Context, mechanism string, password secret.String) error {
	denied := func(err error) error {
		return &Error{Kind: Denied, Resource: VHostResource, Name: s.vhost, VHost: s.vhost, User: s.ident.User, Op: "login", Err: err}
	}
	ident, err := s.b.Login(ctx, Credentials{User: s.ident.User, Password: password, Peer: s.info.Peer, Mechanism: mechanism})
	if err != nil {
		return denied(err)
	}
	if ident.User != s.ident.User {
		return denied(errors.New("the secret is of another user"))
	}
	s.ident.Tags = ident.Tags
	return nil
}
