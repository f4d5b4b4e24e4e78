package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/internal/secret"
)

func splitTags(s string) (out []string) {
	for t := range strings.SplitSeq(s, ",") {
		out = append(out, strings.TrimSpace(t))
	}
	return out
}

// ExportDefinitions implements admin.Definitions.
func (n *Node) ExportDefinitions(context.Context) (json.RawMessage, error) {
	return n.exportDefinitions(n.catalog.View())
}

// ImportDefinitions implements admin.Definitions. The document is read and
// checked before anything is made; what is made then stays if a later thing
// fails, and importing the document again goes on.
func (n *Node) ImportDefinitions(ctx context.Context, document json.RawMessage) (admin.Imported, error) {
	x := importer{n: n, ctx: ctx, done: admin.Imported{Made: map[string]int{}}}
	if err := json.Unmarshal(document, &x.d); err != nil {
		return x.done, admin.Invalidf("Failed to deserialise input (format: JSON): %v", err)
	}
	if err := x.check(); err != nil {
		return x.done, err
	}
	for _, step := range []func() error{
		x.vhosts, x.users, x.permissions, x.parameters, x.policies, x.exchanges, x.queues, x.bindings,
	} {
		if err := step(); err != nil {
			return x.done, err
		}
	}
	n.log.Info("definitions imported", "text", fmt.Sprint(x.done.Made))
	return x.done, nil
}

// An importer makes what a document names.
type importer struct {
	n    *Node
	ctx  context.Context //nolint:containedctx // it lives for one call
	d    definitions
	mu   sync.Mutex // guards done
	done admin.Imported
}

// atOnce is how many declarations are under way at the same time: they share
// the syncs of the catalog's log.
const atOnce = 256

// each calls f for every index below n, many at the same time.
func (x *importer) each(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, min(n, atOnce))
	for k := range errs {
		wg.Go(func() {
			for errs[k] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[k] = x.ctx.Err(); errs[k] == nil {
					errs[k] = f(i)
				}
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...) //nolint:wrapcheck // they are our own
}

func (x *importer) made(kind string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done.Made[kind]++
}

// mostKept bounds what is named of what stayed as it was.
const mostKept = 100

func (x *importer) keep(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.done.Kept) < mostKept {
		x.done.Kept = append(x.done.Kept, fmt.Sprintf(format, args...))
	}
}

func (x *importer) ignore(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.done.Ignored) < mostKept {
		x.done.Ignored = append(x.done.Ignored, fmt.Sprintf(format, args...))
	}
}

// check finds what is wrong with names before anything is made.
func (x *importer) check() error {
	known := map[string]bool{}
	for h := range x.n.catalog.View().VHosts() {
		known[h.Name] = true
	}
	for _, h := range x.d.VHosts {
		if err := auth.ValidateName(h.Name); err != nil {
			x.ignore("vhost '%s': %v", h.Name, err)
			continue
		}
		known[h.Name] = true
	}
	in := func(what, name, vhost string) error {
		if !known[vhost] {
			return &admin.Error{
				Kind: admin.NotFound, Thing: admin.VHostThing, Name: vhost,
				Text: fmt.Sprintf("%s '%s' is in vhost '%s', which does not exist", what, name, vhost),
			}
		}
		return nil
	}
	for _, q := range x.d.Queues {
		if err := nameable("queue", q.Name); err != nil {
			return err
		}
		if err := in("queue", q.Name, q.VHost); err != nil {
			return err
		}
	}
	for _, e := range x.d.Exchanges {
		if err := nameable("exchange", e.Name); err != nil {
			return err
		}
		if err := in("exchange", e.Name, e.VHost); err != nil {
			return err
		}
	}
	for _, b := range x.d.Bindings {
		if len(b.RoutingKey) > longestName {
			return admin.Invalidf("a binding of exchange '%s' has a routing key of %d bytes, at most %d can be", shortened(b.Source), len(b.RoutingKey), longestName)
		}
	}
	for _, p := range x.d.Policies {
		if err := in("policy", p.Name, p.VHost); err != nil {
			return err
		}
	}
	for _, u := range x.d.Users {
		if err := auth.ValidateName(u.Name); err != nil {
			return admin.Invalidf("user '%s': %v", u.Name, err)
		}
		if _, err := importedRecord(&u); err != nil {
			return admin.Invalidf("user '%s': %v", u.Name, err)
		}
	}
	return nil
}

