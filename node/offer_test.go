package node

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// A snapshot that a follower does not fetch is offered again after a while, and
// not while somebody fetches it.
func TestOffers(t *testing.T) {
	o := offers{}
	peers := []raftgroup.PeerStatus{{ID: 1, State: tracker.StateSnapshot}, {ID: 2, State: tracker.StateReplicate}}
	for _, c := range []struct {
		after time.Duration
		busy  bool
		lost  int
	}{
		{0, false, 0}, {offerTime - 1, false, 0}, {offerTime, false, 1}, // then anew
		{offerTime + 1, false, 0}, {2 * offerTime, true, 0}, {2*offerTime + 2, false, 0}, {3 * offerTime, false, 0}, {3*offerTime + 2, false, 1},
	} {
		if to := o.lost(9, peers, c.busy, c.after); len(to) != c.lost || c.lost == 1 && to[0] != 1 {
			t.Errorf("after %s: to %v", c.after, to)
		}
	}
	peers[0].State = tracker.StateProbe
	if o.lost(9, peers, false, 4*offerTime); len(o) != 0 {
		t.Errorf("%v is left", o)
	}
}
