package catalog

import (
	"encoding/binary"
	"iter"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/internal/pmap"
)

// A View is the catalog at one revision. It never changes.
type View struct {
	revision        uint64
	rights          uint64 // revision that last changed rights, or at which the machine was loaded
	governing       uint64 // revision that last changed policies, likewise
	lastID          uint64
	lastIncarnation uint64
	stamp           int64
	cluster         Cluster

	nodes            pmap.Ints[*Node]
	forgotten        pmap.Ints[*Forgotten]
	intents          pmap.Ints[*Intent]
	incarnations     pmap.Ints[*Incarnation]
	shards           pmap.Ints[*Shard]
	vhosts           names[*VHost]
	vhostNames       pmap.Ints[string]
	users            names[*User]
	permissions      pmap.Map[*Permission]
	topicPermissions pmap.Map[*TopicPermission]
	policies         pmap.Map[*Policy]
	parameters       pmap.Map[*Parameter]
	queues           pmap.Ints[*Queue]
	exchanges        pmap.Ints[*Exchange]
	tables           pmap.Ints[exchange.Table] // by exchange
	schedules        int                       // of queues

	// What ends together, found without a search.
	sources   pmap.Map[struct{}]             // destination, source: where bindings to it are
	owned     pmap.Map[struct{}]             // incarnation, session or 0, queue
	placed    pmap.Ints[pmap.Ints[struct{}]] // by shard: its queues
	transient pmap.Ints[struct{}]            // exchanges that are not durable
	intended  pmap.Map[uint64]               // kind, subject: id of the intent
}

// Revision counts the commands that changed anything.
func (v *View) Revision() uint64 { return v.revision }

// RightsRevision is the revision that last changed users, permissions or vhosts,
// or that the machine was loaded at: what decisions may be kept by.
func (v *View) RightsRevision() uint64 { return v.rights }

// PolicyRevision is the revision that last changed policies, or that the machine
// was loaded at: what matches may be kept by.
func (v *View) PolicyRevision() uint64 { return v.governing }

// Stamp returns the log time of the last command, in milliseconds.
func (v *View) Stamp() int64 { return v.stamp }

// Cluster returns what is known of the cluster as a whole.
func (v *View) Cluster() Cluster { return v.cluster }

// Node returns the member with an id, or nil.
func (v *View) Node(id uint64) *Node { n, _ := v.nodes.Get(id); return n }

// Nodes lists the members by id.
func (v *View) Nodes() iter.Seq[*Node] { return seconds(v.nodes.All()) }

// Forgotten returns what is left of a node that was removed, or nil if none with
// the id was.
func (v *View) Forgotten(id uint64) *Forgotten { f, _ := v.forgotten.Get(id); return f }

// Barred reports whether a node is not to be let in: it was removed, or is about
// to be.
func (v *View) Barred(id uint64) bool {
	n := v.Node(id)
	return n != nil && n.State == Leaving || v.Forgotten(id) != nil
}

// Incarnation returns a live incarnation, or nil if it ended or never was.
func (v *View) Incarnation(number uint64) *Incarnation { i, _ := v.incarnations.Get(number); return i }

// LastIncarnation is the number given last.
func (v *View) LastIncarnation() uint64 { return v.lastIncarnation }

// Incarnations lists the live incarnations by number.
func (v *View) Incarnations() iter.Seq[*Incarnation] { return seconds(v.incarnations.All()) }

// Shard returns the shard with an id, or nil.
func (v *View) Shard(id uint64) *Shard { s, _ := v.shards.Get(id); return s }

// Shards lists the shards by id.
func (v *View) Shards() iter.Seq[*Shard] { return seconds(v.shards.All()) }

// VHost returns the vhost with a name, or nil.
func (v *View) VHost(name string) *VHost { h, _ := v.vhosts.get(name); return h }

// VHostByID returns the vhost with an id, or nil.
func (v *View) VHostByID(id uint64) *VHost {
	name, ok := v.vhostNames.Get(id)
	if !ok {
		return nil
	}
	return v.VHost(name)
}

// VHosts lists the vhosts by name.
func (v *View) VHosts() iter.Seq[*VHost] { return v.vhosts.all("") }

// User returns the user with a name, or nil.
func (v *View) User(name string) *User { u, _ := v.users.get(name); return u }

// Users lists the users by name.
func (v *View) Users() iter.Seq[*User] { return v.users.all("") }

// Permission returns what a user may do in a vhost, or nil: nothing.
func (v *View) Permission(user string, vhost *VHost) *Permission {
	var buf [288]byte
	p, _ := v.permissions.GetBytes(appendPermissionKey(buf[:0], user, vhost.ID))
	return p
}

// Permissions lists all permissions, those of one user together.
func (v *View) Permissions() iter.Seq[*Permission] { return seconds(v.permissions.All()) }

// TopicPermission returns the limits on routing keys, or nil: none.
func (v *View) TopicPermission(user string, x *Exchange) *TopicPermission {
	var buf [544]byte
	p, _ := v.topicPermissions.GetBytes(append(appendPermissionKey(buf[:0], user, x.VHost), x.Name...))
	return p
}

