package node

import (
	"testing"
	"time"
)

// A node is idle from when nothing was logged and no memory collected.
func TestCalm(t *testing.T) {
	var c calm
	for i, x := range []struct {
		logged, cycles uint64
		now, want      time.Duration
	}{
		{5, 1, 10, 0}, {5, 1, 30, 20}, {6, 1, 40, 0}, {6, 1, 45, 5}, {6, 2, 50, 0}, {6, 2, 90, 40},
	} {
		if got := c.see(x.logged, x.cycles, x.now); got != x.want {
			t.Errorf("%d: idle for %v, want %v", i, got, x.want)
		}
	}
	m := collected{live: 100, objects: 130, free: 7}
	if m.spare() != 37 {
		t.Errorf("%d to spare", m.spare())
	}
	if m := readMemory(); m.live == 0 && m.objects == 0 {
		t.Error("the heap is not known")
	}
}
