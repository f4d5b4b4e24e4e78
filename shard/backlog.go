package shard

// Backlog is implemented by a Consumer.Shared whose Take says no for two
// reasons: because a limit is reached that the consumer shares with others, or
// because its connection has too much to write. Messages that have come from
// another node already wait for the connection, but not for the others.
type Backlog interface {
	// Backlogged reports whether the last Take said no because of the connection.
	Backlogged() bool
}
