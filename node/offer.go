package node

import (
	"time"

	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// offerTime is how long a snapshot is offered to a follower that does not fetch
// it: the message may have been dropped on its way, and Raft sends nothing else
// until it is told so.
const offerTime = 10 * time.Second

// An offered is a snapshot that the leader of a group offers a follower.
type offered struct{ group, to uint64 }

// offers are the snapshots that are offered and not fetched, and since when.
type offers map[offered]time.Duration

// lost returns the followers of a group to which a snapshot has to be offered
// again; busy says that somebody fetches one. A follower that has it already, or
// waits with it for its turn, passes over the second offer.
func (o offers) lost(group uint64, peers []raftgroup.PeerStatus, busy bool, now time.Duration) (to []uint64) {
	for _, p := range peers {
		at := offered{group, p.ID}
		since, waits := o[at]
		switch {
		case p.State != tracker.StateSnapshot || busy:
			delete(o, at)
		case !waits:
			o[at] = now
		case now-since >= offerTime:
			delete(o, at)
			to = append(to, p.ID)
		}
	}
	return to
}