// longestName is how long a name or key of AMQP can be.
const longestName = 255

// nameable says why a queue or exchange can not have a name: no client could
// name it.
func nameable(what, name string) error {
	if name == "" || len(name) > longestName {
		return admin.Invalidf("the name of %s '%s' has %d bytes: there must be 1 to %d", what, shortened(name), len(name), longestName)
	}
	return nil
}

// shortened returns a name as it may be repeated in an error.
func shortened(name string) string {
	if len(name) > longestName {
		return name[:longestName] + "..."
	}
	return name
}

// importedRecord returns a user's password record; with a password in clear
// none yet.
func importedRecord(u *userDef) (secret.String, error) {
	hash := secret.New(u.PasswordHash)
	switch {
	case u.PasswordHash == "":
		return secret.String{}, nil
	case u.HashingAlgorithm == ourRecord:
		return hash, auth.ValidateRecord(hash)
	}
	return auth.ImportRabbitMQ(hash, u.HashingAlgorithm)
}

func (x *importer) vhosts() error {
	for _, h := range x.d.VHosts {
		if auth.ValidateName(h.Name) != nil {
			continue
		}
		meta := vhostMeta{
			Description: cmp.Or(h.Metadata.Description, h.Description),
			QueueType:   cmp.Or(h.Metadata.DefaultQueueType, h.DefaultQueueType),
			Tags:        append(tags(h.Metadata.Tags), tags(h.Tags)...),
		}
		meta.Tags = tags(meta.Tags)
		if meta.QueueType == "undefined" {
			meta.QueueType = ""
		}
		r, err := x.n.order(x.ctx, &catalog.AddVHost{Name: h.Name, Attrs: vhostAttrs(nil, meta)}, h.Name)
		if err == nil && r.Code == catalog.Existed {
			err = x.describe(h.Name, meta)
		}
		if err != nil {
			return err
		}
		x.made("vhosts")
		if limits := limitsObject(h.Limits); limits != nil {
			if err := x.n.broker.Load().SetVHostLimits(x.ctx, h.Name, limits); err != nil {
				return about(err, "limits of vhost '%s'", h.Name)
			}
		}
	}
	return nil
}

// describe gives a vhost that exists what the document says of it, if it says
// anything.
func (x *importer) describe(vhost string, meta vhostMeta) error {
	if meta.Description == "" && meta.QueueType == "" && len(meta.Tags) == 0 {
		return nil
	}
	x.n.orders.Lock()
	defer x.n.orders.Unlock()
	h := x.n.catalog.View().VHost(vhost)
	if h == nil {
		return admin.NotFoundf(admin.VHostThing, vhost)
	}
	_, err := x.n.order(x.ctx, &catalog.SetVHost{Name: vhost, Attrs: vhostAttrs(h.Attrs, meta)}, vhost)
	return err
}

// limitsObject reads limits in any of the forms that RabbitMQ writes: an object,
// a list of pairs, a list of objects with name and value. Nil: there are none.
func limitsObject(text json.RawMessage) json.RawMessage {
	out := map[string]json.RawMessage{}
	var pairs [][2]json.RawMessage
	var named []struct {
		Name  string          `json:"name"`
		Value json.RawMessage `json:"value"`
	}
	switch {
	case len(text) == 0:
	case json.Unmarshal(text, &out) == nil:
	case json.Unmarshal(text, &pairs) == nil:
		for _, p := range pairs {
			var name string
			if json.Unmarshal(p[0], &name) == nil {
				out[name] = p[1]
			}
		}
	case json.Unmarshal(text, &named) == nil:
		for _, p := range named {
			out[p.Name] = p.Value
		}
	}
	if len(out) == 0 {
		return nil
	}
	object, err := json.Marshal(out)
	if err != nil {
		return nil // it was read from JSON
	}
	return object
}

