package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/secret"
)

// order performs a command that an operator asked for, and says in the
// operator's terms why it was not done.
func (n *Node) order(ctx context.Context, cmd catalog.Command, name string) (catalog.Result, error) {
	r, err := n.catalog.Do(ctx, cmd)
	switch {
	case err != nil && ctx.Err() != nil:
		return r, &admin.Error{Kind: admin.Timeout, Text: "the catalog took too long; whether the change was made is not known"}
	case err != nil:
		return r, &admin.Error{Kind: admin.Unavailable, Text: err.Error()}
	case r.Code == catalog.Done, r.Code == catalog.Existed:
		return r, nil
	case r.Code == catalog.NotFound:
		return r, admin.NotFoundf(admin.Thing(r.Missing.String()), name)
	}
	return r, fmt.Errorf("change the catalog: %s", r.Code)
}

// record makes what is stored of a password. An empty one logs nobody in.
func (n *Node) record(ctx context.Context, password secret.String) ([]byte, error) {
	if password.Empty() {
		return nil, nil
	}
	if err := auth.ValidatePassword(password); err != nil {
		return nil, admin.Invalidf("%v", err)
	}
	r, err := n.auth.verifier.NewRecord(ctx, password)
	if err != nil {
		return nil, fmt.Errorf("hash the password: %w", err)
	}
	return []byte(r.Reveal()), nil
}

// user returns a user that is to be changed. The caller holds n.orders.
func (n *Node) user(name string) (catalog.SetUser, error) {
	u := n.catalog.View().User(name)
	if u == nil {
		return catalog.SetUser{}, admin.NotFoundf(admin.UserThing, name)
	}
	return catalog.SetUser{Name: u.Name, Password: u.Password, Tags: u.Tags, Attrs: u.Attrs}, nil
}

// AddUser implements admin.UserOrders.
func (n *Node) AddUser(ctx context.Context, q admin.NewUser) (admin.Done, error) {
	if err := auth.ValidateName(q.Name); err != nil {
		return admin.Done{}, admin.Invalidf("%v", err)
	}
	if n.catalog.View().User(q.Name) != nil {
		return admin.Done{}, admin.Existsf(admin.UserThing, q.Name)
	}
	record, err := n.record(ctx, q.Password)
	if err != nil {
		return admin.Done{}, err
	}
	n.orders.Lock()
	defer n.orders.Unlock()
	if n.catalog.View().User(q.Name) != nil {
		return admin.Done{}, admin.Existsf(admin.UserThing, q.Name)
	}
	if _, err := n.order(ctx, &catalog.SetUser{Name: q.Name, Password: record, Tags: tags(q.Tags)}, q.Name); err != nil {
		return admin.Done{}, err
	}
	n.log.Info("user added", "user", q.Name)
	return admin.Done{}, nil
}

// ChangePassword implements admin.UserOrders.
func (n *Node) ChangePassword(ctx context.Context, q admin.UserPassword) (admin.Done, error) {
	record, err := n.record(ctx, q.Password)
	if err != nil {
		return admin.Done{}, err
	}
	return n.changeUser(ctx, q.Name, "password", func(u *catalog.SetUser) { u.Password = record })
}

// SetUserTags implements admin.UserOrders.
func (n *Node) SetUserTags(ctx context.Context, q admin.UserTags) (admin.Done, error) {
	return n.changeUser(ctx, q.Name, "tags", func(u *catalog.SetUser) { u.Tags = tags(q.Tags) })
}

// changeUser changes one user, while nobody else does.
func (n *Node) changeUser(ctx context.Context, name, what string, change func(*catalog.SetUser)) (admin.Done, error) {
	n.orders.Lock()
	defer n.orders.Unlock()
	u, err := n.user(name)
	if err != nil {
		return admin.Done{}, err
	}
	change(&u)
	if _, err := n.order(ctx, &u, name); err != nil {
		return admin.Done{}, err
	}
	n.log.Info("user changed", "user", name, "op", what)
	return admin.Done{}, nil
}

// tags returns each tag once, in the order given.
func tags(given []string) (out []string) {
	for _, t := range given {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// Authenticate implements admin.UserOrders.
func (n *Node) Authenticate(ctx context.Context, q admin.UserPassword) (admin.Done, error) {
	if q.Password.Empty() {
		return admin.Done{}, &admin.Error{
			Kind: admin.Denied, Thing: admin.UserThing, Name: q.Name,
			Text: fmt.Sprintf("user '%s' attempted to log in with a blank password, which is prohibited. Change the password of the user to be non-blank.", q.Name),
		}
	}
	here := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	_, err := n.auth.verifier.Authenticate(ctx, auth.Credentials{User: q.Name, Password: q.Password, Peer: here, Mechanism: auth.Plain})
	var refused *auth.Error
	switch {
	case err == nil:
		return admin.Done{}, nil
	case errors.As(err, &refused) && auth.KindOf(err) == auth.Refused:
		return admin.Done{}, &admin.Error{Kind: admin.Denied, Thing: admin.UserThing, Name: q.Name, Text: refused.Error()}
	}
	return admin.Done{}, &admin.Error{Kind: admin.Unavailable, Text: err.Error()}
}

// DeleteUser implements admin.UserOrders.
func (n *Node) DeleteUser(ctx context.Context, q admin.UserName) (admin.Done, error) {
	n.orders.Lock()
	_, err := n.order(ctx, &catalog.RemoveUser{Name: q.Name}, q.Name)
	n.orders.Unlock()
	if err != nil {
		return admin.Done{}, err
	}
	n.log.Info("user deleted", "user", q.Name)
	return admin.Done{}, nil
}
