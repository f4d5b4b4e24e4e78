package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/core/exchange"
)

// A stored catalog is a set of keys and values, one per object. A key is the
// object's space and its identity there; a value is the version of its
// encoding and its fields. In key order, what an object needs stands before it.

const storedVersion = 1

// ErrStored is wrapped by the errors of a Loader.
var ErrStored = errors.New("catalog: stored state is damaged")

func (n *Node) fields(c *coder) {
	c.uint(&n.ID)
	c.uint(&n.Revision)
	c.uint(&n.Incarnation)
	enum(c, &n.State, nodeStates)
	c.str(&n.Name)
	c.table(&n.Attrs)
}

func (i *Incarnation) fields(c *coder) {
	c.uint(&i.Number)
	c.uint(&i.Node)
	c.uint(&i.Nonce)
	c.int(&i.Started)
	c.uint(&i.Last)
}

func (f *Forgotten) fields(c *coder) {
	c.uint(&f.ID)
	c.uint(&f.Revision)
	c.str(&f.Name)
	c.int(&f.At)
}

func (s *Shard) fields(c *coder) {
	c.uint(&s.ID)
	c.uint(&s.Revision)
	s.ShardSpec.fields(c)
	list(c, &s.Founders, c.uint)
	s.Members.fields(c)
}

func (h *VHost) fields(c *coder) {
	c.uint(&h.ID)
	c.uint(&h.Revision)
	c.str(&h.Name)
	c.table(&h.Attrs)
	h.Limits.fields(c)
	c.uint(&h.Home)
}

func (u *User) fields(c *coder) {
	c.uint(&u.Revision)
	c.str(&u.Name)
	c.bytes(&u.Password)
	list(c, &u.Tags, c.str)
	c.table(&u.Attrs)
	u.Limits.fields(c)
}

func (p *Permission) fields(c *coder) {
	c.str(&p.User)
	c.uint(&p.VHost)
	c.uint(&p.Revision)
	c.str(&p.Configure)
	c.str(&p.Write)
	c.str(&p.Read)
}

func (p *TopicPermission) fields(c *coder) {
	c.str(&p.User)
	c.uint(&p.VHost)
	c.str(&p.Exchange)
	c.uint(&p.Revision)
	c.str(&p.Write)
	c.str(&p.Read)
}

func (e *Exchange) fields(c *coder) {
	e.ExchangeSpec.fields(c)
	c.uint(&e.ID)
	c.uint(&e.VHost)
	c.uint(&e.Revision)
	c.int(&e.MadeAt)
	c.flag(&e.System)
	c.uint(&e.Schedule)
	e.Governed.fields(c)
}

func (q *Queue) fields(c *coder) {
	q.QueueSpec.fields(c)
	c.uint(&q.ID)
	c.uint(&q.VHost)
	c.uint(&q.Made)
	c.uint(&q.Revision)
	c.int(&q.MadeAt)
	c.uint(&q.Epoch)
	enum(c, &q.State, queueStates)
	q.Governed.fields(c)
}

// fields are the names: a policy that was read has nothing else, until it is
// resolved.
func (g *Governed) fields(c *coder) {
	m := g.names()
	m.fields(c)
	if c.reading {
		*g = Governed{named(m.Policy), named(m.OperatorPolicy)}
	}
}

func named(policy string) *Policy {
	if policy == "" {
		return nil
	}
	return &Policy{Name: policy}
}

func (p *Policy) fields(c *coder) {
	c.uint(&p.VHost)
	c.str(&p.Name)
	c.uint(&p.Revision)
	c.flag(&p.Operator)
	c.str(&p.Pattern)
	c.str(&p.ApplyTo)
	c.int(&p.Priority)
	c.table(&p.Definition)
}

func (p *Parameter) fields(c *coder) {
	c.uint(&p.VHost)
	c.str(&p.Component)
	c.str(&p.Name)
	c.uint(&p.Revision)
	c.bytes(&p.Value)
}

// metaFields are the counters and the cluster's own values.
func (v *View) metaFields(c *coder) {
	c.uint(&v.revision)
	c.uint(&v.lastID)
	c.uint(&v.lastIncarnation)
	c.int(&v.stamp)
	v.cluster.fields(c)
}

// emptyFields are those of an object that is all key.
func emptyFields(*coder) {}

func encoded(fields func(*coder)) []byte {
	c := coder{data: []byte{storedVersion}}
	fields(&c)
	return c.data
}

