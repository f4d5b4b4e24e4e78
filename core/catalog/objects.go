package catalog

import (
	"slices"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// Cluster is what the catalog knows of the cluster as a whole.
type Cluster struct {
	ID         string // chosen once
	Generation uint64 // counts forced restarts without a majority
	Feature    uint64 // finalised level; nothing above it is proposed
	Name       string // what it was called when it was founded
}

// A Node is a member. Its id, which the node chose by chance when its data
// directory was made, is never used twice.
type Node struct {
	ID          uint64
	Revision    uint64 // of the last change to it
	Incarnation uint64 // the live one, or zero
	State       NodeState
	Name        string
	Attrs       message.Table // addresses and the like, for the layers above
}

// A NodeState says what a member takes part in.
type NodeState uint8

// The states of a node. The numbers are written to disk.
const (
	Serving    NodeState = iota
	Draining             // leads nothing and takes no clients, holds its replicas
	Leaving              // is being forgotten: it may not serve any more
	nodeStates           // their number
)

// String returns the state's name.
func (s NodeState) String() string { return [...]string{"serving", "draining", "leaving"}[s] }

// Forgotten is what stays of a node that was removed: it is not let in again.
type Forgotten struct {
	ID       uint64
	Revision uint64 // of its removal
	Name     string
	At       int64 // log time of its removal
}

// An Incarnation is one life of a node's process. Ended ones are not kept;
// their numbers are never used twice.
type Incarnation struct {
	Number  uint64
	Node    uint64
	Nonce   uint64 // chosen by the process, which finds itself by it
	Started int64  // log time
	Last    uint64 // number of its last marked command
}

// ShardSpec is what a shard should be. What it is its Raft group says: the
// shard's leader drives that towards this.
type ShardSpec struct {
	Replicas []uint64 // ids of the nodes that should hold it
	// Leader is the one of them that should lead it, or zero for any.
	Leader uint64
	Attrs  message.Table // room for what later features need to know
}

// A Shard is a Raft group that carries queues.
type Shard struct {
	ShardSpec
	ID       uint64
	Revision uint64
	// Founders are the replicas it was made with: the voters with which its Raft
	// group began.
	Founders []uint64
	// Members are the replicas that its Raft group has. They are what Replicas
	// says when the shard is as it should be.
	Members Members
}

// Members are the members of a shard's Raft group, as its leader told last.
type Members struct {
	Voters []uint64
	Others []uint64 // they follow, and do not vote yet or any more
	// At is an index of the group's log at which this was so, and applied; zero:
	// these are the founders.
	At uint64
}

// Has reports whether a node is a member.
func (m *Members) Has(node uint64) bool {
	return slices.Contains(m.Voters, node) || slices.Contains(m.Others, node)
}

// Holds reports whether a node has a replica of the shard, or is to have one.
func (s *Shard) Holds(node uint64) bool {
	return slices.Contains(s.Replicas, node) || s.Members.Has(node)
}

// A VHost is a namespace.
type VHost struct {
	ID       uint64
	Revision uint64 // of the last change to the vhost itself
	Name     string
	Attrs    message.Table // description, tags
	Limits   Limits        // on connections and queues
	Home     uint64        // the shard of its schedules, zero until there is one

	exchanges names[*Exchange]
	queues    names[*Queue]
}

// A User can log in. Password is a record that only auth understands.
type User struct {
	Revision uint64
	Name     string
	Password []byte
	Tags     []string
	Attrs    message.Table
	Limits   Limits // on connections and channels
}

// A Limit is a bound that may be absent: the zero Limit is none.
type Limit uint64

// AtMost is the limit n, which may be zero.
func AtMost(n uint64) Limit { return Limit(n) + 1 }

// Set reports whether there is a limit, and which.
func (l Limit) Set() (n uint64, ok bool) { return uint64(l) - 1, l != 0 }

// Limits bound what a vhost or a user may have at a time.
type Limits struct {
	Connections Limit
	Queues      Limit
	Channels    Limit
}

// A Permission says what a user may do in a vhost. The three are patterns that
// auth matches; an empty one matches nothing but the empty name.
type Permission struct {
	User      string
	VHost     uint64
	Revision  uint64
	Configure string
	Write     string
	Read      string
}

// A TopicPermission limits the routing keys of one exchange for a user.
type TopicPermission struct {
	User     string
	VHost    uint64
	Exchange string
	Revision uint64
	Write    string
	Read     string
}

// ExchangeSpec is what a client asks for.
type ExchangeSpec struct {
	Name       string
	Type       exchange.Type
	Durable    bool
	AutoDelete bool
	Internal   bool
	// Delayed exchanges route as their type says, but each message when it is
	// due.
	Delayed bool
	Args    message.Table // as they came
}

// TypeName returns the name of the type as it is declared.
func (s *ExchangeSpec) TypeName() string {
	if s.Delayed {
		return DelayedType
	}
	return s.Type.String()
}

// DelayedType is the name of the type of delayed exchanges; how they route
// stands in the argument DelayedTypeArg.
const (
	DelayedType    = "x-delayed-message"
	DelayedTypeArg = "x-delayed-type"
)

// An Exchange routes. Its bindings are in the View, under its id.
type Exchange struct {
	ExchangeSpec
	ID       uint64
	VHost    uint64
	Revision uint64 // made
	MadeAt   int64  // log time
	System   bool   // predeclared: cannot be deleted
	Schedule uint64 // the queue in which its messages wait, if it is delayed
	// Alternate, from Args or a policy, is where unroutable messages go, if
	// HasAlternate: an empty name is the default exchange.
	Alternate    string
	HasAlternate bool
	Governed
}

// A Session is one session of an incarnation, as its node numbers them.
type Session struct {
	Incarnation uint64
	Number      uint64
}

// A QueueKind says which machine serves a queue.
type QueueKind uint8

// The kinds of queues. The numbers are written to disk.
const (
	Classic      QueueKind = iota // a queue as declared by a client
	Quorum                        // declared with x-queue-type quorum
	Stream                        // an append-only log
	Subscription                  // a durable or shared subscription
	MQTTSession                   // a session's queue
	Retained                      // one live message per key
	Schedule                      // of a delayed exchange, whose name it has: messages in order of their due time
	queueKinds                    // their number
)

// A QueueState says whether a queue takes part in normal work.
type QueueState uint8

// The states of a queue. The numbers are written to disk.
const (
	Open        QueueState = iota
	Closing                // an ending is under way: the shard decides whether it may
	Moving                 // its content is on the way to another shard
	queueStates            // their number
)

// QueueSpec is what a client asks for, and where the proposer placed it.
type QueueSpec struct {
	Name       string
	Kind       QueueKind
	Durable    bool
	AutoDelete bool
	Exclusive  bool
	// Owner is the session with which an exclusive queue ends.
	Owner Session
	Args  message.Table // as they came
	// Shard carries the queue; zero is the memory of Incarnation, with which
	// the queue then ends.
	Shard       uint64
	Node        uint64 // home
	Incarnation uint64
}

// A Queue holds messages, in a shard or in memory.
type Queue struct {
	QueueSpec
	ID       uint64
	VHost    uint64
	Made     uint64 // the revision that made it
	Revision uint64 // of the last change to it
	MadeAt   int64  // log time
	Epoch    uint64 // counts its moves
	State    QueueState
	Governed
}

// Governed is what an object has from policies: one of each kind at most. When
// a policy changes, so do the objects that it governs.
type Governed struct {
	Policy         *Policy // in force, or nil
	OperatorPolicy *Policy
}

// A Policy gives arguments to what its pattern matches. The proposer matches
// and logs what it found; the machine keeps that.
type Policy struct {
	VHost      uint64
	Name       string
	Revision   uint64
	Operator   bool
	Pattern    string
	ApplyTo    string
	Priority   int64
	Definition message.Table
}

// A Parameter is a named value of a component, of a vhost or (VHost zero) of
// the cluster.
type Parameter struct {
	VHost     uint64
	Component string
	Name      string
	Revision  uint64
	Value     []byte
}

// A Bound is a binding together with its source.
type Bound struct {
	Source *Exchange
	exchange.Binding
}
