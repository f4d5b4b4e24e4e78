package reconcile

import (
	"slices"

	"github.com/warrenmq/warren/cluster/steer"
	"github.com/warrenmq/warren/core/catalog"
)

// MaxVoters bounds who votes on the catalog; the others follow.
const MaxVoters = 5

// WantCatalog is who should vote on the catalog: those that do, as long as they
// are members and stay, and others up to the bound, those that live first. A node
// that resets follows until it is forgotten, so that it learns of that.
func WantCatalog(v *catalog.View, voters []uint64) (w steer.Want) {
	stays := map[uint64]bool{}
	var live, others []uint64
	for m := range v.Nodes() {
		switch {
		case m.State == catalog.Leaving, v.IntentFor(catalog.Forget, m.ID) != nil:
		case v.IntentFor(catalog.Replace, m.ID) != nil: // its replica is lost, another takes its place
		case v.IntentFor(catalog.Reset, m.ID) != nil:
			w.Learners = append(w.Learners, m.ID)
		case slices.Contains(voters, m.ID):
			stays[m.ID] = true
		case m.Incarnation != 0:
			live = append(live, m.ID)
		default:
			others = append(others, m.ID)
		}
	}
	for _, id := range voters {
		if stays[id] {
			w.Voters = append(w.Voters, id)
		}
	}
	slices.Sort(live)
	slices.Sort(others)
	for _, id := range append(live, others...) {
		if len(w.Voters) < MaxVoters {
			w.Voters = append(w.Voters, id)
		} else {
			w.Learners = append(w.Learners, id)
		}
	}
	return w
}
