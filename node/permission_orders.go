package node

import (
	"context"
	"strings"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/core/catalog"
)

// known says which of a user and a vhost does not exist, the user first.
func (n *Node) known(q admin.PermissionOf) error {
	v := n.catalog.View()
	switch {
	case v.User(q.User) == nil:
		return admin.NotFoundf(admin.UserThing, q.User)
	case v.VHost(q.VHost) == nil:
		return admin.NotFoundf(admin.VHostThing, q.VHost)
	}
	return nil
}

// patterns says which of some patterns can not be used.
func patterns(texts ...string) error {
	for _, text := range texts {
		if err := auth.ValidatePattern(text); err != nil {
			return &admin.Error{Kind: admin.Invalid, Thing: admin.PermissionThing, Name: text, Text: strings.TrimPrefix(err.Error(), "auth: ")}
		}
	}
	return nil
}

// SetPermission implements admin.PermissionOrders.
func (n *Node) SetPermission(ctx context.Context, q admin.NewPermission) (admin.Done, error) {
	if err := n.known(q.PermissionOf); err != nil {
		return admin.Done{}, err
	}
	if err := patterns(q.Configure, q.Write, q.Read); err != nil {
		return admin.Done{}, err
	}
	cmd := &catalog.SetPermission{User: q.User, VHost: q.VHost, Configure: q.Configure, Write: q.Write, Read: q.Read}
	if _, err := n.order(ctx, cmd, q.User); err != nil {
		return admin.Done{}, err
	}
	n.log.Info("permissions set", "user", q.User, "vhost", q.VHost)
	return admin.Done{}, nil
}

// ClearPermission implements admin.PermissionOrders.
func (n *Node) ClearPermission(ctx context.Context, q admin.PermissionOf) (admin.Done, error) {
	if err := n.known(q); err != nil {
		return admin.Done{}, err
	}
	if _, err := n.order(ctx, &catalog.ClearPermission{User: q.User, VHost: q.VHost}, q.User); err != nil && !lacked(err) {
		return admin.Done{}, err
	}
	n.log.Info("permissions cleared", "user", q.User, "vhost", q.VHost)
	return admin.Done{}, nil
}

// lacked reports whether there was no permission to clear.
func lacked(err error) bool {
	e, ok := err.(*admin.Error) //nolint:errorlint // order wraps none
	return ok && e.Thing == admin.PermissionThing
}

// SetTopicPermission implements admin.PermissionOrders.
func (n *Node) SetTopicPermission(ctx context.Context, q admin.NewTopicPermission) (admin.Done, error) {
	if err := n.known(q.PermissionOf); err != nil {
		return admin.Done{}, err
	}
	if err := patterns(q.Write, q.Read); err != nil {
		return admin.Done{}, err
	}
	cmd := &catalog.SetTopicPermission{User: q.User, VHost: q.VHost, Exchange: q.Exchange, Write: q.Write, Read: q.Read}
	if _, err := n.order(ctx, cmd, q.User); err != nil {
		return admin.Done{}, err
	}
	n.log.Info("topic permissions set", "user", q.User, "vhost", q.VHost)
	return admin.Done{}, nil
}

// ClearTopicPermission implements admin.PermissionOrders.
func (n *Node) ClearTopicPermission(ctx context.Context, q admin.TopicPermissionOf) (admin.Done, error) {
	if err := n.known(q.PermissionOf); err != nil {
		return admin.Done{}, err
	}
	cmd := &catalog.ClearTopicPermission{User: q.User, VHost: q.VHost, Exchange: q.Exchange, All: q.Exchange == ""}
	if _, err := n.order(ctx, cmd, q.User); err != nil && !lacked(err) {
		return admin.Done{}, err
	}
	n.log.Info("topic permissions cleared", "user", q.User, "vhost", q.VHost)
	return admin.Done{}, nil
}
