package sim

import (
	"math/rand/v2"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/storage"
)

// A Machine is what a simulation feeds. It must be deterministic.
type Machine interface {
	commitlog.Machine
	// Offer hands over a client's operation. The machine proposes it in a turn
	// while it leads, or forgets it; once it has applied it in the term it was
	// proposed in it calls Env.Confirm.
	Offer(id uint64, r *rand.Rand)
	// Checkpoint returns the state as of the last entry applied.
	Checkpoint() []byte
	// Restore puts the state of a checkpoint in place of what there is.
	Restore(state []byte)
	// Digest is equal for equal states.
	Digest() uint64
	// Contains reports whether the operation took effect.
	Contains(id uint64) bool
}

// An Env is what a machine knows of where it lives.
type Env struct {
	Node, Group uint64
	// Confirm says that an operation is committed at the index.
	Confirm func(id, index uint64)
	// Refuse says that an operation was answered with a refusal: the group
	// lives, if its queue is full.
	Refuse func()

	// Log is the node's, Now its monotonic clock. After runs f later, unless
	// the node is restarted before; Wake asks for a turn. Applied is the index
	// applied last, Newest the newest term that anybody led.
	Log     storage.LogStore
	Now     func() time.Duration
	After   func(d time.Duration, f func())
	Wake    func()
	Applied func() uint64
	// Committed is the highest index that any node applied.
	Committed func() uint64
	Newest    func() uint64
	// Cut reports whether nothing gets from this node to another, Delay is how
	// long it takes if it does, and Up whether the node lives that the machine
	// is in. Kill ends the process of a node, which starts again. Chance is true
	// so often.
	Cut    func(to uint64) bool
	Delay  func() time.Duration
	Up     func() bool
	Kill   func(node uint64)
	Chance func(p float64) bool
	Count  func(what string)
	// Wall is the node's wall clock, which may be wrong and may jump.
	Wall func() time.Duration
	// World is the time that no node knows.
	World func() time.Duration
	// Note makes numbers a part of the run's hash.
	Note func(values ...uint64)
	// Trace writes a line into the trace.
	Trace func(format string, args ...any)
	// Fail reports a violation.
	Fail func(format string, args ...any)
}

// A Drainer is a machine whose leader, at the end of a run, can show all it holds.
// Contains is asked after that.
type Drainer interface {
	Drain()
	Drained() bool
}

// A Hander is a machine whose leader prepares to hand over. It calls now when the
// lead may go, and goes on after a while if it does not.
type Hander interface {
	Hand(now func())
}

// An Installer is a machine that takes a snapshot while it goes on: its clients
// stay. It calls done when the state is in place.
type Installer interface {
	Install(index, term uint64, state []byte, done func())
}

// A Verifier is a machine that, led and drained at the end of a run, can say more
// of it than Contains.
type Verifier interface {
	Verify()
}

// A Config describes a run.
type Config struct {
	Seed       uint64
	NewMachine func(Env) Machine
	Voters     int // founders of every group (3)
	Spares     int // nodes that may replace them (0)
	Groups     int // (5)
	// Ops is how many operations clients try (500).
	Ops int
	// Faults is how long faults last, in virtual time (12 s); Settle is how
	// long the cluster may take to converge after the last one (30 s).
	Faults, Settle time.Duration
	// Anywhere gives operations to any node, not to the leader mostly.
	Anywhere bool
	// Calm leaves out all faults.
	Calm bool
	// Clocks has nodes' clocks run at rates up to a twentieth apart, and jump.
	Clocks bool
	// Bug is planted to see that it is found; see the Bug constants.
	Bug Bug
	// Trace receives a line for everything that happens; nil discards them.
	Trace func(line string)
}

func (c Config) withDefaults() Config {
	if c.NewMachine == nil {
		c.NewMachine = NewLedger
	}
	if c.Voters == 0 {
		c.Voters = 3
	}
	if c.Groups == 0 {
		c.Groups = 5
	}
	if c.Ops == 0 {
		c.Ops = 500
	}
	if c.Faults == 0 {
		c.Faults = 12 * time.Second
	}
	if c.Settle == 0 {
		c.Settle = 30 * time.Second
	}
	return c
}

// A Bug is a fault of the node, not of its surroundings: a run with one must
// fail, or the checks are worth nothing.
type Bug int

// The bugs that can be planted.
const (
	NoBug          Bug = iota
	DoneBeforeSync     // answers leave when the write is queued for the disk
	VoteForgotten      // a restart finds no vote
	AppliedTwice       // a restart stands one entry before its checkpoint
	SnapshotShort      // a snapshot lacks its last operation
	TailLost           // a restart finds the log without its last synced entry
)

// A Result says what a run did.
type Result struct {
	Hash      uint64 // of the trace
	Steps     uint64
	Virtual   time.Duration
	Offered   int
	Confirmed int
	Counts    map[string]int // rare states reached, by name
	Err       error
}
