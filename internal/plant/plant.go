// Package plant names the bugs that can be planted to see that they are found: a
// check that has never failed is worth nothing. Where a bug can be, the code asks
// Is, which is false, and compiled away, unless the build has the tag plants; then
// one bug at a time is chosen, with Set, or by the environment variable
// WARREN_PLANT of the process. Nothing that is shipped has the tag.
package plant

// A Name is one of the bugs.
type Name string

// The bugs.
const (
	// ConfirmBeforeSync: answers leave when a write is submitted.
	ConfirmBeforeSync Name = "confirm-before-fsync"
	// SyncErrorIgnored: a sync that failed counts as one.
	SyncErrorIgnored Name = "fsync-error-ignored"
	// SnapshotDropsEntry: the first entry behind a snapshot is not applied.
	SnapshotDropsEntry Name = "snapshot-drops-entry"
	// VoteForgotten: a restart finds no vote.
	VoteForgotten Name = "vote-forgotten"
	// AppliedTwice: a restart applies its first entry twice.
	AppliedTwice Name = "applied-twice"
	// AckOnLeaderOnly: followers do not apply settlements.
	AckOnLeaderOnly Name = "ack-on-leader-only"
	// RedeliveredFlagLost: what a lost consumer may have had is not flagged.
	RedeliveredFlagLost Name = "redelivered-flag-lost"
	// RequeueToTail: what is given back goes behind all others.
	RequeueToTail Name = "requeue-to-tail"
	// StaleSettle: a settlement counts though another holds the message.
	StaleSettle Name = "stale-settle"
	// LettersDropped: a new leader forgets what is in outboxes.
	LettersDropped Name = "dlx-dropped"
	// TornTx: a transaction publishes and does not settle.
	TornTx Name = "torn-tx"
	// DedupNotInSnapshot: checkpoints lack what a queue took of its sources.
	DedupNotInSnapshot Name = "dedup-not-in-snapshot"
	// ChecksumNotVerified: what is read of the log is believed.
	ChecksumNotVerified Name = "checksum-not-verified"
	// OrphanCleanup: what a node's view of the catalog lacks is removed.
	OrphanCleanup Name = "orphan-cleanup"
	// WallClock: log time is the leader's wall clock.
	WallClock Name = "ttl-wall-clock"
)
