package sim_test

import (
	"testing"

	"github.com/warrenmq/warren/test/sim"
)

// The last operations go to who can take them, however few of the nodes that is.
func TestLastOperationsReachAMember(t *testing.T) {
	for seed := range uint64(10) {
		c := sim.Config{Seed: seed, Voters: 1, Spares: 9, Groups: 2, Ops: 1, Calm: true, Anywhere: true}
		if r := sim.Run(c); r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
	}
}
