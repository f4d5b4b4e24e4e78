package reconcile

import (
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// Attributes of a shard: what it was made for, and who was added to its replicas
// or taken from them by an order, by id.
const (
	attrWish = "replicas"
	attrAlso = "also"
	attrNot  = "not"
	attrLost = "lost" // by whom what it had acknowledged, until its group has it no more
)

// attrForce is set at an intent to forget a node whatever is lost with it.
const attrForce = "force"

// attrOf is how many shards a node held when it began to go.
const attrOf = "of"

// WishAttr are the attributes of a shard that is made for a wish.
func WishAttr(w placement.Wish) message.Table {
	return message.AppendField(nil, attrWish, message.StringOf(w.String()))
}

func list(s *catalog.Shard, name string) (ids []uint64) {
	v, ok := s.Attrs.Lookup(name)
	if !ok {
		return nil
	}
	text, _ := v.Text()
	for word := range strings.FieldsSeq(text) {
		if id, err := strconv.ParseUint(word, 16, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// with returns attributes with one list replaced; an empty one is left out.
func with(t message.Table, name string, ids []uint64) (out message.Table) {
	for k, v := range t.All() {
		if k != name {
			out = message.AppendField(out, k, v)
		}
	}
	if len(ids) == 0 {
		return out
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatUint(id, 16)
	}
	return message.AppendField(out, name, message.StringOf(strings.Join(words, " ")))
}

// Added returns what a shard should be when a node is to have a replica of it,
// whatever its wish says.
func Added(s *catalog.Shard, node uint64) catalog.ShardSpec {
	spec := s.ShardSpec
	also := list(s, attrAlso)
	if !slices.Contains(also, node) {
		also = append(also, node)
	}
	spec.Attrs = with(with(s.Attrs, attrAlso, also), attrNot, slices.DeleteFunc(list(s, attrNot), is(node)))
	if !slices.Contains(spec.Replicas, node) {
		spec.Replicas = append(slices.Clone(spec.Replicas), node)
	}
	return spec
}

// Taken returns what a shard should be when a node is to have no replica of it.
func Taken(s *catalog.Shard, node uint64) catalog.ShardSpec {
	spec := s.ShardSpec
	not := list(s, attrNot)
	if !slices.Contains(not, node) {
		not = append(not, node)
	}
	spec.Attrs = with(with(s.Attrs, attrNot, not), attrAlso, slices.DeleteFunc(list(s, attrAlso), is(node)))
	spec.Replicas = slices.DeleteFunc(slices.Clone(spec.Replicas), is(node))
	if spec.Leader == node {
		spec.Leader = 0
	}
	return spec
}

// Damaged reports whether a node is noted to have lost its replica of a shard.
func Damaged(s *catalog.Shard, node uint64) bool { return slices.Contains(list(s, attrLost), node) }

// Lose returns what a shard should be while a node that lost its replica is to be
// taken out of its group, Found what it should be when that is done: the node may
// have a replica as any other.
func Lose(s *catalog.Shard, node uint64) catalog.ShardSpec {
	spec := s.ShardSpec
	if !Damaged(s, node) {
		spec.Attrs = with(s.Attrs, attrLost, append(list(s, attrLost), node))
	}
	spec.Replicas = slices.DeleteFunc(slices.Clone(spec.Replicas), is(node))
	if spec.Leader == node {
		spec.Leader = 0
	}
	return spec
}

// Alone returns the attributes of a shard when all that they could name are gone.
func Alone(s *catalog.Shard) message.Table {
	return with(with(with(s.Attrs, attrAlso, nil), attrNot, nil), attrLost, nil)
}

// Found is described at Lose.
func Found(s *catalog.Shard, node uint64) catalog.ShardSpec {
	spec := s.ShardSpec
	spec.Attrs = with(s.Attrs, attrLost, slices.DeleteFunc(list(s, attrLost), is(node)))
	return spec
}

func is(node uint64) func(uint64) bool { return func(id uint64) bool { return id == node } }

// Attrs are the attributes of an intent about a node that goes, which holds so
// many shards.
func Attrs(shards int, force bool) (t message.Table) {
	t = message.AppendField(t, attrOf, message.IntOf(message.Int32, int64(shards)))
	if force {
		t = message.AppendField(t, attrForce, message.BoolOf(true))
	}
	return t
}

// Forced reports whether an intent is to be carried out whatever is lost.
func Forced(i *catalog.Intent) bool {
	v, ok := i.Attrs.Lookup(attrForce)
	return ok && v.Bool()
}

// of is how many shards a node held when its intent began, 0 if that is not known.
func of(i *catalog.Intent) int {
	v, _ := i.Attrs.Lookup(attrOf)
	n, _ := v.Int()
	return int(n)
}
