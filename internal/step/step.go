// Package step names the steps of what a cluster does in more than one, and that a
// failure may interrupt between any two: moves, snapshots, checkpoints, attaching,
// changes of members, leads that are handed over. Where a step is done the code
// says so with At, which does nothing and is compiled away unless the build has the
// tag steps. Then the environment variable WARREN_STEPS names a directory in which
// a test leaves an order: at which step, for which time from then on, the process
// kills itself, stands still, or waits there while the test hurts another. Nothing
// that is shipped has the tag.
//
// A step without a run that was interrupted there is not proven: test/cluster runs
// them all, and fails if one was never come to.
package step

// A Name is one of the steps.
type Name string

// Dir is the environment variable that names the directory of orders.
const Dir = "WARREN_STEPS"

// Files of that directory.
const (
	Order = "order" // a name, how often it has to come, and what is done then
	Done  = "done"  // the order, once it is carried out
	Hold  = "hold"  // is there as long as a step is held up
)

// What an order has done.
const (
	Die  = "die"  // the process kills itself
	Stop = "stop" // all of the process stands still until it is sent SIGCONT
	Wait = "wait" // who came to the step stands still until Hold is removed, 20 s at most
)

// A queue moves from the memory of a node to a shard.
const (
	MovePlaced   Name = "move-placed"   // a shard was chosen for it
	MoveFrozen   Name = "move-frozen"   // it gives out nothing, and nothing is held
	MoveSwitched Name = "move-switched" // the catalog says so
	MoveGoing    Name = "move-going"    // its node publishes what it has to the shard
	MoveHanded   Name = "move-handed"   // a message was handed to the shard
	MoveTaken    Name = "move-taken"    // the shard said what it took
	MoveGone     Name = "move-gone"     // nothing is left in the memory
	MoveHeld     Name = "move-held"     // a node heard of it and holds what its sessions want
	MoveFlushed  Name = "move-flushed"  // what that node had sent to the memory is in the shard
	MoveFollowed Name = "move-followed" // its sessions go on in the shard
)

// A snapshot goes from the leader of a group to a replica that lags.
const (
	SnapshotWanted   Name = "snapshot-wanted"   // leader: Raft wants one, and there is none
	SnapshotOffered  Name = "snapshot-offered"  // leader: Raft is given one
	SnapshotHeard    Name = "snapshot-heard"    // replica: the offer has come
	SnapshotStaged   Name = "snapshot-staged"   // replica: it has made room
	SnapshotAsked    Name = "snapshot-asked"    // leader: somebody comes for it
	SnapshotSent     Name = "snapshot-sent"     // leader: some of it was sent
	SnapshotCame     Name = "snapshot-came"     // replica: some of it has come
	SnapshotWhole    Name = "snapshot-whole"    // replica: all of it has come and is not durable
	SnapshotDurable  Name = "snapshot-durable"  // replica: it is durable, beside what there was
	SnapshotTold     Name = "snapshot-told"     // leader: the replica has it, and Raft does not know
	SnapshotHanded   Name = "snapshot-handed"   // replica: Raft is about to see the message
	SnapshotReset    Name = "snapshot-reset"    // replica: the log begins behind it, the state is the old one
	SnapshotSwitched Name = "snapshot-switched" // replica: the state is the new one, and was not read
	SnapshotIn       Name = "snapshot-in"       // replica: it goes on from there
	SnapshotResumed  Name = "snapshot-resumed"  // replica: it ended before the switch, and does it as it starts
)

// What is applied becomes durable, and the log is dropped behind it.
const (
	CheckpointBegun   Name = "checkpoint-begun"   // a round is open
	CheckpointCut     Name = "checkpoint-cut"     // all groups have said what is to be written
	CheckpointBodies  Name = "checkpoint-bodies"  // the bodies of a group are written
	CheckpointState   Name = "checkpoint-state"   // the state of a group is written
	CheckpointDurable Name = "checkpoint-durable" // all is durable, and nobody knows
	CheckpointEnded   Name = "checkpoint-ended"   // all know
	LogDropped        Name = "log-dropped"        // a group gave up what stands in front
)

