package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
)

// operations is the node as operators see it: each resource is a file.
type operations struct{ *Node }

var _ admin.Operations = operations{}

// vhost returns a vhost that has to exist.
func (o operations) vhost(name string) (*catalog.VHost, error) {
	if h := o.catalog.View().VHost(name); h != nil {
		return h, nil
	}
	return nil, admin.NotFoundf(admin.VHostThing, name)
}

// told turns an error of the broker into one that operators are told.
func told(err error) error {
	var e *broker.Error
	if !errors.As(err, &e) {
		return err
	}
	kind, ok := map[broker.Kind]admin.Kind{
		broker.NotFound: admin.NotFound, broker.Mismatch: admin.Exists, broker.Invalid: admin.Invalid,
		broker.Denied: admin.Denied, broker.Locked: admin.Denied, broker.Reserved: admin.Denied,
		broker.InUse: admin.InUse, broker.ExclusiveUse: admin.InUse, broker.NotEmpty: admin.NotEmpty,
		broker.TooLarge: admin.Invalid, broker.OverLimit: admin.Denied, broker.Unavailable: admin.Unavailable,
	}[e.Kind]
	if !ok {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		kind = admin.Timeout
	}
	return &admin.Error{Kind: kind, Thing: admin.Thing(e.Resource), Name: e.Name, Text: err.Error()}
}

// pid names something of this life of the node in the form of RabbitMQ's
// process identifiers: the node, when it started, two numbers. A connection's
// are its session and 0, a channel's its session and channel, a queue's 0 and
// its id.
func (o operations) pid(id, serial uint64) string {
	return fmt.Sprintf("<%s.%d.%d.%d>", o.o.Name, o.inc.Load().Started/1000, id, serial)
}

// session returns the session that a pid of a connection names.
func (o operations) session(pid string) (number uint64, err error) {
	bad := admin.Invalidf("'%s' names no connection: want what list_connections pid prints", pid)
	rest, ok := strings.CutPrefix(strings.TrimSuffix(pid, ">"), "<"+o.o.Name+".")
	parts := strings.Split(rest, ".")
	if !strings.HasPrefix(pid, "<") || !strings.HasSuffix(pid, ">") {
		return 0, bad
	}
	if !ok || len(parts) != 3 || parts[0] != strconv.FormatInt(o.inc.Load().Started/1000, 10) {
		return 0, admin.NotFoundf(admin.ConnectionThing, pid) // another node's, or of another life
	}
	if number, err = strconv.ParseUint(parts[1], 10, 64); err != nil || number == 0 || parts[2] != "0" {
		return 0, bad
	}
	return number, nil
}
