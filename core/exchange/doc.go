// Package exchange is the routing of one exchange: which destinations a routing
// key and headers lead to, for the types direct, fanout, topic and headers.
//
// A Table is an immutable value. Bind and Unbind return a new table that shares
// all but O(log n) of its structure with the old one, so a change to 100,000
// bindings is as cheap as one to ten, and readers need no lock. Route allocates
// nothing: it appends to the caller's slice and works in the caller's Router.
//
// The work of a topic match is bounded by (words of the key) × (nodes of the
// patterns' trie), whatever the patterns: states of the match are kept as a
// set, never as a stack of guesses, and runs of wildcards are put in one
// canonical order first.
//
// The package is pure: no clock, no goroutines, no I/O. core/catalog keeps the
// tables; the broker's sessions route over them, each with its own Router.
package exchange
