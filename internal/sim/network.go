package sim

import "time"

// Weather is how a network treats messages. The zero Weather loses nothing and
// takes no time.
type Weather struct {
	MinDelay, MaxDelay time.Duration // each message draws its own, so they overtake each other
	Drop               float64       // probability that a message is lost
	Double             float64       // probability that it arrives twice
	Straggle           float64       // probability that it takes up to a hundred times MaxDelay
}

// A Network carries messages of type M between numbered nodes.
type Network[M any] struct {
	Weather Weather
	world   *World
	deliver func(from, to uint64, m M)
	cut     map[[2]uint64]bool // one way: from, to

	Sent, Lost, Doubled uint64
}

// NewNetwork returns a network without cuts that calls deliver for every
// message that arrives.
func NewNetwork[M any](w *World, deliver func(from, to uint64, m M)) *Network[M] {
	return &Network[M]{world: w, deliver: deliver, cut: make(map[[2]uint64]bool)}
}

// Send sends a message on its way.
func (n *Network[M]) Send(from, to uint64, m M) {
	n.Sent++
	if n.cut[[2]uint64{from, to}] || n.world.Chance(n.Weather.Drop) {
		n.Lost++
		return
	}
	n.launch(from, to, m)
	if n.world.Chance(n.Weather.Double) {
		n.Doubled++
		n.launch(from, to, m)
	}
}

func (n *Network[M]) launch(from, to uint64, m M) {
	d := n.Weather.MinDelay
	if n.Weather.MaxDelay > d {
		d = n.world.Between(d, n.Weather.MaxDelay)
		if n.world.Chance(n.Weather.Straggle) {
			d = n.world.Between(n.Weather.MaxDelay, 100*n.Weather.MaxDelay)
		}
	}
	n.world.After(d, func() {
		if n.cut[[2]uint64{from, to}] {
			n.Lost++
			return
		}
		n.deliver(from, to, m)
	})
}

// Cut stops messages from one node to another, those on their way included.
// The other direction stays.
func (n *Network[M]) Cut(from, to uint64) { n.cut[[2]uint64{from, to}] = true }

// Blocked reports whether messages from one node to another are stopped.
func (n *Network[M]) Blocked(from, to uint64) bool { return n.cut[[2]uint64{from, to}] }

// Mend undoes a Cut.
func (n *Network[M]) Mend(from, to uint64) { delete(n.cut, [2]uint64{from, to}) }

// Split cuts both directions between every node of one side and every node of
// the other.
func (n *Network[M]) Split(a, b []uint64) {
	for _, x := range a {
		for _, y := range b {
			n.Cut(x, y)
			n.Cut(y, x)
		}
	}
}

// Heal takes away all cuts.
func (n *Network[M]) Heal() { clear(n.cut) }

// Healthy reports whether there are no cuts.
func (n *Network[M]) Healthy() bool { return len(n.cut) == 0 }
