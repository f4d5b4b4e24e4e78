// Package state keeps everything of a node but the log: it implements
// storage.State twice. OpenPebble is the real one, on Pebble without a log of
// its own. NewMemory is a deterministic one for simulations, with a Crash.
//
// It owns files below the directory it is given and never interprets keys or
// values. The checkpointer writes it, shards and snapshots read it. Memory
// starts no goroutine; Pebble runs its own for flushes and compactions.
// DESIGN.md has the reasons.
package state

import (
	"errors"

	"github.com/warrenmq/warren/storage"
)

// ErrClosed is returned by a Flush that a Close overtook.
var ErrClosed = errors.New("state: closed")

var (
	_ storage.State = (*Pebble)(nil)
	_ storage.State = (*Memory)(nil)
)
