package message

import (
	"encoding/binary"
	"slices"
)

// An OverlayKind names a change that the broker made to a message.
type OverlayKind uint64

// The kinds of overlay records. The numbers are written to disk; a reader
// passes over kinds it does not know.
const (
	// OverlayDeaths replaces the history of deaths: a list of tables.
	OverlayDeaths OverlayKind = iota + 1
	// OverlayNoTTL says that the publisher's expiration no longer holds.
	OverlayNoTTL
	// OverlayHeaders adds or replaces headers: a Table.
	OverlayHeaders
	// OverlayRoute replaces exchange and routing key: both as uvarint length
	// and bytes.
	OverlayRoute
	// OverlayCopies holds the routing keys beside the message's own: two lists,
	// those that receivers see and those that they do not. Two empty ones say
	// that what the publisher's headers list holds no longer.
	OverlayCopies
)

// AppendOverlay appends a record to dst: to a Message.Overlay, or to a whole
// blob, which stays valid and is not rewritten.
func AppendOverlay(dst []byte, kind OverlayKind, payload []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(kind))
	return appendBytes(dst, payload)
}

// AppendKept appends the records of m's overlay but for those of some kinds.
func (m *Message) AppendKept(dst []byte, but ...OverlayKind) []byte {
	r := reader{data: m.Overlay}
	for len(r.data) > 0 {
		k, p := OverlayKind(r.uvarint()), r.bytes()
		if r.failed {
			break
		}
		if !slices.Contains(but, k) {
			dst = AppendOverlay(dst, k, p)
		}
	}
	return dst
}

// Overlaid returns the latest record of a kind.
func (m *Message) Overlaid(kind OverlayKind) (payload []byte, ok bool) {
	r := reader{data: m.Overlay}
	for len(r.data) > 0 {
		k, p := OverlayKind(r.uvarint()), r.bytes()
		if r.failed {
			break
		}
		if k == kind {
			payload, ok = p, true
		}
	}
	return payload, ok
}

func overlayValid(overlay []byte) bool {
	r := reader{data: overlay}
	for len(r.data) > 0 && !r.failed {
		r.uvarint()
		r.bytes()
	}
	return !r.failed
}
