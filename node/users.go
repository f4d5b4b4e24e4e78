package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
)

// Users implements admin.Users.
func (o operations) Users(context.Context, admin.UserQuery) iter.Seq2[admin.User, error] {
	return func(yield func(admin.User, error) bool) {
		for u := range o.catalog.View().Users() {
			if !yield(admin.User{Name: u.Name, Tags: append([]string{}, u.Tags...)}, nil) {
				return
			}
		}
	}
}

// named checks that what a question names is there.
func named(v *catalog.View, q admin.PermissionQuery) error {
	switch {
	case q.VHost != "" && v.VHost(q.VHost) == nil:
		return admin.NotFoundf(admin.VHostThing, q.VHost)
	case q.User != "" && v.User(q.User) == nil:
		return admin.NotFoundf(admin.UserThing, q.User)
	}
	return nil
}

// Permissions implements admin.Users.
func (o operations) Permissions(_ context.Context, q admin.PermissionQuery) iter.Seq2[admin.Permission, error] {
	return func(yield func(admin.Permission, error) bool) {
		v := o.catalog.View()
		if err := named(v, q); err != nil {
			yield(admin.Permission{}, err)
			return
		}
		for p := range v.Permissions() {
			h := v.VHostByID(p.VHost)
			if h == nil || q.User != "" && q.User != p.User || q.VHost != "" && q.VHost != h.Name {
				continue
			}
			if !yield(admin.Permission{User: p.User, VHost: h.Name, Configure: p.Configure, Write: p.Write, Read: p.Read}, nil) {
				return
			}
		}
	}
}

// TopicPermissions implements admin.Users.
func (o operations) TopicPermissions(_ context.Context, q admin.PermissionQuery) iter.Seq2[admin.TopicPermission, error] {
	return func(yield func(admin.TopicPermission, error) bool) {
		v := o.catalog.View()
		if err := named(v, q); err != nil {
			yield(admin.TopicPermission{}, err)
			return
		}
		for p := range v.TopicPermissions() {
			h := v.VHostByID(p.VHost)
			if h == nil || q.User != "" && q.User != p.User || q.VHost != "" && q.VHost != h.Name {
				continue
			}
			if !yield(admin.TopicPermission{User: p.User, VHost: h.Name, Exchange: p.Exchange, Write: p.Write, Read: p.Read}, nil) {
				return
			}
		}
	}
}
