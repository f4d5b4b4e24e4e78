// Package sim runs nodes of Raft groups in one goroutine and virtual time: the
// groups are those of production, the disk can lose what was not synced, the
// network loses, doubles, delays and splits, and nodes crash, stall and are
// replaced. One seed is one run, and the same seed gives the same trace.
//
// While it runs a Checker holds the run against what Raft promises; at the end
// everything is healed and all members must come to the same state, with every
// confirmed operation in it.
//
// The machine that is fed is pluggable: a Config brings a function that makes
// one. NewLedger is a list, which shows what Raft does; NewQueues is a real shard
// of real queues with clients at every node, held against what they were told.
// Run it with
//
//	go test ./test/sim -seeds=2000            many runs
//	go test ./test/sim -seed=42 -trace=true   one run, with its trace
package sim
