package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/pattern"
)

// A Policy is a policy as operators write and read it.
type Policy struct {
	VHost, Name string
	Operator    bool // an operator policy
	Pattern     string
	// ApplyTo is all (also if empty), queues, classic_queues, quorum_queues,
	// streams or exchanges.
	ApplyTo    string
	Priority   int64
	Definition []byte // a JSON object
}

// maxPolicyName is how long the name of a policy may be.
const maxPolicyName = 255

// SetPolicy makes or replaces a policy. When it returns, every queue and
// exchange of the vhost is governed by what its name deserves, in the catalog;
// the shards follow at once. It returns what the words mean here that say where
// queues are. An *Error of kind Invalid has RabbitMQ's text as its Detail.
func (b *Broker) SetPolicy(ctx context.Context, p Policy) (said []string, err error) {
	p.ApplyTo = cmp.Or(p.ApplyTo, "all")
	if p.Name == "" || len(p.Name) > maxPolicyName {
		return nil, invalid(PolicyResource, p.VHost, p.Name, "the name of a policy has 1 to %d bytes", maxPolicyName)
	}
	switch p.ApplyTo {
	case "all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges":
	default:
		return nil, failed(p, "apply-to '%s' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges', or 'all'", p.ApplyTo)
	}
	if _, err := pattern.Compile(p.Pattern); err != nil {
		return nil, failed(p, "pattern should be regular expression but is invalid: %v", err)
	}
	def, err := ParseJSON(p.Definition)
	if err != nil {
		return nil, failed(p, "definition must be a dictionary: %v", err)
	}
	if text := checkDefinition(def, p.Operator); text != "" {
		return nil, failed(p, "%s", text)
	}
	if _, err = b.operate(ctx, PolicyResource, p.VHost, p.Name, &catalog.SetPolicy{
		VHost: p.VHost, Name: p.Name, Operator: p.Operator, Pattern: p.Pattern, ApplyTo: p.ApplyTo,
		Priority: p.Priority, Definition: def.Sorted(),
	}); err != nil {
		return nil, err
	}
	return translation(def), nil
}

// ClearPolicy removes a policy: an *Error of kind NotFound says that there is
// none.
func (b *Broker) ClearPolicy(ctx context.Context, vhost, name string, operator bool) error {
	_, err := b.operate(ctx, PolicyResource, vhost, name, &catalog.ClearPolicy{VHost: vhost, Name: name, Operator: operator})
	return err
}

// Policies lists the policies, or the operator policies, of a vhost by name.
func (b *Broker) Policies(vhost string, operator bool) ([]Policy, error) {
	v := b.View()
	h := v.VHost(vhost)
	if h == nil {
		return nil, &Error{Kind: NotFound, Resource: VHostResource, Name: vhost, VHost: vhost}
	}
	var out []Policy
	for p := range v.Policies(h) {
		if p.Operator == operator {
			out = append(out, Policy{
				VHost: vhost, Name: p.Name, Operator: p.Operator, Pattern: p.Pattern, ApplyTo: p.ApplyTo,
				Priority: p.Priority, Definition: AppendJSON(nil, p.Definition),
			})
		}
	}
	return out, nil
}

// A Governing says which policies a queue or exchange has, and what both say
// together.
type Governing struct {
	Policy, OperatorPolicy string // names, or empty
	Definition             message.Table
}

// GoverningOf returns what governs a queue or an exchange: hand it their
// Governed.
func GoverningOf(g catalog.Governed) (out Governing) {
	if p := g.Policy; p != nil {
		out.Policy, out.Definition = p.Name, p.Definition
	}
	if p := g.OperatorPolicy; p != nil {
		out.OperatorPolicy = p.Name
		out.Definition = merged(out.Definition, p.Definition)
	}
	return out
}

// merged returns what a policy and an operator policy say together, by name.
func merged(user, operator message.Table) (out message.Table) {
	for name, v := range user.All() {
		if o, ok := operator.Lookup(name); ok {
			v = ruleOf("x-"+name).merge(o, v)
		}
		out = message.AppendField(out, name, v)
	}
	for name, v := range operator.All() {
		if _, ok := user.Lookup(name); !ok {
			out = message.AppendField(out, name, v)
		}
	}
	return out.Sorted()
}

func invalid(r Resource, vhost, name, format string, args ...any) error {
	return &Error{Kind: Invalid, Resource: r, Name: name, VHost: vhost, Detail: fmt.Sprintf(format, args...)}
}

// failed is RabbitMQ's answer to a policy that it does not take.
func failed(p Policy, format string, args ...any) error {
	return invalid(PolicyResource, p.VHost, p.Name, "Validation failed\n\n"+format+"\n", args...)
}

// operate performs a command of an operator.
func (b *Broker) operate(ctx context.Context, r Resource, vhost, name string, cmd catalog.Command) (catalog.Result, error) {
	e := &Error{Resource: r, Name: name, VHost: vhost}
	res, err := b.o.Catalog.Do(ctx, cmd)
	switch {
	case errors.Is(err, cluster.ErrPolicy):
		e.Kind, e.Detail, e.Err = Invalid, err.Error(), err
		return res, e
	case err != nil:
		e.Kind, e.Err = Unavailable, err
		return res, e
	}
	switch res.Code {
	case catalog.Done, catalog.Existed:
		return res, nil
	case catalog.NotFound:
		e.Kind = NotFound
		if res.Missing == catalog.AVHost {
			e.Resource, e.Name = VHostResource, vhost
		}
	default:
		e.Kind, e.Detail = Internal, "the catalog says "+res.Code.String()
	}
	return res, e
}
