package wire

import (
	"encoding/binary"
	"slices"
)

// AppendDeliver appends a basic.deliver frame.
func AppendDeliver(dst []byte, channel uint16, consumerTag string, deliveryTag uint64, redelivered bool, exchange, key []byte) []byte {
	mustFit(len(consumerTag) | len(exchange) | len(key))
	size := 4 + 1 + len(consumerTag) + 8 + 1 + 1 + len(exchange) + 1 + len(key)
	dst = slices.Grow(dst, size+FrameOverhead)
	dst = append(dst, FrameMethod, byte(channel>>8), byte(channel), 0, 0, byte(size>>8), byte(size),
		0, byte(IDBasicDeliver>>16), 0, byte(IDBasicDeliver&0xFF), byte(len(consumerTag)))
	dst = append(dst, consumerTag...)
	dst = binary.BigEndian.AppendUint64(dst, deliveryTag)
	dst = append(dst, bit(redelivered, 0), byte(len(exchange)))
	dst = append(dst, exchange...)
	dst = append(dst, byte(len(key)))
	dst = append(dst, key...)
	return append(dst, frameEnd)
}

// AppendPublish appends a basic.publish frame.
func AppendPublish(dst []byte, channel uint16, exchange, key string, mandatory bool) []byte {
	mustFit(len(exchange) | len(key))
	size := 4 + 2 + 1 + len(exchange) + 1 + len(key) + 1
	dst = slices.Grow(dst, size+FrameOverhead)
	dst = append(dst, FrameMethod, byte(channel>>8), byte(channel), 0, 0, byte(size>>8), byte(size),
		0, byte(IDBasicPublish>>16), 0, byte(IDBasicPublish&0xFF), 0, 0, byte(len(exchange)))
	dst = append(dst, exchange...)
	dst = append(dst, byte(len(key)))
	dst = append(dst, key...)
	return append(dst, bit(mandatory, 0), frameEnd)
}

// AppendAck appends a basic.ack frame.
func AppendAck(dst []byte, channel uint16, tag uint64, multiple bool) []byte {
	dst = append(dst, FrameMethod, byte(channel>>8), byte(channel), 0, 0, 0, 13,
		0, byte(IDBasicAck>>16), 0, byte(IDBasicAck&0xFF))
	dst = binary.BigEndian.AppendUint64(dst, tag)
	return append(dst, bit(multiple, 0), frameEnd)
}

// AppendNack appends a basic.nack frame.
func AppendNack(dst []byte, channel uint16, tag uint64, multiple, requeue bool) []byte {
	dst = append(dst, FrameMethod, byte(channel>>8), byte(channel), 0, 0, 0, 13,
		0, byte(IDBasicNack>>16), 0, byte(IDBasicNack&0xFF))
	dst = binary.BigEndian.AppendUint64(dst, tag)
	return append(dst, bit(multiple, 0)|bit(requeue, 1), frameEnd)
}

// AppendHeader appends the content header frame of a message of class basic.
func AppendHeader(dst []byte, channel uint16, props Props, bodySize uint64) []byte {
	if len(props) == 0 {
		props = Props{0, 0}
	}
	size := 12 + len(props)
	dst = slices.Grow(dst, size+FrameOverhead)
	dst = append(dst, FrameHeader, byte(channel>>8), byte(channel),
		byte(size>>24), byte(size>>16), byte(size>>8), byte(size),
		0, byte(ClassBasic), 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, bodySize)
	dst = append(dst, props...)
	return append(dst, frameEnd)
}

// AppendBodyFrames appends a body in as many frames as the limit asks for, none
// for an empty body. A frameMax below FrameFloor counts as FrameFloor.
func AppendBodyFrames(dst []byte, channel uint16, body []byte, frameMax uint32) []byte {
	limit := int(max(frameMax, FrameFloor) - FrameOverhead)
	frames := (len(body) + limit - 1) / limit
	dst = slices.Grow(dst, len(body)+frames*FrameOverhead)
	for len(body) > 0 {
		size := min(len(body), limit)
		dst = append(dst, FrameBody, byte(channel>>8), byte(channel),
			byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
		dst = append(dst, body[:size]...)
		dst = append(dst, frameEnd)
		body = body[size:]
	}
	return dst
}

// AppendHeartbeat appends a heartbeat frame.
func AppendHeartbeat(dst []byte) []byte {
	return append(dst, FrameHeartbeat, 0, 0, 0, 0, 0, 0, frameEnd)
}

// AppendFrame appends a frame with the given payload.
func AppendFrame(dst []byte, f Frame) []byte {
	dst, at := openFrame(dst, f.Type, f.Channel)
	return closeFrame(append(dst, f.Payload...), at)
}

func appendShort[S string | []byte](dst []byte, s S) []byte {
	mustFit(len(s))
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

func appendLong[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// bit returns 1<<at for true and 0 for false, without a branch.
func bit(v bool, at uint) byte {
	var b byte
	if v {
		b = 1
	}
	return b << at
}

// mustFit panics when a length (or the union of several lengths' bits) is that
// of no short string: names were checked when they came in, so this is our bug.
func mustFit(n int) {
	if n > maxShort {
		panic("wire: short string of more than 255 bytes")
	}
}
