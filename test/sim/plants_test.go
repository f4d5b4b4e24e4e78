//go:build plants

package sim_test

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/test/sim"
)

// TestPlants: every bug that can be planted in the layers that are simulated is
// found within so many seeds, and the same seeds pass without it.
func TestPlants(t *testing.T) {
	const most = 1000
	passed := uint64(0) // seeds below pass without a bug
	for _, bug := range []plant.Name{
		plant.ConfirmBeforeSync, plant.SnapshotDropsEntry, plant.VoteForgotten, plant.AppliedTwice, plant.AckOnLeaderOnly,
		plant.RedeliveredFlagLost, plant.RequeueToTail, plant.StaleSettle, plant.LettersDropped, plant.TornTx,
		plant.DedupNotInSnapshot, plant.OrphanCleanup, plant.WallClock,
	} {
		t.Run(string(bug), func(t *testing.T) {
			defer plant.Set("")
			for seed := range uint64(most) {
				plant.Set(bug)
				err := runPlanted(seed)
				plant.Set("")
				for ; passed <= seed; passed++ {
					if err := runPlanted(passed); err != nil {
						t.Fatalf("seed %d fails without a bug: %v", passed, err)
					}
				}
				if err != nil {
					t.Logf("seed %d: %.200v", seed, err)
					return
				}
			}
			t.Errorf("not found in %d seeds", most)
		})
	}
}

// runPlanted runs a seed. Assertions of the code itself find some bugs.
func runPlanted(seed uint64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return sim.Run(shards(seed, sim.Clients{Patient: true, All: true})).Err
}
