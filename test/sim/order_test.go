package sim

import (
	"testing"

	"github.com/warrenmq/warren/shard"
)

// What was decided before something came back is held against what was decided
// before, whenever it is sent, and what was decided behind against that.
func TestOrderIsThatOfDecisions(t *testing.T) {
	row := simRow{c: &shard.Consumer{Queue: 2}, by: 4}
	o := newOrders()
	o.cameBack(2, 5)
	for _, x := range []struct {
		counter, order uint64
		ok             bool
	}{
		{3, 30, true},
		{4, 51, true},  // decided before, and waited for their bodies
		{6, 24, true},  // came back
		{7, 23, false}, // not in its place
		{8, 95, true},
		{5, 40, false}, // of before, behind 51
		{9, 94, false},
	} {
		if ok := o.takes(row, x.counter, x.order); ok != x.ok {
			t.Errorf("%d, decided as %d: %v", x.order, x.counter, ok)
		}
	}
	if o.behind[2] = true; !o.takes(row, 10, 1) {
		t.Error("what a consumer left that went comes later")
	}
}
