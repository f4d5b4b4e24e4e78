package admin

import (
	"context"
	"encoding/json"
	"io"
)

// Backups are taken of a working node, and given back to one. What is written
// and read is the format of package archive.
type Backups interface {
	// Backup writes an archive of definitions and messages.
	Backup(ctx context.Context, w io.Writer) error
	// BeginRestore says whether the node takes an archive, and where to go on
	// with one that was interrupted. It imports the definitions.
	BeginRestore(ctx context.Context, q BeginRestore) (Restoring, error)
	// RestoreQueue takes the messages of one queue: an archive with one queue in
	// it and no definitions. All of them are in the queue afterwards, or, if it
	// fails, none that stayed.
	RestoreQueue(ctx context.Context, q RestoreQueue, messages io.Reader) (Restored, error)
	// EndRestore says that the archive is restored.
	EndRestore(ctx context.Context, q ArchiveID) (Done, error)
}

// An ArchiveID names an archive.
type ArchiveID struct {
	Archive string `json:"archive"`
}

// BeginRestore begins or goes on.
type BeginRestore struct {
	ArchiveID
	// Force lets a node that has queues take the archive.
	Force       bool            `json:"force,omitempty"`
	Definitions json.RawMessage `json:"definitions"`
}

// Restoring is where a restore stands.
type Restoring struct {
	// Next is the first queue of the archive that is not restored. Resumed says
	// that it may be restored in part: the restore was begun before.
	Next    int  `json:"next"`
	Resumed bool `json:"resumed,omitempty"`
	// Imported says what was done with the definitions.
	Imported Imported `json:"imported"`
}

// RestoreQueue names the queue that messages are for.
type RestoreQueue struct {
	ArchiveID
	// Index is the queue's place in the archive.
	Index int    `json:"index"`
	VHost string `json:"vhost"`
	Name  string `json:"name"`
	// Schedule says that Name is that of a delayed exchange, in which the
	// messages are to wait.
	Schedule bool `json:"schedule,omitempty"`
	// Again says that this queue may hold a part of its messages, from a restore
	// that was interrupted: it is purged first.
	Again bool `json:"again,omitempty"`
	// Force lets a queue that holds messages take more.
	Force bool `json:"force,omitempty"`
}

// Restored is what a queue got.
type Restored struct {
	Messages uint64 `json:"messages"`
}