// TopicPermissions lists all topic permissions.
func (v *View) TopicPermissions() iter.Seq[*TopicPermission] {
	return seconds(v.topicPermissions.All())
}

// QueueByID returns the queue with an id, or nil.
func (v *View) QueueByID(id uint64) *Queue { q, _ := v.queues.Get(id); return q }

// ExchangeByID returns the exchange with an id, or nil.
func (v *View) ExchangeByID(id uint64) *Exchange { x, _ := v.exchanges.Get(id); return x }

// Queue returns a queue by names, or nil.
func (v *View) Queue(vhost, name string) *Queue {
	if h := v.VHost(vhost); h != nil {
		return h.Queue(name)
	}
	return nil
}

// Exchange returns an exchange by names, or nil.
func (v *View) Exchange(vhost, name string) *Exchange {
	if h := v.VHost(vhost); h != nil {
		return h.Exchange(name)
	}
	return nil
}

// Queues lists all queues by id, from an id on; schedules too.
func (v *View) Queues(from uint64) iter.Seq[*Queue] { return seconds(v.queues.From(from)) }

// QueueCount returns the number of queues in all vhosts, without schedules.
func (v *View) QueueCount() int { return v.queues.Len() - v.schedules }

// Bindings returns the table of an exchange's bindings.
func (v *View) Bindings(x *Exchange) exchange.Table { t, _ := v.tables.Get(x.ID); return t }

// BindingsTo lists the bindings that lead to a destination, by source.
func (v *View) BindingsTo(d exchange.Dest) iter.Seq[Bound] {
	return func(yield func(Bound) bool) {
		for key := range v.sources.Prefix(idKey(uint64(d))) {
			source, _ := v.exchanges.Get(binary.BigEndian.Uint64([]byte(key[8:])))
			for b := range v.Bindings(source).To(d) {
				if !yield(Bound{Source: source, Binding: b}) {
					return
				}
			}
		}
	}
}

// OwnedBy lists the exclusive queues that end with a session.
func (v *View) OwnedBy(s Session) iter.Seq[*Queue] {
	return v.queuesUnder(idKey(s.Incarnation, s.Number))
}

// QueuesOf lists the queues that end with an incarnation: those in its memory
// and those of its sessions.
func (v *View) QueuesOf(incarnation uint64) iter.Seq[*Queue] {
	return v.queuesUnder(idKey(incarnation))
}

// QueuesIn lists the queues of a shard by id.
func (v *View) QueuesIn(shard uint64) iter.Seq[*Queue] {
	return func(yield func(*Queue) bool) {
		in, _ := v.placed.Get(shard)
		for id := range in.All() {
			if !yield(v.QueueByID(id)) {
				return
			}
		}
	}
}

// queuesUnder lists the queues below a prefix of owned.
func (v *View) queuesUnder(prefix string) iter.Seq[*Queue] {
	return func(yield func(*Queue) bool) {
		for key := range v.owned.Prefix(prefix) {
			q, _ := v.queues.Get(binary.BigEndian.Uint64([]byte(key[16:])))
			if !yield(q) {
				return
			}
		}
	}
}

// Policies lists the policies of a vhost by name, operator policies after the others.
func (v *View) Policies(h *VHost) iter.Seq[*Policy] {
	return seconds(v.policies.Prefix(idKey(h.ID)))
}

// Policy returns a policy of a vhost, or nil.
func (v *View) Policy(h *VHost, operator bool, name string) *Policy {
	p, _ := v.policies.Get(policyKey(h.ID, operator, name))
	return p
}

// Parameter returns a parameter of a vhost, or of the cluster (vhost zero).
func (v *View) Parameter(vhost uint64, component, name string) *Parameter {
	p, _ := v.parameters.Get(parameterKey(vhost, component, name))
	return p
}

// Parameters lists all parameters by vhost id, component and name.
func (v *View) Parameters() iter.Seq[*Parameter] { return seconds(v.parameters.All()) }

// Queue returns the queue with a name, or nil.
func (h *VHost) Queue(name string) *Queue { q, _ := h.queues.get(name); return q }

// QueueBytes is Queue for a name in a buffer.
func (h *VHost) QueueBytes(name []byte) *Queue { q, _ := h.queues.getBytes(name); return q }

// Queues lists the queues by name, from a name on.
func (h *VHost) Queues(from string) iter.Seq[*Queue] { return h.queues.all(from) }

// QueueCount returns the number of queues.
func (h *VHost) QueueCount() int { return h.queues.len() }

// Exchange returns the exchange with a name, or nil.
func (h *VHost) Exchange(name string) *Exchange { x, _ := h.exchanges.get(name); return x }

// ExchangeBytes is Exchange for a name in a buffer.
func (h *VHost) ExchangeBytes(name []byte) *Exchange { x, _ := h.exchanges.getBytes(name); return x }

// Exchanges lists the exchanges by name, from a name on.
func (h *VHost) Exchanges(from string) iter.Seq[*Exchange] { return h.exchanges.all(from) }

// ExchangeCount returns the number of exchanges.
func (h *VHost) ExchangeCount() int { return h.exchanges.len() }
