package replica

import "encoding/binary"

// Keys of a shard in the state store. Every key begins with the shard, so no
// key is shared between shards; numbers are big-endian, so keys sort by them.
//
//	'S' shard 'a'                    applied index, term, log time, round, ConfState
//	'S' shard 'b' index offset       a body that outlived its log segment
//	'S' shard 'c' index offset       how many records share that body, if more than one
//	'S' shard 'n' node               a node's batch stream and ended incarnation
//	'S' shard 'q' queue              a queue's record
//	'S' shard 'p' queue page         header and bitmap of a page
//	'S' shard 'r' queue page         records of a page
const (
	keyApplied = 'a'
	keyBody    = 'b'
	keyShared  = 'c'
	keyStream  = 'n'
	keyQueue   = 'q'
	keyPage    = 'p'
	keyRecords = 'r'
)

func key(dst []byte, shard uint64, kind byte) []byte {
	dst = append(dst, 'S')
	dst = binary.BigEndian.AppendUint64(dst, shard)
	return append(dst, kind)
}

func key1(dst []byte, shard uint64, kind byte, a uint64) []byte {
	return binary.BigEndian.AppendUint64(key(dst, shard, kind), a)
}

func key2(dst []byte, shard uint64, kind byte, a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(key1(dst, shard, kind, a), b)
}

func bodyKey(dst []byte, shard uint64, kind byte, index uint64, off uint32) []byte {
	return binary.BigEndian.AppendUint32(key1(dst, shard, kind, index), off)
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
