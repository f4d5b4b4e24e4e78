// Package pmap gives persistent maps: every change returns a new map that
// shares all but O(log n) of its structure with the old one, which stays as it
// was. A reader that holds a map needs no lock and never sees it change.
//
// Hash is for look-ups by name alone, Map (string keys) and Ints (uint64 keys)
// are ordered. Who needs both keeps both.
//
// The ordered ones are the same B+tree.
// A node keeps for each key a head, the eight bytes behind the prefix that all
// keys of the node have in common, in one array: a search looks at that array
// and touches the keys themselves only to confirm what it found. Names such as
// queue-000017 differ late, and this is what keeps their look-up short.
//
// Iteration is in key order and depends on the content only. The package has
// no goroutines and no randomness; hostile keys cost O(log n) like any others.
package pmap
