package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// A Command is one change, as it stands in the catalog's log. The set is
// closed: the types of this package that are pointers to what the op list
// names. What an op means never changes; a new meaning is a new op.
type Command interface {
	op() op
	fields(*coder)
	apply(*Machine) Result
}

type op uint64

// The ops. The numbers are written to disk.
const (
	opSetCluster op = iota + 1
	opAddNode
	opRemoveNode
	opRegister
	opEndIncarnation
	opEndSession
	opAddShard
	opSetShard
	opRemoveShard
	opAddVHost
	opSetVHost
	opRemoveVHost
	opSetUser
	opRemoveUser
	opSetPermission
	opClearPermission
	opSetTopicPermission
	opClearTopicPermission
	opDeclareExchange
	opDeleteExchange
	opDeclareQueue
	opUpdateQueue
	opDeleteQueue
	opBind
	opUnbind
	opSetPolicy
	opClearPolicy
	opSetParameter
	opClearParameter
	opSetLimits
	opSetNodeState
	opAddIntent
	opStepIntent
	opEndIntent
	opRefuse
	opNoteMembers
	opRecover
	opGiveUpShard
	opsEnd // behind the last
)

func newCommand(o op) Command {
	switch o {
	case opSetCluster:
		return &SetCluster{}
	case opAddNode:
		return &AddNode{}
	case opRemoveNode:
		return &RemoveNode{}
	case opSetNodeState:
		return &SetNodeState{}
	case opRegister:
		return &Register{}
	case opEndIncarnation:
		return &EndIncarnation{}
	case opEndSession:
		return &EndSession{}
	case opAddShard:
		return &AddShard{}
	case opSetShard:
		return &SetShard{}
	case opRemoveShard:
		return &RemoveShard{}
	case opAddVHost:
		return &AddVHost{}
	case opSetVHost:
		return &SetVHost{}
	case opRemoveVHost:
		return &RemoveVHost{}
	case opSetUser:
		return &SetUser{}
	case opRemoveUser:
		return &RemoveUser{}
	case opSetPermission:
		return &SetPermission{}
	case opClearPermission:
		return &ClearPermission{}
	case opSetTopicPermission:
		return &SetTopicPermission{}
	case opClearTopicPermission:
		return &ClearTopicPermission{}
	case opSetLimits:
		return &SetLimits{}
	case opAddIntent:
		return &AddIntent{}
	case opStepIntent:
		return &StepIntent{}
	case opEndIntent:
		return &EndIntent{}
	case opRefuse:
		return &Refuse{}
	case opNoteMembers:
		return &NoteMembers{}
	case opRecover:
		return &Recover{}
	case opGiveUpShard:
		return &GiveUpShard{}
	}
	return newTopologyCommand(o)
}

func newTopologyCommand(o op) Command {
	switch o {
	case opDeclareExchange:
		return &DeclareExchange{}
	case opDeleteExchange:
		return &DeleteExchange{}
	case opDeclareQueue:
		return &DeclareQueue{}
	case opUpdateQueue:
		return &UpdateQueue{}
	case opDeleteQueue:
		return &DeleteQueue{}
	case opBind:
		return &Bind{}
	case opUnbind:
		return &Unbind{}
	case opSetPolicy:
		return &SetPolicy{}
	case opClearPolicy:
		return &ClearPolicy{}
	case opSetParameter:
		return &SetParameter{}
	case opClearParameter:
		return &ClearParameter{}
	}
	return nil
}

// An UnknownCommandError says that a log holds a command that this program does
// not know. Whoever applies must stop: skipping it would make the node differ.
type UnknownCommandError struct {
	Op uint64
}

func (e *UnknownCommandError) Error() string {
	return fmt.Sprintf("catalog: command %d is not known to this version", e.Op)
}

// ErrCommand is wrapped by the error for a command that is malformed.
var ErrCommand = errors.New("catalog: malformed command")

// A Mark makes a command recognisable that may come more than once: the number
// that it has among those of an incarnation, from 1 on without a gap. The zero
// Mark is none.
type Mark struct {
	Incarnation, Number uint64
}

// Set reports whether there is a mark.
func (m Mark) Set() bool { return m != Mark{} }

// A Proposal is a command as it stands in the log.
type Proposal struct {
	Mark    Mark
	Stamp   int64 // log time at which it was proposed, in milliseconds
	Command Command
}

// opMark stands where an op would, in front of a mark.
const opMark = 0

