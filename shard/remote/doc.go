// Package remote is the road between a node's sessions and a shard that is led
// on another node: frames over data streams.
//
// Server is the leader's end: it hands what a stream brings to the shard.Host
// it is for, and what the shard has for that node's consumers to the stream.
// Client is the other end, and a shard.Shard: it sends batches, settles and
// requests to whoever leads, again after a break, and meters what its consumers
// are sent. DESIGN.md has the protocol.
//
// It owns no socket and no goroutine. A stream's reader goroutine calls
// Opened, Frames and Closed, a shard's turn calls sinks and answers; none of
// them ever waits. A Client's own work is a turn too, run by whoever finds it
// idle.
package remote