// Export calls f with every key and value, in key order. f may keep them.
func (v *View) Export(f func(key, value []byte)) {
	put := func(space byte, key string, fields func(*coder)) {
		f(append([]byte{space}, key...), encoded(fields))
	}
	meta := *v
	put(spaceMeta, "", meta.metaFields)
	for id, n := range v.nodes.All() {
		put(spaceNode, idKey(id), n.fields)
	}
	for number, i := range v.incarnations.All() {
		put(spaceIncarnation, idKey(number), i.fields)
	}
	for id, s := range v.shards.All() {
		put(spaceShard, idKey(id), s.fields)
	}
	for id := range v.vhostNames.All() {
		put(spaceVHost, idKey(id), v.VHostByID(id).fields)
	}
	for name, u := range v.users.order.All() {
		put(spaceUser, name, u.fields)
	}
	for key, p := range v.permissions.All() {
		put(spacePermission, key, p.fields)
	}
	for key, p := range v.topicPermissions.All() {
		put(spaceTopicPermission, key, p.fields)
	}
	for key, p := range v.policies.All() {
		put(spacePolicy, key, p.fields)
	}
	for key, p := range v.parameters.All() {
		put(spaceParameter, key, p.fields)
	}
	for id, e := range v.exchanges.All() {
		put(spaceExchange, idKey(id), e.fields)
	}
	for id, q := range v.queues.All() {
		put(spaceQueue, idKey(id), q.fields)
	}
	for id, t := range v.tables.All() {
		for b := range t.All() {
			f(ofBinding(id, b).bytes(), encoded(emptyFields))
		}
	}
	for id, n := range v.forgotten.All() {
		put(spaceForgotten, idKey(id), n.fields)
	}
	for id, i := range v.intents.All() {
		put(spaceIntent, idKey(id), i.fields)
	}
}

// Digest returns a hash of everything in the view. Views of equal content have
// equal digests, on any node.
func (v *View) Digest() [sha256.Size]byte {
	h := sha256.New()
	var lengths [16]byte
	v.Export(func(key, value []byte) {
		binary.BigEndian.PutUint64(lengths[:8], uint64(len(key)))
		binary.BigEndian.PutUint64(lengths[8:], uint64(len(value)))
		h.Write(lengths[:])
		h.Write(key)
		h.Write(value)
	})
	return [sha256.Size]byte(h.Sum(nil))
}

// TakeDirty calls f with every key that changed since the last call, in key
// order: with its value, or deleted. Written to where all earlier ones were,
// they make the state a Loader can load. f may keep what it is given.
func (m *Machine) TakeDirty(f func(key, value []byte, deleted bool)) {
	type change struct {
		objectKey
		key []byte
	}
	changes := make([]change, 0, len(m.dirty))
	for k := range m.dirty {
		changes = append(changes, change{k, k.bytes()})
	}
	slices.SortFunc(changes, func(a, b change) int { return bytes.Compare(a.key, b.key) })
	for _, c := range changes {
		if fields := m.v.stored(c.objectKey); fields != nil {
			f(c.key, encoded(fields), false)
		} else {
			f(c.key, nil, true)
		}
	}
	m.dirty = map[objectKey]bool{}
}

// stored returns the fields of the object under a key, or nil if it is gone.
func (v *View) stored(k objectKey) func(*coder) {
	id, key := k.id, k.rest
	switch k.space {
	case spaceMeta:
		return v.metaFields
	case spaceNode:
		return fieldsOf(v.nodes.Get(id))
	case spaceIncarnation:
		return fieldsOf(v.incarnations.Get(id))
	case spaceForgotten:
		return fieldsOf(v.forgotten.Get(id))
	case spaceIntent:
		return fieldsOf(v.intents.Get(id))
	case spaceShard:
		return fieldsOf(v.shards.Get(id))
	case spaceVHost:
		h := v.VHostByID(id)
		return fieldsOf(h, h != nil)
	case spaceUser:
		return fieldsOf(v.users.get(key))
	case spacePermission:
		return fieldsOf(v.permissions.Get(key))
	case spaceTopicPermission:
		return fieldsOf(v.topicPermissions.Get(key))
	case spacePolicy:
		return fieldsOf(v.policies.Get(key))
	case spaceParameter:
		return fieldsOf(v.parameters.Get(key))
	case spaceExchange:
		return fieldsOf(v.exchanges.Get(id))
	case spaceQueue:
		return fieldsOf(v.queues.Get(id))
	case spaceBinding:
		t, _ := v.tables.Get(id)
		if b, err := exchange.ParseBinding([]byte(key)); err == nil && t.Has(b) {
			return emptyFields
		}
	}
	return nil
}

func fieldsOf[T interface{ fields(*coder) }](v T, ok bool) func(*coder) {
	if !ok {
		return nil
	}
	return v.fields
}

// A Loader rebuilds a machine from its stored keys and values.
type Loader struct {
	m    *Machine
	last []byte
}

// NewLoader returns a loader of an empty catalog.
func NewLoader() *Loader { return &Loader{m: New()} }

// Put takes one key and value, which must come in key order. It keeps neither.
func (l *Loader) Put(key, value []byte) error {
	if len(key) == 0 || slices.Compare(key, l.last) <= 0 {
		return fmt.Errorf("%w: key %x after %x", ErrStored, key, l.last)
	}
	l.last = append(l.last[:0], key...)
	if len(value) == 0 || value[0] != storedVersion {
		return fmt.Errorf("%w: version of key %x", ErrStored, key)
	}
	c := coder{data: value[1:], reading: true}
	if !l.load(key[0], string(key[1:]), &c) || c.failed || len(c.data) > 0 {
		return fmt.Errorf("%w: value of key %x", ErrStored, key)
	}
	return nil
}

// Machine returns the loaded machine. What was loaded counts as checkpointed.
func (l *Loader) Machine() *Machine {
	m := l.m
	l.m, m.dirty = nil, map[objectKey]bool{}
	// What was kept by another machine's revisions must not pass for true.
	m.v.rights, m.v.governing = m.v.revision, m.v.revision
	return m
}
