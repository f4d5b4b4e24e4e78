package message

import (
	"math"
	"testing"
)

func TestDelayOf(t *testing.T) {
	for _, tc := range []struct {
		v    Value
		want uint32
	}{
		{IntOf(Int32, 5000), 5000},
		{IntOf(Int8, 100), 100},
		{UintOf(Uint8, 200), 200},
		{UintOf(Uint32, math.MaxUint32), math.MaxUint32},
		{IntOf(Int64, MaxDelay), MaxDelay},
		{IntOf(Int64, MaxDelay+1), 0},
		{UintOf(Uint64, math.MaxUint64), 0},
		{IntOf(Int64, math.MinInt64), 0},
		{IntOf(Int32, 0), 0},
		{IntOf(Int32, -5000), 0},
		{Float64Of(1500.9), 1500},
		{Float32Of(0.5), 0},
		{Float64Of(math.NaN()), 0},
		{Float64Of(math.Inf(1)), 0},
		{Float64Of(1e300), 0},
		{StringOf("250"), 250},
		{StringOf("+250"), 250},
		{StringOf("-250"), 0},
		{StringOf("250 ms"), 0},
		{StringOf(""), 0},
		{StringOf("99999999999999999999"), 0},
		{BytesOf(Binary, []byte("7")), 7},
		{BoolOf(true), 0},
		{IntOf(Timestamp, 9), 0},
		{Value{}, 0},
	} {
		if got := DelayOf(tc.v); got != tc.want {
			t.Errorf("%v %q: %d, want %d", tc.v.Kind(), tc.v.Bytes(), got, tc.want)
		}
	}
}

func TestDelayed(t *testing.T) {
	scratch := make([]byte, 0, 1<<10)
	m := Message{Overlay: AppendCopies(scratch, nil, nil)}
	m.Overlay = AppendOverlay(m.Overlay, OverlayHeaders, AppendField(AppendField(nil, "a", StringOf("b")), DelayHeader, IntOf(Int32, 1)))
	before := string(m.Overlay)
	kept := m.Overlay
	m.Delayed(700)
	if string(kept) != before {
		t.Error("it wrote into what the message had")
	}
	h, _ := m.Overlaid(OverlayHeaders)
	if v, ok := Table(h).Lookup("a"); !ok || string(v.Bytes()) != "b" {
		t.Errorf("the other header is %v, %v", v, ok)
	}
	v, ok := Table(h).Lookup(DelayHeader)
	if n, _ := v.Int(); !ok || n != -700 || DelayOf(v) != 0 {
		t.Errorf("the delay is %d, %v", n, ok)
	}
	if _, _, ok := m.Copies(); !ok || Table(h).Check() != nil {
		t.Error("the rest is gone")
	}
}
