package catalog

import (
	"slices"

	"github.com/warrenmq/warren/core/exchange"
)

// predeclared are the exchanges that every vhost has.
func predeclared() []ExchangeSpec {
	return []ExchangeSpec{
		{Name: "", Type: exchange.Direct, Durable: true},
		{Name: "amq.direct", Type: exchange.Direct, Durable: true},
		{Name: "amq.fanout", Type: exchange.Fanout, Durable: true},
		{Name: "amq.topic", Type: exchange.Topic, Durable: true},
		{Name: "amq.headers", Type: exchange.Headers, Durable: true},
		{Name: "amq.match", Type: exchange.Headers, Durable: true},
		{Name: "amq.rabbitmq.trace", Type: exchange.Topic, Durable: true, Internal: true},
	}
}

func (x *AddVHost) apply(m *Machine) Result {
	if h := m.v.VHost(x.Name); h != nil {
		return Result{Code: Existed, ID: h.ID}
	}
	h := &VHost{ID: m.newID(), Revision: m.v.revision, Name: x.Name, Attrs: x.Attrs}
	m.addVHost(h)
	m.touch(byID(spaceVHost, h.ID), true)
	for _, spec := range predeclared() {
		m.addExchange(&Exchange{
			ExchangeSpec: spec, ID: m.newID(), VHost: h.ID, Revision: m.v.revision, MadeAt: m.v.stamp, System: true,
		})
	}
	return Result{ID: h.ID}
}

func (m *Machine) addVHost(h *VHost) {
	m.v.vhosts = m.v.vhosts.set(h.Name, h)
	m.v.vhostNames = m.v.vhostNames.Set(h.ID, h.Name)
}

func (x *SetVHost) apply(m *Machine) Result {
	have := m.v.VHost(x.Name)
	if have == nil {
		return missing(AVHost)
	}
	h := *have
	h.Attrs, h.Revision = x.Attrs, m.v.revision
	m.setVHost(h)
	m.touch(byID(spaceVHost, h.ID), false)
	return Result{ID: h.ID}
}

func (x *RemoveVHost) apply(m *Machine) Result {
	h := m.v.VHost(x.Name)
	if h == nil {
		return missing(AVHost)
	}
	res := Result{ID: h.ID}
	for q := range h.Queues("") {
		m.removeQueue(q, &res.Removed)
	}
	for e := range h.Exchanges("") {
		m.removeExchange(e, &res.Removed)
	}
	for key, p := range m.v.permissions.All() {
		if p.VHost == h.ID {
			m.v.permissions = m.v.permissions.Delete(key)
			m.gone(byName(spacePermission, key))
		}
	}
	for key, p := range m.v.topicPermissions.All() {
		if p.VHost == h.ID {
			m.v.topicPermissions = m.v.topicPermissions.Delete(key)
			m.gone(byName(spaceTopicPermission, key))
		}
	}
	for key := range m.v.policies.Prefix(idKey(h.ID)) {
		m.v.policies = m.v.policies.Delete(key)
		m.gone(byName(spacePolicy, key))
	}
	for key := range m.v.parameters.Prefix(idKey(h.ID)) {
		m.v.parameters = m.v.parameters.Delete(key)
		m.gone(byName(spaceParameter, key))
	}
	m.v.vhosts = m.v.vhosts.delete(h.Name)
	m.v.vhostNames = m.v.vhostNames.Delete(h.ID)
	m.gone(byID(spaceVHost, h.ID))
	res.Removed.VHosts = append(res.Removed.VHosts, h)
	return res
}

func (x *SetUser) apply(m *Machine) Result {
	have, had := m.v.users.get(x.Name)
	u := &User{Revision: m.v.revision, Name: x.Name, Password: x.Password, Tags: x.Tags, Attrs: x.Attrs}
	if had {
		u.Limits = have.Limits
	}
	m.v.users = m.v.users.set(x.Name, u)
	m.touch(byName(spaceUser, x.Name), !had)
	return Result{}
}

func (x *SetLimits) apply(m *Machine) Result {
	if x.User != "" {
		have := m.v.User(x.User)
		if have == nil {
			return missing(AUser)
		}
		u := *have // its revision stands: nobody has to log in again
		u.Limits = x.Limits
		m.v.users = m.v.users.set(u.Name, &u)
		m.touch(byName(spaceUser, u.Name), false)
		return Result{}
	}
	have := m.v.VHost(x.VHost)
	if have == nil {
		return missing(AVHost)
	}
	h := *have
	h.Limits, h.Revision = x.Limits, m.v.revision
	m.setVHost(h)
	m.touch(byID(spaceVHost, h.ID), false)
	return Result{ID: h.ID}
}

