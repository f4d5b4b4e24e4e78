package seglog

import (
	"fmt"

	"github.com/warrenmq/warren/storage"
)

// Damage is a place where acknowledged data was lost. It is ErrDamaged.
type Damage struct {
	Segment        uint64 // sequence
	Offset, Length int64
	// Missing says that the whole segment is not there.
	Missing bool
	// Known says that the record's header survived, or that the index knew the
	// entry: the loss touches Group alone, at Index if it is an entry.
	Known        bool
	Group, Index uint64
}

func (d *Damage) Error() string {
	switch {
	case d.Missing:
		return fmt.Sprintf("segment %d is missing: %v", d.Segment, storage.ErrDamaged)
	case d.Known:
		return fmt.Sprintf("segment %d, offset %d, %d bytes, group %d, index %d: %v",
			d.Segment, d.Offset, d.Length, d.Group, d.Index, storage.ErrDamaged)
	}
	return fmt.Sprintf("segment %d, offset %d, %d bytes: %v", d.Segment, d.Offset, d.Length, storage.ErrDamaged)
}

// Unwrap makes a Damage storage.ErrDamaged.
func (d *Damage) Unwrap() error { return storage.ErrDamaged }

func lostEntry(group, index uint64) error {
	return fmt.Errorf("seglog: entry %d of group %d was lost: %w", index, group, storage.ErrDamaged)
}
