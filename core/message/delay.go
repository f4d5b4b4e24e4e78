package message

import (
	"math"
	"strconv"
)

// DelayHeader is the header by which a message asks a delayed exchange to be
// routed later: its milliseconds.
const DelayHeader = "x-delay"

// MaxDelay is the longest delay in milliseconds; what asks for more is not
// delayed.
const MaxDelay = math.MaxUint32

// DelayOf returns for how many milliseconds a value of DelayHeader delays, 0 if
// it does not: it is no number, or one that is not in 1..MaxDelay.
func DelayOf(v Value) uint32 {
	n, ok := v.Int()
	if f, isFloat := v.Float(); isFloat && f >= 1 && f < MaxDelay+1 {
		n, ok = int64(f), true
	}
	switch v.Kind() {
	case String, Symbol, Binary:
		var err error
		n, err = strconv.ParseInt(string(v.Bytes()), 10, 64)
		ok = err == nil
	}
	if !ok || n < 1 || n > MaxDelay {
		return 0
	}
	return uint32(n)
}

// Delayed notes that the message has waited, or is about to, as a delayed
// exchange has it: the header says how long as a negative number, and nothing
// delays it again.
func (m *Message) Delayed(ms uint32) {
	var t Table
	if had, ok := m.Overlaid(OverlayHeaders); ok {
		for _, f := range Table(had).AppendFields(nil) {
			if string(f.Name) != DelayHeader {
				t = AppendFieldBytes(t, f.Name, f.Value)
			}
		}
	}
	t = AppendField(t, DelayHeader, IntOf(Int64, -int64(ms)))
	m.Overlay = AppendOverlay(m.AppendKept(nil, OverlayHeaders), OverlayHeaders, t)
}
