// Package queue is the queue machine: what is in a queue and who gets it.
//
// A Ledger is the replicated content of one queue. Each of its mutating methods
// is the effect of a logged command: it depends on earlier commands alone, so
// that every replica that applied the same entries holds the same ledger. It
// never reads disk: the records of cold pages may be out of memory, and every
// command carries what it needs to know about them.
//
// A Dispatcher stands over one Ledger on the leader only. It is soft: consumers,
// credit, holdings, the order of what is ready. It decides; the caller logs what
// was decided; the ledger applies it and tells the dispatcher, which needs no
// further hook. A decided message is neither ready nor held until then.
//
// # Sequences, lanes and pages
//
// A message has a sequence for its life in the queue. The top byte is its
// priority (its lane), the rest counts from 1 within the lane; a queue without
// priorities has lane 0 only and pays nothing for the others. Sequences live in
// pages of PageSize: a header (counts, live bitmap, exceptions) that is always
// in memory, and immutable records that need not be. What changes about a
// message after its birth (returned counts, a new place) is an exception in
// the header, so records are only ever appended, and a cut shares them without
// copying.
//
// # What it never does
//
// The package has no clock, goroutine, lock, I/O, logger or random source; no
// map is iterated into an effect. One turn at a time owns a Ledger and its
// Dispatcher. Only the methods of a Cut may run on another goroutine while the
// owner goes on.
//
// The queue's outbox, origin windows, grants and frozen state belong into the
// queue record beside the lanes; its codec has a version for them.
package queue
