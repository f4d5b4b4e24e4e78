// Package catalog is the metadata machine of a cluster: nodes and their
// incarnations, shards, vhosts, users, permissions, exchanges, bindings, queues
// of every kind, policies and parameters.
//
// A Machine applies commands, one at a time, in the order of the catalog's log.
// The same commands give the same state, the same results and the same digest
// on every node. What a command takes away with it (a queue's bindings, an
// incarnation's queues) is decided here and named in its Result, so that
// whoever applies knows exactly what follows; nothing goes because somebody
// lacks knowledge of it.
//
// A View is the machine's state at one revision: immutable, shared between all
// readers, read without a lock. A change costs O(log n). The objects in it
// (*Queue, *Exchange, ...) are immutable too; a change replaces the object, so
// a pointer that is still the same means that nothing about it changed.
// Bindings are not part of an Exchange: they may change under the same pointer.
//
// The package is pure: no clock (log time comes with each command), no
// goroutines, no I/O, no logger; no order of a Go map and no pattern reaches a
// result. One goroutine drives a Machine; Views may be used by any.
package catalog
