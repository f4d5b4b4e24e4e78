package seglog

import (
	"fmt"

	"github.com/warrenmq/warren/storage"
)

// Damage is a place where acknowledged data was lost. It is ErrDamaged.
type Damage struct {
	Segment        uint64 // sequence
	File           string // name in the log's directory; empty if it is missing
	Offset, Length int64
	// Missing says that the whole segment is not there.
	Missing bool
	// Known says that the record's header survived, or that the index knew the
	// entry: the loss touches Group alone, at Index if it is an entry.
	Known        bool
	Group, Index uint64
}

func (d *Damage) Error() string { return fmt.Sprintf("%s: %v", d.Place(), storage.ErrDamaged) }

// Place says where the loss is.
func (d *Damage) Place() string {
	if d.Missing {
		return fmt.Sprintf("segment %d is missing", d.Segment)
	}
	place := fmt.Sprintf("segment %d (%s), offset %d, %d bytes", d.Segment, d.File, d.Offset, d.Length)
	if d.Known {
		place += fmt.Sprintf(", group %d, index %d", d.Group, d.Index)
	}
	return place
}

// Unwrap makes a Damage storage.ErrDamaged.
func (d *Damage) Unwrap() error { return storage.ErrDamaged }

func lostEntry(group, index uint64) error {
	return fmt.Errorf("seglog: entry %d of group %d was lost: %w", index, group, storage.ErrDamaged)
}