func (x *importer) users() error {
	for _, u := range x.d.Users {
		record, err := importedRecord(&u)
		if err != nil {
			return admin.Invalidf("user '%s': %v", u.Name, err)
		}
		text := []byte(record.Reveal())
		if u.PasswordHash == "" && u.Password != "" {
			if text, err = x.n.record(x.ctx, secret.New(u.Password)); err != nil {
				return err
			}
		}
		x.n.orders.Lock()
		_, err = x.n.order(x.ctx, &catalog.SetUser{Name: u.Name, Password: text, Tags: tags(u.Tags)}, u.Name)
		x.n.orders.Unlock()
		if err != nil {
			return err
		}
		x.made("users")
		if limits := limitsObject(u.Limits); limits != nil {
			if err := x.n.broker.Load().SetUserLimits(x.ctx, u.Name, limits); err != nil {
				return about(err, "limits of user '%s'", u.Name)
			}
		}
	}
	return nil
}

func (x *importer) permissions() error {
	for _, p := range x.d.Permissions {
		q := admin.NewPermission{PermissionOf: admin.PermissionOf{User: p.User, VHost: p.VHost}, Configure: p.Configure, Write: p.Write, Read: p.Read}
		if _, err := x.n.SetPermission(x.ctx, q); err != nil {
			return about(err, "permissions of user '%s' in vhost '%s'", p.User, p.VHost)
		}
		x.made("permissions")
	}
	for _, p := range x.d.TopicPermissions {
		of := admin.TopicPermissionOf{PermissionOf: admin.PermissionOf{User: p.User, VHost: p.VHost}, Exchange: p.Exchange}
		if _, err := x.n.SetTopicPermission(x.ctx, admin.NewTopicPermission{TopicPermissionOf: of, Write: p.Write, Read: p.Read}); err != nil {
			return about(err, "topic permissions of user '%s' in vhost '%s'", p.User, p.VHost)
		}
		x.made("topic_permissions")
	}
	return nil
}

func (x *importer) parameters() error {
	b := x.n.broker.Load()
	for _, p := range x.d.Parameters {
		var err error
		switch p.Component {
		case operatorPolicy:
			var def policyDef
			if err = json.Unmarshal(p.Value, &def); err == nil {
				def.Name, def.VHost = p.Name, p.VHost
				err = x.policy(def, true)
			}
		case vhostLimits:
			if limits := limitsObject(p.Value); limits != nil {
				err = b.SetVHostLimits(x.ctx, p.VHost, limits)
			}
		default:
			// Kept for the release that knows what it is for, and for the way back.
			_, err = x.n.order(x.ctx, &catalog.SetParameter{VHost: p.VHost, Component: p.Component, Name: p.Name, Value: compact(p.Value)}, p.VHost)
			x.ignore("parameter '%s' of component %s in vhost '%s': it is kept, and does nothing in this version", p.Name, p.Component, p.VHost)
		}
		if err != nil {
			return about(err, "parameter '%s' of component %s", p.Name, p.Component)
		}
		x.made("parameters")
	}
	for _, p := range x.d.GlobalParameters {
		if err := b.SetGlobalParameter(x.ctx, p.Name, compact(p.Value)); err != nil {
			return about(err, "global parameter '%s'", p.Name)
		}
		x.made("global_parameters")
	}
	return nil
}

// compact takes the blanks out of JSON.
func compact(text json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return text
	}
	return out.Bytes()
}

func (x *importer) policies() error {
	for _, p := range x.d.Policies {
		if err := x.policy(p, false); err != nil {
			return about(err, "policy '%s' in vhost '%s'", p.Name, p.VHost)
		}
		x.made("policies")
	}
	return nil
}

func (x *importer) policy(p policyDef, operator bool) error {
	said, err := x.n.broker.Load().SetPolicy(x.ctx, broker.Policy{
		VHost: p.VHost, Name: p.Name, Operator: operator, Pattern: p.Pattern, ApplyTo: p.ApplyTo, Priority: p.Priority, Definition: p.Definition,
	})
	for _, text := range said {
		x.n.log.Info("what a policy means", "vhost", p.VHost, "kind", p.Name, "text", text)
	}
	return err
}

