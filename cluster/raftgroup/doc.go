// Package raftgroup runs the Raft groups of one node: it steps
// go.etcd.io/raft, stores through storage.LogStore, sends through a Transport
// and feeds each group's committed entries to a commitlog.Machine.
//
// It never interprets an entry, keeps no state of its own on disk, opens no
// connection and reads no clock but the one it is handed. It is used by
// whoever owns machines (shards, the catalog); the transport hands it the
// peers' messages.
//
// # Turns
//
// A group is a step function. All of its state is owned by whoever runs its
// turn, and a Token makes that one goroutine at a time:
//
//   - Group.Wake marks work and lets the group's goroutine (Group.Run) do it;
//   - Group.TryTurn does it on the caller's goroutine if nobody is at it;
//   - with one voter the log writer's goroutine does it when a sync ended, so
//     that a write of a single node changes goroutines nowhere.
//
// A turn takes the inbox (ticks, peers' messages, ended writes, requests),
// steps it, applies what was committed, lets the machine propose, and hands out
// what Raft wants stored and sent. Messages to peers leave at once: the
// leader's appends before its own sync ends. What depends on a sync (votes,
// acknowledgements) leaves only from the Done of the append it depends on.
//
// In a simulation nobody calls Run. The simulator calls LogStore.Drain,
// Host.Tick, Host.Deliver and Group.TryTurn itself.
//
// # Data is not copied
//
// A payload handed to Proposer.Propose is the very slice that LogStore writes,
// the Transport sends and Machine.Apply receives. raft 3.7 clones the entries
// it is proposed; therefore an entry is proposed without its payload and gets
// it when it first comes out of Raft, before anything was stored or sent
// (proposer.go). What Raft counts of payloads in between is counted here: the
// bytes not yet applied, and the bytes in flight to a peer.
//
// # Messages
//
// A *raftpb.Message belongs to the transport from Send on, and to the group
// from Deliver on; neither side changes it or the entries it points to, for
// entries are shared with the log cache and, within one process, with peers.
// The slice that carries the messages stays the caller's.
//
// # Randomness
//
// The only randomness is Raft's own: its randomised election timeouts read
// crypto/rand.Reader. A deterministic test swaps that variable for a seeded
// reader, under a lock and with one goroutine stepping groups.
package raftgroup