// AppendProposal appends the encoding of a proposal to dst. Proposals may stand
// one behind the other in one entry.
//
// The encoding is: the mark, if there is one, as a zero, incarnation and number;
// op, stamp, length of the fields, fields.
func AppendProposal(dst []byte, p Proposal) []byte {
	if p.Mark.Set() {
		dst = binary.AppendUvarint(dst, opMark)
		dst = binary.AppendUvarint(dst, p.Mark.Incarnation)
		dst = binary.AppendUvarint(dst, p.Mark.Number)
	}
	c := coder{data: binary.AppendUvarint(dst, uint64(p.Command.op()))}
	c.int(&p.Stamp)
	body := coder{}
	p.Command.fields(&body)
	c.bytes(&body.data)
	return c.data
}

// AppendCommand appends the encoding of a proposal without a mark.
func AppendCommand(dst []byte, stamp int64, cmd Command) []byte {
	return AppendProposal(dst, Proposal{Stamp: stamp, Command: cmd})
}

// ParseProposal takes the first proposal off data. Its command is a copy. An
// error is an *UnknownCommandError or wraps ErrCommand.
func ParseProposal(data []byte) (p Proposal, rest []byte, err error) {
	c := coder{data: data, reading: true}
	var o uint64
	if c.uint(&o); o == opMark && !c.failed {
		c.uint(&p.Mark.Incarnation)
		c.uint(&p.Mark.Number)
		if c.uint(&o); !p.Mark.Set() {
			c.fail()
		}
	}
	c.int(&p.Stamp)
	body := coder{data: c.raw(), reading: true}
	if c.failed {
		return Proposal{}, nil, fmt.Errorf("%w: cut short", ErrCommand)
	}
	if p.Command = newCommand(op(o)); p.Command == nil {
		return Proposal{}, nil, &UnknownCommandError{Op: o}
	}
	if p.Command.fields(&body); body.failed || len(body.data) > 0 {
		return Proposal{}, nil, fmt.Errorf("%w: op %d", ErrCommand, o)
	}
	return p, c.data, nil
}

// Commands of the cluster.
type (
	// SetCluster sets the cluster's id, once, and raises generation and feature
	// level; zero or lower values leave them.
	SetCluster struct{ Cluster }
	// AddNode makes the node with an id a member, or changes a member's name and
	// attributes. A name is one member's, and the id of a node that was removed
	// is refused for ever.
	AddNode struct {
		ID    uint64
		Name  string
		Attrs message.Table
	}
	// RemoveNode forgets a member and ends its incarnation; its id stays known as
	// forgotten. It is refused while a shard has it as a replica, or is to have it.
	RemoveNode struct{ ID uint64 }
	// SetNodeState says what a member takes part in. One that is Leaving stays
	// so; its incarnation ends.
	SetNodeState struct {
		ID    uint64
		State NodeState
	}
	// Register begins an incarnation and ends an older one of the node. The
	// process finds itself by Nonce: should the command come twice, the second
	// finds what the first began, unless Nonce is zero.
	Register struct{ Node, Nonce uint64 }
	// EndIncarnation ends an incarnation with all that lives in it, if each of
	// the Witnesses to its silence still lives, and, unless Term is zero, the
	// entry is of that term of the log.
	EndIncarnation struct {
		Number    uint64
		Witnesses []uint64
		Term      uint64
	}
	// Refuse stands in the place of a marked command that its proposer could not
	// propose: the number is used up, and the result says why.
	Refuse struct{ Text string }
	// EndSession ends a session's exclusive queues.
	EndSession struct{ Session }
	// AddShard makes a shard.
	AddShard ShardSpec
	// SetShard replaces what a shard should be.
	SetShard struct {
		ID uint64
		ShardSpec
	}
	// NoteMembers says what members a shard's Raft group has: its leader tells,
	// when it has applied that. It is passed over if something newer was told.
	NoteMembers struct {
		Shard uint64
		Members
	}
	// RemoveShard forgets a shard. It is refused while queues are in it.
	RemoveShard struct{ ID uint64 }
	// Recover has one member go on without all others, for a majority is gone for
	// good, and raises the generation; at or below the one there is it does nothing.
	// All incarnations and intents end, the others are forgotten. A shard of which
	// nothing is kept is replaced by an empty one, in which its queues begin anew,
	// with their bindings.
	Recover struct {
		Node, Generation uint64
		Shards           []Recovered
	}
	// Recovered says of a shard whether Node has a replica of it, and what its
	// attributes are from then on.
	Recovered struct {
		ID    uint64
		Kept  bool
		Attrs message.Table
	}
	// GiveUpShard replaces a shard whose content is lost by an empty one, in which
	// its queues begin anew, with their bindings. The result has the new one's id.
	GiveUpShard struct {
		ID uint64
		ShardSpec
	}
)

