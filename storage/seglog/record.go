package seglog

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/warrenmq/warren/storage"
)

// A record, little endian, starts at a multiple of 8:
//
//	 0        4        8        12       16           22   23   24
//	+--------+--------+--------+--------+------------+----+----+
//	| crc    | length | datacrc| ordinal| segment    |kind|type|
//	+--------+--------+--------+--------+------------+----+----+
//	| group           | index           | term            | 24..48
//	+-----------------+-----------------+-----------------+
//	| data (length bytes), zeros up to a multiple of 8    |
//	+-----------------------------------------------------+
//
// crc is the CRC-32C, begun with the log's salt, of the header behind it, and
// so of datacrc too: the header can be believed, and its record skipped, even
// where the data is damaged. ordinal counts the records of a group, so that
// recovery can tell which groups a hole did not touch.
const (
	recordHeaderSize = 48
	recordAlign      = 8
	maxData          = 1<<32 - 1 - segmentHeaderSize - recordHeaderSize - 8
	seqMask          = 1<<48 - 1
	maxIndex         = 1<<62 - 1 // so that arithmetic on indexes cannot wrap
)

// Kinds of records; they are part of the format.
const (
	kindEntry     = 1 // type = Entry.Kind, data = Entry.Data
	kindHardState = 2 // index = commit, term = term, data = vote
	kindTruncate  = 3 // index, term: of the last entry given up
	kindReset     = 4 // index, term: of the entry before the first; type 1: the group ended
	kindSynced    = 5 // everything before (segment = group, offset = index) was synced; term = oldest segment held
	kindDamaged   = 6 // the group lost acknowledged data and was not begun anew since
	lastKind      = kindDamaged
)

const resetDrop = 1 // type of a kindReset

const voteSize = 8

const born = 1 << 31 // in an ordinal: first record of the group's life

// A record is the header of one.
type record struct {
	len, dataCRC, ord uint32
	kind, typ         uint8
	seq               uint64
	group             uint64
	index, term       uint64
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checksum(salt uint32, b []byte) uint32 { return crc32.Update(salt, castagnoli(), b) }

// recordSize is the space of a record with n bytes of data.
func recordSize(n int) int64 {
	return recordHeaderSize + (int64(n)+recordAlign-1)&^(recordAlign-1)
}

func (r *record) size() int64 { return recordSize(int(r.len)) }

// put encodes r into b, which has recordHeaderSize bytes.
func (r *record) put(b []byte, salt uint32) {
	le := binary.LittleEndian
	b = b[:recordHeaderSize]
	le.PutUint32(b[4:], r.len)
	le.PutUint32(b[8:], r.dataCRC)
	le.PutUint32(b[12:], r.ord)
	le.PutUint64(b[16:], r.seq&seqMask|uint64(r.kind)<<48|uint64(r.typ)<<56)
	le.PutUint64(b[24:], r.group)
	le.PutUint64(b[32:], r.index)
	le.PutUint64(b[40:], r.term)
	le.PutUint32(b, checksum(salt, b[4:]))
}

// parseRecord decodes the header in b; ok is false when it is none. Whether it
// belongs to the segment, and fits, is for the caller to check.
func parseRecord(b []byte, salt uint32) (r record, ok bool) {
	le := binary.LittleEndian
	b = b[:recordHeaderSize]
	w := le.Uint64(b[16:])
	r.kind = uint8(w >> 48)
	if r.kind == 0 || r.kind > lastKind {
		return record{}, false
	}
	if le.Uint32(b) != checksum(salt, b[4:]) {
		return record{}, false
	}
	r.len, r.dataCRC, r.ord = le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:])
	r.seq, r.typ = w&seqMask, uint8(w>>56)
	r.group, r.index, r.term = le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:])
	return r, r.wellFormed()
}

func (r *record) wellFormed() bool {
	switch r.kind {
	case kindEntry:
		return r.index > 0 && r.index <= maxIndex && uint64(r.len) <= maxData
	case kindTruncate, kindReset:
		return r.index <= maxIndex && r.len == 0
	case kindHardState:
		return r.len == voteSize
	default:
		return r.len == 0
	}
}

// bornOrdinal is the ordinal of the first record of a group's life. It begins
// the count at a number that two lives hardly share, lest a hole between them
// pass for none.
func bornOrdinal(seq uint64, off int64) uint32 {
	h := (seq<<28 ^ uint64(off)) * 0x9e3779b97f4a7c15
	return born | uint32(h>>33)
}

// nextOrdinal is the ordinal of every further record.
func nextOrdinal(ord uint32) uint32 { return (ord + 1) &^ born }

func hardStateOf(r *record, data []byte) storage.HardState {
	return storage.HardState{Term: r.term, Commit: r.index, Vote: binary.LittleEndian.Uint64(data)}
}
