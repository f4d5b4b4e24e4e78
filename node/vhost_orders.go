package node

import (
	"context"
	"slices"
	"strings"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// Attributes of a vhost.
const (
	attrDescription = "description"
	attrTags        = "tags"
	attrQueueType   = "default-queue-type"
)

// queueTypes are what a vhost may have as the default of its queues.
func queueTypes() []string { return []string{"classic", "quorum"} }

// AddVHost implements admin.VHostOrders.
func (n *Node) AddVHost(ctx context.Context, q admin.NewVHost) (admin.Done, error) {
	if err := auth.ValidateName(q.Name); err != nil {
		return admin.Done{}, admin.Invalidf("%v", err)
	}
	if q.DefaultQueueType != "" && !slices.Contains(queueTypes(), q.DefaultQueueType) {
		return admin.Done{}, &admin.Error{
			Kind: admin.Invalid, Thing: admin.QueueThing, Name: q.DefaultQueueType,
			Text: "the default queue type must be one of " + strings.Join(queueTypes(), ", "),
		}
	}
	attrs := vhostAttrs(nil, vhostMeta{Description: q.Description, Tags: tags(q.Tags), QueueType: q.DefaultQueueType})
	if _, err := n.order(ctx, &catalog.AddVHost{Name: q.Name, Attrs: attrs}, q.Name); err != nil {
		return admin.Done{}, err
	}
	n.log.Info("vhost added", "vhost", q.Name)
	return admin.Done{}, nil
}

// SetVHostTags implements admin.VHostOrders.
func (n *Node) SetVHostTags(ctx context.Context, q admin.VHostTags) (admin.Done, error) {
	n.orders.Lock()
	defer n.orders.Unlock()
	h := n.catalog.View().VHost(q.Name)
	if h == nil {
		return admin.Done{}, admin.NotFoundf(admin.VHostThing, q.Name)
	}
	m := metaOf(h)
	m.Tags = tags(q.Tags)
	_, err := n.order(ctx, &catalog.SetVHost{Name: q.Name, Attrs: vhostAttrs(h.Attrs, m)}, q.Name)
	return admin.Done{}, err
}

// DeleteVHost implements admin.VHostOrders.
func (n *Node) DeleteVHost(ctx context.Context, q admin.VHostName) (admin.Done, error) {
	if _, err := n.order(ctx, &catalog.RemoveVHost{Name: q.Name}, q.Name); err != nil {
		return admin.Done{}, err
	}
	n.log.Info("vhost deleted", "vhost", q.Name)
	return admin.Done{}, nil
}

// vhostMeta is what operators say about a vhost.
type vhostMeta struct {
	Description, QueueType string
	Tags                   []string
}

func metaOf(h *catalog.VHost) (m vhostMeta) {
	text := func(name string) string {
		v, _ := h.Attrs.Lookup(name)
		s, _ := v.Text()
		return s
	}
	m.Description, m.QueueType = text(attrDescription), text(attrQueueType)
	v, _ := h.Attrs.Lookup(attrTags)
	for _, t := range v.Values(nil) {
		s, _ := t.Text()
		m.Tags = append(m.Tags, s)
	}
	return m
}

// vhostAttrs returns attributes with m in place of what they say of it.
func vhostAttrs(have message.Table, m vhostMeta) (out message.Table) {
	for _, f := range have.AppendFields(nil) {
		if name := string(f.Name); name != attrDescription && name != attrTags && name != attrQueueType {
			out = message.AppendFieldBytes(out, f.Name, f.Value)
		}
	}
	if m.Description != "" {
		out = message.AppendField(out, attrDescription, message.StringOf(m.Description))
	}
	if m.QueueType != "" {
		out = message.AppendField(out, attrQueueType, message.StringOf(m.QueueType))
	}
	if len(m.Tags) > 0 {
		var list []byte
		for _, t := range m.Tags {
			list = message.AppendValue(list, message.StringOf(t))
		}
		out = message.AppendField(out, attrTags, message.BytesOf(message.List, list))
	}
	return out
}
