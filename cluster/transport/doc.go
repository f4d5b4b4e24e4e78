// Package transport connects the nodes of a cluster: who may speak to whom, and
// the connections they do it on.
//
// It owns the cluster's trust (certificates, the sealed authority key, the
// cookie's proof), admission of new nodes, and one connection for each class
// and peer:
//
//   - raft: Raft's messages and the members' beats. Beats go first, then
//     heartbeats, votes and answers, then appends. What does not fit is dropped.
//   - data: a Stream of frames in order, for publishes, deliveries, settlements.
//     The node that dialled asks, the one that accepted serves; a pair of nodes
//     has two. What does not fit closes the stream.
//   - bulk: one connection for each transfer, paced, checksummed in chunks.
//
// It never interprets what it carries, keeps no queue on disk, tries no address
// that SetPeers did not name, and decides nothing about membership: a node that
// is not among its peers is refused. Frames carry bytes: no code, no names of
// types, no commands to run.
//
// # Goroutines
//
// Serve accepts on its caller's goroutine. Each link (a class to a peer) has one
// goroutine that dials, writes and dials again, and each connection has one that
// reads; the callbacks in Options run on these. Close ends all of them and
// waits, so a callback must not call it.
//
// # What is handed in
//
// Connections come from Options.Dial and the listener given to Serve, time from
// Options.Clock, chance from Options.Rand. No deadline of the operating system
// is used: a timer of the clock closes a connection that has stood still.
package transport
