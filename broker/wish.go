package broker

import (
	"context"
	"strings"

	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// What a queue's replicas are to be is said by words of several ages. Each of
// them is a promise: a queue has the least that keeps all of them.

// WishOf returns what a queue's arguments and policies say of its replicas; said
// is false if none of them does.
func WishOf(q *catalog.Queue) (w placement.Wish, said bool) {
	join := func(x placement.Wish) {
		if said {
			x = placement.Join(w, x)
		}
		w, said = x, true
	}
	if v, ok := q.Args.Lookup("x-replicas"); ok {
		join(copies(v))
	}
	if v, ok := q.Args.Lookup("x-ha-policy"); ok { // of RabbitMQ before 3.0; OpenStack still sends it
		params, _ := q.Args.Lookup("x-ha-policy-params")
		if x, ok := mirrors(v, params); ok {
			join(x)
		}
	}
	for _, p := range [...]*catalog.Policy{q.OperatorPolicy, q.Policy} {
		if v, ok := ofPolicy(p, "x-replicas"); ok {
			join(copies(v))
		}
		if v, ok := ofPolicy(p, "x-ha-mode"); ok {
			params, _ := ofPolicy(p, "x-ha-params")
			if x, ok := mirrors(v, params); ok {
				join(x)
			}
		}
	}
	if q.Kind == catalog.Quorum {
		for _, name := range []string{"x-quorum-initial-group-size", "x-initial-cluster-size", "x-target-group-size"} {
			if n, ok := intSetting(q, name); ok && n > 0 {
				join(placement.Copies(int(min(n, 1<<16))))
			}
		}
	}
	return w, said
}

// copies reads a value of "replicas": a number, or all.
func copies(v message.Value) placement.Wish {
	if n, ok := v.Int(); ok {
		return placement.Copies(int(min(n, 1<<16)))
	}
	return placement.Wish{Kind: placement.All}
}

// mirrors reads the words of mirrored queues, which were checked if they are a
// policy's; ok is false if they say nothing.
func mirrors(mode, params message.Value) (w placement.Wish, ok bool) {
	switch text, _ := mode.Text(); text {
	case "all":
		return placement.Wish{Kind: placement.All}, true
	case "exactly":
		if n, ok := params.Int(); ok && n > 0 {
			return placement.Copies(int(min(n, 1<<16))), true
		}
	case "nodes":
		var names []string
		for _, v := range params.Values(nil) {
			if name, isText := v.Text(); isText && name != "" && !strings.Contains(name, " ") { // no node has a blank in its name
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			return placement.On(names...), true
		}
	}
	return w, false
}

// Replicated reports whether a queue that is not durable is to survive its node.
func Replicated(q *catalog.Queue) bool {
	w, said := WishOf(q)
	return said && !q.Exclusive && q.Kind != catalog.Schedule && w.String() != placement.Copies(1).String()
}

// A Placing is a queue that is to be placed in a shard.
type Placing struct {
	VHost, Name string
	Wish        placement.Wish
	// Here says that it should be led by the node that its client is connected to.
	Here bool
}

// place says where a queue will be that is about to be declared.
func (s *Session) place(ctx context.Context, spec *catalog.QueueSpec) (err error) {
	spec.Node = s.b.o.Node
	p, ok := s.placing(spec)
	if !ok {
		spec.Incarnation = s.b.o.Incarnation
		return nil
	}
	if spec.Shard, err = s.b.o.Place(ctx, p); err != nil {
		return &Error{Kind: Unavailable, Resource: QueueResource, Name: spec.Name, VHost: s.vhost, Err: err}
	}
	return nil
}

// placing returns where a queue is to be placed that is about to be declared;
// ok is false if it is to be in memory.
func (s *Session) placing(spec *catalog.QueueSpec) (p Placing, ok bool) {
	q := catalog.Queue{QueueSpec: *spec}
	var err error
	if q.Governed, err = s.b.o.Catalog.Governing(s.vhost, spec.Name, spec.Kind); err != nil {
		q.Governed = catalog.Governed{} // the declaration fails for the same reason
	}
	p = Placing{VHost: s.vhost, Name: spec.Name, Here: ledHere(&q)}
	p.Wish, _ = WishOf(&q)
	return p, spec.Durable || Replicated(&q)
}

// ledHere reports whether a queue asks to be led where it is declared.
func ledHere(q *catalog.Queue) bool {
	for _, name := range []string{"x-queue-leader-locator", "x-queue-master-locator"} {
		if text, ok := textSetting(q, name); ok {
			return text == "client-local"
		}
	}
	return false
}