// kept reports whether an error says that something exists with other
// properties: it stays, as RabbitMQ leaves it.
func (x *importer) kept(err error, what, name, vhost string) error {
	var e *broker.Error
	if errors.As(err, &e) && e.Kind == broker.Mismatch {
		x.keep("%s '%s' in vhost '%s' exists with another %s and stays as it is", what, name, vhost, e.Arg)
		return nil
	}
	if err != nil {
		return about(err, "%s '%s' in vhost '%s'", what, name, vhost)
	}
	return nil
}

func (x *importer) exchanges() error {
	return x.each(len(x.d.Exchanges), func(i int) error {
		e := &x.d.Exchanges[i]
		args, err := tableOf(e.Arguments)
		if err == nil {
			err = x.n.broker.Load().System(e.VHost).DeclareExchange(x.ctx, broker.ExchangeOptions{
				Name: e.Name, Type: e.Type, Durable: e.Durable, AutoDelete: e.AutoDelete, Internal: e.Internal, Args: args,
			})
		}
		if err := x.kept(err, "exchange", e.Name, e.VHost); err != nil {
			return err
		}
		x.made("exchanges")
		return nil
	})
}

func (x *importer) queues() error {
	return x.each(len(x.d.Queues), func(i int) error {
		q := &x.d.Queues[i]
		args, err := tableOf(q.Arguments)
		if err == nil {
			_, err = x.n.broker.Load().System(q.VHost).DeclareQueue(x.ctx, broker.QueueOptions{
				Name: q.Name, Durable: q.Durable, AutoDelete: q.AutoDelete, Args: args, NoCounts: true,
			})
		}
		if err := x.kept(err, "queue", q.Name, q.VHost); err != nil {
			return err
		}
		x.made("queues")
		return nil
	})
}

func (x *importer) bindings() error {
	return x.each(len(x.d.Bindings), func(i int) error {
		b := &x.d.Bindings[i]
		args, err := tableOf(b.Arguments)
		if err == nil {
			to := exchange.Queue
			if b.DestinationType == "exchange" {
				to = exchange.Exchange
			}
			err = x.n.broker.Load().System(b.VHost).Bind(x.ctx, broker.Binding{
				To: to, Destination: b.Destination, Source: b.Source, Key: b.RoutingKey, Args: args,
			})
		}
		var e *broker.Error
		switch {
		case errors.As(err, &e) && e.Kind == broker.NotFound:
			// RabbitMQ's own documents name bindings of exchanges that they leave out.
			x.ignore("binding from '%s' to %s '%s' in vhost '%s': one of them is not there", b.Source, b.DestinationType, b.Destination, b.VHost)
		case err != nil:
			return about(err, "binding from '%s' to %s '%s' in vhost '%s'", b.Source, b.DestinationType, b.Destination, b.VHost)
		default:
			x.made("bindings")
		}
		return nil
	})
}

// about says an error in an operator's terms, and what it is about.
func about(err error, format string, args ...any) error {
	e := *brokerError(err)
	e.Text = fmt.Sprintf(format, args...) + ": " + strings.TrimSpace(e.Text)
	return &e
}

// brokerError says an error in an operator's terms.
func brokerError(err error) *admin.Error {
	var told *admin.Error
	var e *broker.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &admin.Error{Kind: admin.Timeout, Text: "the node took too long"}
	case !errors.As(err, &e):
		return &admin.Error{Kind: admin.Invalid, Text: err.Error()}
	}
	out := &admin.Error{Kind: admin.Internal, Thing: admin.Thing(e.Resource), Name: e.Name, Text: e.Detail}
	switch e.Kind {
	case broker.NotFound:
		return admin.NotFoundf(out.Thing, e.Name)
	case broker.Invalid, broker.Mismatch, broker.Reserved, broker.TooLarge, broker.OverLimit:
		out.Kind = admin.Invalid
	case broker.Unavailable:
		out.Kind = admin.Unavailable
	}
	switch {
	case out.Text == "":
		out.Text = e.Error()
	case e.Arg != "":
		out.Text = e.Arg + ": " + out.Text
	}
	return out
}