// The sessions of a node attach to whoever leads a shard now.
const (
	AttachBegun    Name = "attach-begun"    // client: it turns to a leader
	AttachSent     Name = "attach-sent"     // client: some of the report was sent
	AttachCame     Name = "attach-came"     // leader: some of it has come
	AttachClaimed  Name = "attach-claimed"  // leader: what a node holds is kept for it
	AttachEnded    Name = "attach-ended"    // leader: the report has come to its end
	AttachAnswered Name = "attach-answered" // client: the leader says so
	AttachResent   Name = "attach-resent"   // client: what was not answered is asked again
	ServeLogged    Name = "serve-logged"    // leader: it is about to log that it serves a node
	ServeApplied   Name = "serve-applied"   // any replica: that is applied
	GrantLogged    Name = "grant-logged"    // leader: it is about to log which consumer is active
	GrantApplied   Name = "grant-applied"   // any replica: that is applied
	AttachLost     Name = "attach-lost"     // leader: a stream broke
)

// The members of a group change.
const (
	MemberAdded    Name = "member-added"    // leader: a learner is proposed
	MemberPromoted Name = "member-promoted" // leader: it has caught up, and a vote is proposed
	MemberDemoted  Name = "member-demoted"  // leader: a joint change takes votes away
	MemberRemoved  Name = "member-removed"  // leader: a learner is to leave
	MemberApplied  Name = "member-applied"  // any replica: a change is applied
	MemberJoint    Name = "member-joint"    // any replica: the group needs two majorities
	MemberParted   Name = "member-parted"   // any replica: it needs one again
	MemberNoted    Name = "member-noted"    // leader: the catalog is told
	ReplicaOpened  Name = "replica-opened"  // a node has a replica that the catalog gave it
	ReplicaLeaving Name = "replica-leaving" // its group is no more asked for anything here
	ReplicaClosed  Name = "replica-closed"  // its group has ended here
	ReplicaDropped Name = "replica-dropped" // its log is gone, its state is there
	ReplicaFreed   Name = "replica-freed"   // all of it is gone
)

// Nodes come and go.
const (
	NodeAdmitted Name = "node-admitted" // a member: the catalog knows one that joins, and no intent
	NodeLetIn    Name = "node-let-in"   // who joins: it was let in, and has kept nothing
	NodeTrusted  Name = "node-trusted"  // who joins: it has kept what it was given, and not that it joined
	NodeJoined   Name = "node-joined"   // who joins: it has kept that, too
	NodeLeaving  Name = "node-leaving"  // who leaves: that is intended
	NodeForgot   Name = "node-forgot"   // a member: it is intended to forget another
	NodeRemoved  Name = "node-removed"  // who leads the catalog: a node is no member any more
	NodeDraining Name = "node-draining" // a node is to lead nothing
	NodeDrained  Name = "node-drained"  // who is drained: it leads nothing, and says so
	NodeRevived  Name = "node-revived"  // a node may lead again
)

// A lead is handed over.
const (
	LeadQuiet   Name = "lead-quiet"   // who leads is to decide nothing any more
	LeadHanded  Name = "lead-handed"  // all that it decided is committed: another is to stand
	LeadTaken   Name = "lead-taken"   // somebody leads, in a new term
	LeadLost    Name = "lead-lost"    // somebody leads no more
	LeadResumed Name = "lead-resumed" // who handed over, or could not, goes on
)

// Names returns all of them, in the order in which they come.
func Names() []Name {
	return []Name{
		MovePlaced, MoveFrozen, MoveSwitched, MoveGoing, MoveHanded, MoveTaken, MoveGone, MoveHeld, MoveFlushed, MoveFollowed,
		SnapshotWanted, SnapshotOffered, SnapshotHeard, SnapshotStaged, SnapshotAsked, SnapshotSent, SnapshotCame, SnapshotWhole,
		SnapshotDurable, SnapshotTold, SnapshotHanded, SnapshotReset, SnapshotSwitched, SnapshotIn, SnapshotResumed,
		CheckpointBegun, CheckpointCut, CheckpointBodies, CheckpointState, CheckpointDurable, CheckpointEnded, LogDropped,
		AttachBegun, AttachSent, AttachCame, AttachClaimed, AttachEnded, AttachAnswered, AttachResent,
		ServeLogged, ServeApplied, GrantLogged, GrantApplied, AttachLost,
		MemberAdded, MemberPromoted, MemberDemoted, MemberRemoved, MemberApplied, MemberJoint, MemberParted, MemberNoted,
		ReplicaOpened, ReplicaLeaving, ReplicaClosed, ReplicaDropped, ReplicaFreed,
		NodeAdmitted, NodeLetIn, NodeTrusted, NodeJoined, NodeLeaving, NodeForgot, NodeRemoved, NodeDraining, NodeDrained, NodeRevived,
		LeadQuiet, LeadHanded, LeadTaken, LeadLost, LeadResumed,
	}
}
