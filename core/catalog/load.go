package catalog

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/exchange"
)

// load takes one stored object; false says that it does not belong.
func (l *Loader) load(space byte, key string, c *coder) bool {
	v := &l.m.v
	switch space {
	case spaceMeta:
		v.metaFields(c)
		return key == ""
	case spaceNode:
		n := read[Node](c)
		v.nodes = v.nodes.Set(n.ID, n)
		return key == idKey(n.ID)
	case spaceIncarnation:
		i := read[Incarnation](c)
		v.incarnations = v.incarnations.Set(i.Number, i)
		return key == idKey(i.Number) && v.Node(i.Node) != nil
	case spaceForgotten:
		f := read[Forgotten](c)
		v.forgotten = v.forgotten.Set(f.ID, f)
		return key == idKey(f.ID) && v.Node(f.ID) == nil
	case spaceIntent:
		i := read[Intent](c)
		if key != idKey(i.ID) || v.IntentFor(i.Kind, i.Subject) != nil {
			return false
		}
		v.addIntent(i)
		return true
	case spaceShard:
		s := read[Shard](c)
		v.shards = v.shards.Set(s.ID, s)
		return key == idKey(s.ID)
	case spaceVHost:
		h := read[VHost](c)
		l.m.addVHost(h)
		return key == idKey(h.ID)
	case spaceUser:
		u := read[User](c)
		v.users = v.users.set(u.Name, u)
		return key == u.Name
	case spaceExchange, spaceQueue, spaceBinding:
		return l.loadTopology(space, key, c)
	}
	return l.loadRights(space, key, c)
}

func (l *Loader) loadRights(space byte, key string, c *coder) bool {
	v := &l.m.v
	switch space {
	case spacePermission:
		p := read[Permission](c)
		v.permissions = v.permissions.Set(key, p)
		return key == string(appendPermissionKey(nil, p.User, p.VHost))
	case spaceTopicPermission:
		p := read[TopicPermission](c)
		v.topicPermissions = v.topicPermissions.Set(key, p)
		return key == string(appendPermissionKey(nil, p.User, p.VHost))+p.Exchange
	case spacePolicy:
		p := read[Policy](c)
		v.policies = v.policies.Set(key, p)
		return key == policyKey(p.VHost, p.Operator, p.Name)
	case spaceParameter:
		p := read[Parameter](c)
		v.parameters = v.parameters.Set(key, p)
		return key == parameterKey(p.VHost, p.Component, p.Name)
	}
	return false
}

func (l *Loader) loadTopology(space byte, key string, c *coder) bool {
	m := l.m
	switch space {
	case spaceExchange:
		e := read[Exchange](c)
		if c.failed || key != idKey(e.ID) || m.v.VHostByID(e.VHost) == nil {
			return false
		}
		if !m.v.resolve(e.VHost, &e.Governed) {
			return false
		}
		m.addExchange(e)
	case spaceQueue:
		q := read[Queue](c)
		if c.failed || key != idKey(q.ID) || m.v.VHostByID(q.VHost) == nil {
			return false
		}
		if !m.v.resolve(q.VHost, &q.Governed) {
			return false
		}
		m.addQueue(q)
	case spaceBinding:
		if len(key) < 8 {
			return false
		}
		source := m.v.ExchangeByID(binary.BigEndian.Uint64([]byte(key[:8])))
		b, err := exchange.ParseBinding([]byte(key[8:]))
		if source == nil || err != nil || !m.v.has(b.Dest) {
			return false
		}
		return m.bind(source, b)
	}
	return true
}

// has reports whether a destination exists.
func (v *View) has(d exchange.Dest) bool {
	if d.Kind() == exchange.Queue {
		return v.QueueByID(d.ID()) != nil
	}
	return v.ExchangeByID(d.ID()) != nil
}

// read takes an object off c; it is valid if c has not failed.
func read[T any, P interface {
	*T
	fields(*coder)
}](c *coder) P {
	p := P(new(T))
	p.fields(c)
	return p
}
