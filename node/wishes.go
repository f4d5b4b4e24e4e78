package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// Attributes of a shard: which queues it was made for, and the most that the
// queues in it ask for by now, if that is more. So a policy that wants more
// replicas of a queue needs nothing moved: its shard gets them while it serves,
// and loses them when nothing in it asks for them any more.
const (
	attrWish  = "replicas"
	attrAsked = "asked"
)

// wishOf is how a shard should be replicated.
func wishOf(s *catalog.Shard) placement.Wish {
	for _, name := range [...]string{attrAsked, attrWish} {
		if a, ok := s.Attrs.Lookup(name); ok {
			return parsedWish(a)
		}
	}
	return placement.Wish{}
}

// baseOf is what a shard was made for.
func baseOf(s *catalog.Shard) placement.Wish {
	a, _ := s.Attrs.Lookup(attrWish)
	return parsedWish(a)
}

func parsedWish(v message.Value) placement.Wish {
	text, _ := v.Text()
	w, err := placement.ParseWish(text)
	if err != nil {
		return placement.Wish{}
	}
	return w
}

func wishAttr(w placement.Wish) message.Table {
	return message.AppendField(nil, attrWish, message.StringOf(w.String()))
}

// askedAttrs are the attributes of a shard whose queues ask for a wish.
func askedAttrs(s *catalog.Shard, asked placement.Wish) (t message.Table) {
	for name, v := range s.Attrs.All() {
		if name != attrAsked {
			t = message.AppendField(t, name, v)
		}
	}
	if base := baseOf(s); !base.Gives(asked) {
		t = message.AppendField(t, attrAsked, message.StringOf(placement.Join(base, asked).String()))
	}
	return t
}

// wishesEvery is how often the queues are looked through although no policy has
// changed: one may have been declared while a policy was.
const wishesEvery = 30 * time.Second

// wishes notes in the catalog what the queues of each shard ask for. It belongs
// to whoever plans.
type wishes struct {
	n        *Node
	policies uint64 // the revision of the policies that were looked at
	view     *catalog.View
	at       time.Duration
}

// look returns the catalog as it is then. It goes through all queues, so it does
// nothing while nothing that they ask for can have changed. A node by itself has
// nowhere to have more replicas.
func (w *wishes) look(ctx context.Context, v *catalog.View) (*catalog.View, error) {
	now := w.n.clock.Mono()
	if !w.n.clustered() || w.view != nil && w.policies == v.PolicyRevision() && (w.view == v || now-w.at < wishesEvery) {
		return v, nil
	}
	for s := range v.Shards() {
		attrs := askedAttrs(s, asked(v, s))
		if wishOf(s).String() == wishOf(&catalog.Shard{ShardSpec: catalog.ShardSpec{Attrs: attrs}}).String() {
			continue
		}
		spec := s.ShardSpec
		spec.Attrs = attrs
		if _, err := w.n.do(ctx, &catalog.SetShard{ID: s.ID, ShardSpec: spec}); err != nil {
			return v, err
		}
		w.n.log.Info("a shard is replicated as its queues ask", "group", s.ID, "text", wishOf(&catalog.Shard{ShardSpec: spec}).String())
	}
	w.policies, w.view, w.at = v.PolicyRevision(), v, now
	return w.n.catalog.View(), nil
}

// raises says what a policy that was set brings about for the queues there are.
func (n *Node) raises(p admin.Policy, operator bool) (said []string) {
	v := n.catalog.View()
	h := v.VHost(p.VHost)
	if h == nil || !n.clustered() {
		return nil
	}
	if names, k := n.broker.Load().InMemory(p.VHost, p.Name, operator); k > 0 {
		if k > len(names) {
			names = append(names, "...")
		}
		said = append(said, fmt.Sprintf("from the memory of a node to several, each when nothing of it is held: %s (%d)", strings.Join(names, ", "), k))
	}
	less := map[uint64]bool{}
	for q := range h.Queues("") {
		if !governs(q.Policy, p.Name) && !governs(q.OperatorPolicy, p.Name) {
			continue
		}
		if s := v.Shard(q.Shard); s != nil && !less[s.ID] {
			w, said := broker.WishOf(q)
			less[s.ID] = said && !baseOf(s).Gives(w)
		}
	}
	queues := 0
	for id, is := range less {
		if is {
			for range v.QueuesIn(id) {
				queues++
			}
		}
	}
	if queues == 0 {
		return said
	}
	return append(said, fmt.Sprintf("replicas that are missing for it are made while the queues serve, for whole shards; queues in these: %d", queues))
}

func governs(p *catalog.Policy, name string) bool { return p != nil && p.Name == name }

// asked is the most that the queues of a shard ask for.
func asked(v *catalog.View, s *catalog.Shard) (w placement.Wish) {
	type governors struct{ policy, operator *catalog.Policy }
	w = baseOf(s)
	done := map[governors]bool{} // queues without arguments differ in their policies only
	for q := range v.QueuesIn(s.ID) {
		g := governors{q.Policy, q.OperatorPolicy}
		if len(q.Args) == 0 && q.Kind == catalog.Classic {
			if done[g] {
				continue
			}
			done[g] = true
		}
		if x, said := broker.WishOf(q); said {
			w = placement.Join(w, x)
		}
	}
	return w
}
