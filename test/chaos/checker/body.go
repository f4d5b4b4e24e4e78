package checker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// An ID names a message: the producer's number, and the message's with it.
type ID struct {
	Producer uint32
	Seq      uint64
}

func (id ID) String() string { return fmt.Sprintf("message %d of producer %d", id.Seq, id.Producer) }

// A body is
//
//	producer u32 | seq u64 | crc32c of all but itself u32 | filling
//
// where the filling follows from the ID, so that bytes of another message are
// found even if they carry its checksum.
const headerLen = 16

// maxSeq bounds the numbers that Parse takes, and with them the checker's memory.
const maxSeq = 1 << 28

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBody appends the body of a message of size bytes, at least 16.
func AppendBody(dst []byte, id ID, size int) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, id.Producer)
	dst = binary.BigEndian.AppendUint64(dst, id.Seq)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	for i := headerLen; i < size; i++ {
		dst = append(dst, filling(id, i))
	}
	body := dst[start:]
	binary.BigEndian.PutUint32(body[12:], checksum(body))
	return dst
}

// Parse checks a body and returns whose it is.
func Parse(body []byte) (ID, error) {
	if len(body) < headerLen {
		return ID{}, fmt.Errorf("a body of %d bytes", len(body))
	}
	id := ID{Producer: binary.BigEndian.Uint32(body), Seq: binary.BigEndian.Uint64(body[4:])}
	if got, want := checksum(body), binary.BigEndian.Uint32(body[12:]); got != want {
		return id, fmt.Errorf("checksum %08x, want %08x, in what says to be %v", got, want, id)
	}
	if id.Seq > maxSeq {
		return id, errors.New("a number out of bounds")
	}
	for i := headerLen; i < len(body); i++ {
		if body[i] != filling(id, i) {
			return id, fmt.Errorf("byte %d is of another message than %v", i, id)
		}
	}
	return id, nil
}

func filling(id ID, i int) byte { return byte(uint64(id.Producer)*131 + id.Seq*31 + uint64(i)) }

func checksum(body []byte) uint32 {
	sum := crc32.Update(0, castagnoli, body[:12])
	return crc32.Update(sum, castagnoli, body[headerLen:])
}
