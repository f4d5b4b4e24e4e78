package shard

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/warrenmq/warren/core/queue"
)

// Settings are what a shard needs to know of a queue's arguments and policy.
type Settings struct {
	queue.Settings
	// TTL is how long a message may stay, in milliseconds, if HasTTL.
	TTL    uint32
	HasTTL bool
	// AutoDelete ends the queue when its last consumer goes.
	AutoDelete bool
	// Letters says what becomes of messages that die.
	Letters LetterRule
	// Expires ends the queue when it was not used for so many milliseconds, 0
	// never.
	Expires uint32
}

// Expiry returns how long a message may stay in a queue with these settings.
func (s *Settings) Expiry(it *Item) (ttl uint32, ok bool) {
	ttl, ok = it.TTL, it.Flags&ItemHasTTL != 0
	if s.HasTTL && (!ok || s.TTL < ttl) {
		return s.TTL, true
	}
	return ttl, ok
}

const (
	settingsVersion = 1
	lettersShift    = 4 // two bits of the flags
	lettersMask     = 3
	flagSchedule    = 1 << 6
)

// AppendSettings encodes settings for CmdMake, CmdSet and a checkpoint: a
// version, a byte of flags, and varints.
func AppendSettings(dst []byte, s Settings) []byte {
	var flags byte
	for i, f := range [...]bool{s.Memory, s.SingleActive, s.HasTTL, s.AutoDelete} {
		if f {
			flags |= 1 << i
		}
	}
	flags |= byte(s.Letters) << lettersShift
	if s.Schedule {
		flags |= flagSchedule
	}
	dst = append(dst, settingsVersion, flags, s.MaxPriority, byte(s.Overflow))
	for _, v := range [...]uint64{uint64(s.MaxLength), uint64(s.MaxBytes), uint64(s.DeliveryLimit), uint64(s.TTL), uint64(s.Expires), uint64(s.Retry.When), uint64(s.Retry.Min), uint64(s.Retry.Max)} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// ParseSettings decodes what AppendSettings encoded, and nothing else: what
// this build does not know it must not take for something it knows.
func ParseSettings(b []byte) (s Settings, err error) {
	if len(b) < 4 || b[0] != settingsVersion || b[1]>>lettersShift&lettersMask >= byte(letterRules) || b[1] >= flagSchedule<<1 || b[3] > byte(queue.PostPublish) {
		return s, fmt.Errorf("%w: queue settings", ErrFormat)
	}
	s.Memory, s.SingleActive, s.HasTTL, s.AutoDelete = b[1]&1 != 0, b[1]&2 != 0, b[1]&4 != 0, b[1]&8 != 0
	s.Letters, s.Schedule = LetterRule(b[1]>>lettersShift&lettersMask), b[1]&flagSchedule != 0
	s.MaxPriority, s.Overflow = b[2], queue.Overflow(b[3])
	b = b[4:]
	var v [8]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return s, fmt.Errorf("%w: queue settings are cut short", ErrFormat)
		}
		b = b[n:]
	}
	if len(b) != 0 || max(v[3], v[4], v[6], v[7]) > math.MaxUint32 || v[5] > uint64(queue.RetryFailed|queue.RetryReturned) {
		return s, fmt.Errorf("%w: queue settings", ErrFormat)
	}
	s.MaxLength, s.MaxBytes, s.DeliveryLimit, s.TTL = queue.Limit(v[0]), queue.Limit(v[1]), queue.Limit(v[2]), uint32(v[3])
	s.Expires = uint32(v[4])
	s.Retry = queue.Retry{When: queue.RetryWhen(v[5]), Min: uint32(v[6]), Max: uint32(v[7])}
	return s, nil
}