func (x *RemoveUser) apply(m *Machine) Result {
	u := m.v.User(x.Name)
	if u == nil {
		return missing(AUser)
	}
	mine := string(appendText(nil, x.Name))
	for key := range m.v.permissions.Prefix(mine) {
		m.v.permissions = m.v.permissions.Delete(key)
		m.gone(byName(spacePermission, key))
	}
	for key := range m.v.topicPermissions.Prefix(mine) {
		m.v.topicPermissions = m.v.topicPermissions.Delete(key)
		m.gone(byName(spaceTopicPermission, key))
	}
	m.v.users = m.v.users.delete(x.Name)
	m.gone(byName(spaceUser, x.Name))
	return Result{Removed: Removed{Users: []*User{u}}}
}

// find returns the vhost of a permission and the key under which it stands.
func (m *Machine) find(user, vhost string) (h *VHost, key string, lack Thing) {
	if m.v.User(user) == nil {
		return nil, "", AUser
	}
	if h = m.v.VHost(vhost); h == nil {
		return nil, "", AVHost
	}
	return h, string(appendPermissionKey(nil, user, h.ID)), NoThing
}

func (x *SetPermission) apply(m *Machine) Result {
	h, key, lack := m.find(x.User, x.VHost)
	if lack != NoThing {
		return missing(lack)
	}
	_, had := m.v.permissions.Get(key)
	m.v.permissions = m.v.permissions.Set(key, &Permission{
		User: x.User, VHost: h.ID, Revision: m.v.revision, Configure: x.Configure, Write: x.Write, Read: x.Read,
	})
	m.touch(byName(spacePermission, key), !had)
	return Result{}
}

func (x *ClearPermission) apply(m *Machine) Result {
	_, key, lack := m.find(x.User, x.VHost)
	if lack != NoThing {
		return missing(lack)
	}
	if _, had := m.v.permissions.Get(key); !had {
		return missing(APermission)
	}
	m.v.permissions = m.v.permissions.Delete(key)
	m.gone(byName(spacePermission, key))
	return Result{}
}

func (x *SetTopicPermission) apply(m *Machine) Result {
	h, key, lack := m.find(x.User, x.VHost)
	if lack != NoThing {
		return missing(lack)
	}
	key += x.Exchange
	_, had := m.v.topicPermissions.Get(key)
	m.v.topicPermissions = m.v.topicPermissions.Set(key, &TopicPermission{
		User: x.User, VHost: h.ID, Exchange: x.Exchange, Revision: m.v.revision, Write: x.Write, Read: x.Read,
	})
	m.touch(byName(spaceTopicPermission, key), !had)
	return Result{}
}

func (x *ClearTopicPermission) apply(m *Machine) Result {
	_, key, lack := m.find(x.User, x.VHost)
	if lack != NoThing {
		return missing(lack)
	}
	victims := []string{key + x.Exchange}
	if x.All {
		victims = slices.Collect(firsts(m.v.topicPermissions.Prefix(key)))
	}
	res := missing(APermission)
	for _, key := range victims {
		if _, had := m.v.topicPermissions.Get(key); had {
			m.v.topicPermissions = m.v.topicPermissions.Delete(key)
			m.gone(byName(spaceTopicPermission, key))
			res = Result{}
		}
	}
	return res
}

// scope returns the id of a parameter's vhost, zero for the cluster.
func (m *Machine) scope(vhost string) (id uint64, ok bool) {
	if vhost == "" {
		return 0, true
	}
	if h := m.v.VHost(vhost); h != nil {
		return h.ID, true
	}
	return 0, false
}

func (x *SetParameter) apply(m *Machine) Result {
	id, ok := m.scope(x.VHost)
	if !ok {
		return missing(AVHost)
	}
	key := parameterKey(id, x.Component, x.Name)
	_, had := m.v.parameters.Get(key)
	m.v.parameters = m.v.parameters.Set(key, &Parameter{
		VHost: id, Component: x.Component, Name: x.Name, Revision: m.v.revision, Value: x.Value,
	})
	m.touch(byName(spaceParameter, key), !had)
	return Result{}
}

func (x *ClearParameter) apply(m *Machine) Result {
	id, ok := m.scope(x.VHost)
	if !ok {
		return missing(AVHost)
	}
	key := parameterKey(id, x.Component, x.Name)
	if _, had := m.v.parameters.Get(key); !had {
		return missing(AParameter)
	}
	m.v.parameters = m.v.parameters.Delete(key)
	m.gone(byName(spaceParameter, key))
	return Result{}
}