// Commands of vhosts and users.
type (
	// AddVHost makes a vhost with its predeclared exchanges.
	AddVHost struct {
		Name  string
		Attrs message.Table
	}
	// SetVHost replaces a vhost's attributes.
	SetVHost struct {
		Name  string
		Attrs message.Table
	}
	// RemoveVHost removes a vhost with everything in it.
	RemoveVHost struct{ Name string }
	// SetUser makes or replaces a user.
	SetUser struct {
		Name     string
		Password []byte
		Tags     []string
		Attrs    message.Table
	}
	// RemoveUser removes a user with its permissions.
	RemoveUser struct{ Name string }
	// SetPermission makes or replaces a permission.
	SetPermission struct {
		User, VHost            string
		Configure, Write, Read string
	}
	// ClearPermission removes a permission.
	ClearPermission struct{ User, VHost string }
	// SetTopicPermission makes or replaces a topic permission.
	SetTopicPermission struct{ User, VHost, Exchange, Write, Read string }
	// ClearTopicPermission removes one, or with Exchange empty and All set all
	// of the user in the vhost.
	ClearTopicPermission struct {
		User, VHost, Exchange string
		All                   bool
	}
	// SetLimits replaces the limits of a user, or of a vhost if User is empty.
	SetLimits struct {
		User, VHost string
		Limits
	}
)

// Commands of topology.
type (
	// DeclareExchange makes an exchange, or compares it with the one that exists.
	DeclareExchange struct {
		VHost string
		ExchangeSpec
		Match
		// Home is to be the home shard of the vhost, if the exchange is delayed
		// and the vhost has none.
		Home uint64
	}
	// DeleteExchange removes an exchange: the one with ID, if ID is set.
	DeleteExchange struct {
		VHost, Name string
		ID          uint64
		IfUnused    bool // only if it has no bindings
	}
	// DeclareQueue makes a queue, or compares it with the one that exists. For
	// an exclusive queue Owner is the declaring session; for any other it says
	// who asks, for the lock of an exclusive one that exists.
	DeclareQueue struct {
		VHost string
		QueueSpec
		Match
		// Most is how many queues the cluster may have, 0 for any number.
		Most uint64
		// Strict says that a queue of another x-queue-type is another queue.
		Strict bool
	}
	// Match names the policies that govern a new object, as the proposer found
	// them, or is empty.
	Match struct{ Policy, OperatorPolicy string }
	// UpdateQueue changes where a queue is and whether it works. It applies only
	// if the queue's epoch is still Epoch. Raise makes the epoch one higher.
	UpdateQueue struct {
		ID, Epoch                uint64
		Raise                    bool
		State                    QueueState
		Shard, Node, Incarnation uint64
	}
	// DeleteQueue removes a queue and its bindings: the one with ID, if ID is
	// set.
	DeleteQueue struct {
		VHost, Name string
		ID          uint64
		By          Session // who asks; an exclusive queue lets its owner only
		Force       bool    // whoever asks
	}
	// Bind makes a binding from Source to the queue or exchange Destination.
	Bind struct{ Link }
	// Unbind removes one.
	Unbind struct{ Link }
	// Link names a binding.
	Link struct {
		VHost       string
		Source      string
		Kind        exchange.Kind
		Destination string
		Key         string
		Args        message.Table
	}
	// SetPolicy makes or replaces a policy. What the policy governed and no shift
	// names, it goes on to govern.
	SetPolicy struct {
		VHost      string
		Name       string
		Operator   bool
		Pattern    string
		ApplyTo    string
		Priority   int64
		Definition message.Table
		Shifts     []Shift
	}
	// ClearPolicy removes a policy. What the policy governed and no shift names
	// is without.
	ClearPolicy struct {
		VHost, Name string
		Operator    bool
		Shifts      []Shift
	}
	// A Shift names objects that another policy of the same kind governs once
	// the command is applied: the proposer's answer to what matches.
	Shift struct {
		Policy            string // empty: none
		Queues, Exchanges []uint64
	}
	// SetParameter makes or replaces a parameter, with VHost empty a cluster's.
	SetParameter struct {
		VHost, Component, Name string
		Value                  []byte
	}
	// ClearParameter removes a parameter.
	ClearParameter struct{ VHost, Component, Name string }
)
