//go:build chaos

package cluster

import (
	"time"
)

// membership adds a node while others are killed. Nodes that were added stay.
func membership(r *round, d time.Duration) {
	if len(r.nodes) >= 6 {
		killLeader(r, d)
		return
	}
	m := r.place()
	m.launch()
	<-time.After(time.Duration(r.chance.IntN(1000)) * time.Millisecond)
	killLeader(r, d)
	m.await()
}
