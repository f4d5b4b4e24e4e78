// Package reconcile says what has to be changed in the catalog next, so that what
// was decided comes about: intents, replicas that a node which leaves has to give
// away, shards that are missing, who should lead. It is pure: the same catalog
// gives the same commands, and whoever leads the catalog later goes on where
// another stopped, because nothing is remembered but the catalog.
//
// It never changes a Raft group. The leader of each drives that towards what the
// catalog says, one step at a time (package steer), and tells the catalog what
// members it has (catalog.NoteMembers); only what was told so counts here. So a
// node is forgotten when no group has it, and not when it should not have.
//
// The node that leads the catalog calls it, on its planner's goroutine.
package reconcile
