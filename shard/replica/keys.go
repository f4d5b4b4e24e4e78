package replica

import (
	"encoding/binary"

	"github.com/warrenmq/warren/storage/slot"
)

// Keys of a shard in the state store. Every key begins with the shard's slot (see
// storage/slot), so no key is shared between shards; numbers are big-endian, so
// keys sort by them.
//
//	'S' slot 'a'                    applied index, term, log time, round, ConfState
//	'S' slot 'b' index offset       a body that outlived its log segment
//	'S' slot 'c' index offset       how many records share that body, if more than one
//	'S' slot 'i'                    the incarnations served
//	'S' slot 'n' node               a node's batch stream and ended incarnation
//	'S' slot 'q' queue              a queue's record
//	'S' slot 'p' queue page         header and bitmap of a page
//	'S' slot 'r' queue page         records of a page
const (
	keyApplied = 'a'
	keyBody    = 'b'
	keyShared  = 'c'
	keyServed  = 'i'
	keyStream  = 'n'
	keyQueue   = 'q'
	keyPage    = 'p'
	keyRecords = 'r'
)

func key(dst []byte, in uint64, kind byte) []byte { return append(slot.Prefix(dst, in), kind) }

func key1(dst []byte, in uint64, kind byte, a uint64) []byte {
	return binary.BigEndian.AppendUint64(key(dst, in, kind), a)
}

func key2(dst []byte, in uint64, kind byte, a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(key1(dst, in, kind, a), b)
}

func bodyKey(dst []byte, in uint64, kind byte, index uint64, off uint32) []byte {
	return binary.BigEndian.AppendUint32(key1(dst, in, kind, index), off)
}

// keyNumbers returns the numbers of a key made by key1 or key2.
func keyNumbers(k []byte) (a, b uint64) {
	k = k[10:]
	a = binary.BigEndian.Uint64(k)
	if len(k) >= 16 {
		b = binary.BigEndian.Uint64(k[8:])
	}
	return a, b
}
