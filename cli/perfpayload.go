package cli

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A payload is what perf puts into a body, in front of the filling:
//
//	0  run       8  which run it belongs to
//	8  producer  4
//	12 sequence  8  from 0, per producer
//	20 sent      8  nanoseconds since the start of the run
//	28 checksum  4  CRC-32C of the whole body without these four bytes
const payloadSize = 32

type payload struct {
	run      uint64
	producer uint32
	sequence uint64
	sent     time.Duration
}

var errCorrupt = errors.New("the body is not what was sent")

// castagnoli is computed in hardware where there is any.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// put writes p into body, which is at least payloadSize long.
func (p payload) put(body []byte, table *crc32.Table) {
	binary.LittleEndian.PutUint64(body, p.run)
	binary.LittleEndian.PutUint32(body[8:], p.producer)
	binary.LittleEndian.PutUint64(body[12:], p.sequence)
	binary.LittleEndian.PutUint64(body[20:], uint64(p.sent))
	binary.LittleEndian.PutUint32(body[28:], checksum(body, table))
}

// readPayload reads what put wrote, and checks every byte of the body.
func readPayload(body []byte, table *crc32.Table) (p payload, err error) {
	if len(body) < payloadSize || binary.LittleEndian.Uint32(body[28:]) != checksum(body, table) {
		return p, errCorrupt
	}
	return payload{
		run:      binary.LittleEndian.Uint64(body),
		producer: binary.LittleEndian.Uint32(body[8:]),
		sequence: binary.LittleEndian.Uint64(body[12:]),
		sent:     time.Duration(binary.LittleEndian.Uint64(body[20:])),
	}, nil
}

func checksum(body []byte, table *crc32.Table) uint32 {
	return crc32.Update(crc32.Checksum(body[:28], table), table, body[payloadSize:])
}
