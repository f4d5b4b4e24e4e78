package member

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/internal/sim"
)

// harm does one random thing to the world.
func (w *world) harm() {
	n := w.nodes[w.Rand.IntN(len(w.nodes))]
	other := w.nodes[w.Rand.IntN(len(w.nodes))]
	switch w.Rand.IntN(11) {
	case 0:
		w.net.Heal()
	case 1:
		w.isolate(n)
	case 2:
		w.net.Cut(n.id, other.id)
	case 3:
		var a, b []uint64
		for _, n := range w.nodes {
			if w.Chance(0.5) {
				a = append(a, n.id)
			} else {
				b = append(b, n.id)
			}
		}
		w.net.Split(a, b)
	case 4, 5:
		n.pause(w.Between(100*time.Millisecond, 6*time.Second))
	case 6, 7:
		w.crash(n, w.Between(10*time.Millisecond, 5*time.Second))
	case 8:
		w.net.Weather = w.weather()
	case 9:
		w.changeVoters()
	case 10:
		if n.up() && w.Chance(0.3) {
			n.step(func() { n.m.GiveUp(n.mono()) })
			n.waitUntil = w.Now() + time.Second
		}
	}
}

func (w *world) isolate(n *node) {
	for _, o := range w.nodes {
		if o != n {
			w.net.Split([]uint64{n.id}, []uint64{o.id})
		}
	}
}

// crash kills a node; some of those that were connected to it find the proof, so
// late if the world is late that its next process may live.
func (w *world) crash(n *node, restart time.Duration) {
	if n.m == nil {
		return
	}
	n.kill()
	for _, o := range w.nodes {
		if o.up() && w.both(o.id, n.id) && w.Chance(0.2) {
			broke, process := o.mono(), o.process
			after := w.Between(0, min(restart, 300*time.Millisecond))
			if w.late {
				after *= 20
			}
			w.After(after, func() {
				if o.process != process {
					return
				}
				o.input(func(o *node) {
					if w.plant == proofOfNow {
						broke = o.mono()
					}
					o.step(func() { o.m.Gone(o.mono(), n.id, broke) })
				})
			})
		}
	}
	w.After(restart, n.start)
}

func (w *world) weather() sim.Weather {
	if w.straggling { // fast, and some messages take seconds
		return sim.Weather{
			MinDelay: time.Millisecond, MaxDelay: w.Between(5*time.Millisecond, 60*time.Millisecond),
			Double: 0.5 * w.Rand.Float64(), Straggle: 0.5 * w.Rand.Float64(),
		}
	}
	return sim.Weather{
		MinDelay: time.Millisecond, MaxDelay: w.Between(2*time.Millisecond, 900*time.Millisecond),
		Drop: 0.3 * w.Rand.Float64() * w.Rand.Float64(), Double: 0.3 * w.Rand.Float64(), Straggle: 0.01 * w.Rand.Float64(),
	}
}

// changeVoters takes one voter away or adds one, as the catalog's leader does.
func (w *world) changeVoters() {
	if w.leader == 0 || !w.quorate(w.leader) || len(w.nodes) < 3 {
		return
	}
	conf := w.last().Conf
	out := Conf{Index: conf.Index + confStep}
	out.Voters = append(out.Voters, conf.Voters...)
	out.Learners = append(out.Learners, conf.Learners...)
	id := w.nodes[w.Rand.IntN(len(w.nodes))].id
	if move := func(from, to *[]uint64) bool {
		for i, have := range *from {
			if have == id {
				*from = append((*from)[:i:i], (*from)[i+1:]...)
				*to = append(*to, id)
				return true
			}
		}
		return false
	}; !move(&out.Learners, &out.Voters) && (len(out.Voters) < 3 || id == w.leader || !move(&out.Voters, &out.Learners)) {
		return
	}
	// Committed by the set before, which therefore knows it: a majority of it
	// has the entry, and applies it soon.
	w.commit(func(s *state) { s.Conf = out })
	w.Logf("voters %v, learners %v", out.Voters, out.Learners)
	w.counts.confs++
	w.node(w.leader).input(func(n *node) { n.catchUp() })
	for _, v := range conf.Voters {
		if w.node(v).up() && w.both(w.leader, v) {
			w.node(v).input(func(n *node) { n.catchUpTo(len(w.states) - 1) })
		}
	}
}

// storm runs one seed: harm for a while, then peace.
func storm(seed uint64, p plant) *world { return stormOf(seed, mood(seed/5%3), p) }

// A mood is what kind of harm is done.
type mood int

const (
	large      mood = iota // partitions, long stops, crashes
	small                  // flap, on a slow network
	straggling             // flap, on one where some messages take seconds
	late                   // large, and proofs of death come late
)

func stormOf(seed uint64, md mood, p plant) *world {
	sizes := []setup{{nodes: 3, voters: 3}, {nodes: 5, voters: 5}, {nodes: 2, voters: 2}, {nodes: 4, voters: 3}, {nodes: 5, voters: 3}}
	s := sizes[seed%uint64(len(sizes))]
	s.drift, s.plant = 0.01, p
	if p == clocksDiffer {
		s.drift = 0.34
	}
	s.weather = sim.Weather{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond}
	w := newWorld(seed, s)
	harm, least, most := w.harm, 50*time.Millisecond, 2500*time.Millisecond
	w.straggling, w.late = md == straggling, md == late
	if md == small || md == straggling {
		harm, least, most = w.flap, 20*time.Millisecond, 400*time.Millisecond
		w.net.Weather = w.weather()
	}
	var again func()
	again = func() {
		if w.Now() <= peace {
			harm()
			w.After(w.Between(least, most), again)
		}
	}
	w.After(w.Between(time.Second, 3*time.Second), again)
	w.Run(peace, func() bool { return w.bad != "" })
	return w
}

// peace is when the harm ends.
const peace = 25 * time.Second

// flap is harm by many small things: links that come and go, processes that are
// back at once, leaders that change. They break what rests on a promise.
func (w *world) flap() {
	n := w.nodes[w.Rand.IntN(len(w.nodes))]
	other := w.nodes[w.Rand.IntN(len(w.nodes))]
	switch p := w.Rand.IntN(100); {
	case p < 70:
		for _, link := range [][2]uint64{{n.id, other.id}, {other.id, n.id}} {
			if !w.net.Blocked(link[0], link[1]) {
				w.net.Cut(link[0], link[1])
			} else {
				w.net.Mend(link[0], link[1])
			}
			if p < 10 {
				break
			}
		}
	case p < 78:
		w.crash(n, w.Between(time.Millisecond, 400*time.Millisecond))
	case p < 90:
		w.depose()
	case p < 95:
		w.changeVoters()
	case p < 97:
		w.net.Weather = w.weather()
	default:
		w.net.Heal()
	}
}

func TestNobodyIsEndedWhileItMayServe(t *testing.T) {
	var silent, gone, over, calls, confs int
	for seed := range uint64(racing.Less(seeds)) {
		w := storm(seed, "")
		if w.bad != "" {
			t.Fatalf("seed %d: %s", seed, w.bad)
		}
		settle(t, seed, w)
		silent, gone, over = silent+w.counts.silent, gone+w.counts.gone, over+w.counts.over
		calls, confs = calls+w.counts.calls, confs+w.counts.confs
	}
	t.Logf("%d seeds: %d ended by silence, %d gone, %d given up, %d reports called off, %d changes of voters", seeds, silent, gone, over, calls, confs)
	if silent < seeds/10 || gone < seeds/50 || over < seeds/50 || calls < seeds/10 || confs < seeds/10 {
		t.Error("too little happened for this to mean anything")
	}
}

// settle makes peace, with one node dead for ever if the rest can do without,
// and expects a healthy cluster.
func settle(t *testing.T, seed uint64, w *world) {
	t.Helper()
	w.net.Heal()
	w.net.Weather = sim.Weather{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond}
	dead := w.nodes[w.Rand.IntN(len(w.nodes))]
	conf := &w.last().Conf
	if conf.majority(func(id uint64) bool { return id != dead.id }) {
		dead.kill()
		dead.stopped = true
	}
	for _, n := range w.nodes {
		n.start()
	}
	w.Run(w.Now()+15*time.Second, nil)
	if w.bad != "" {
		t.Fatalf("seed %d: %s", seed, w.bad)
	}
	for _, n := range w.nodes {
		switch {
		case n.m == nil:
			if i := w.last().incarnation(n.id); i != 0 {
				t.Fatalf("seed %d: node %d is dead and its incarnation %d is not", seed, n.id, i)
			}
		case n.m.Status().State != Serving || !n.m.Lease().Valid(n.mono()):
			t.Fatalf("seed %d: in peace %v, not serving", seed, n.m)
		}
	}
}

// A proof of death that comes late is of the process that died, not of the next.
func TestLateProof(t *testing.T) {
	gone := 0
	for seed := range uint64(60) {
		w := stormOf(seed, late, "")
		if w.bad != "" {
			t.Fatalf("seed %d: %s", seed, w.bad)
		}
		gone += w.counts.gone
	}
	if gone == 0 {
		t.Fatal("no proof had an effect")
	}
}

// Each bug is found, from a seed on that is known to find it: what else changes
// in the simulation moves that seed by a little.
func TestPlantsAreFound(t *testing.T) {
	for _, c := range []struct {
		plant plant
		mood  mood
		from  uint64
	}{
		{leaseFromReceive, large, 258},
		{shortSilence, large, 1},
		{answersOn, small, 833},
		{noTerm, small, 1639},
		{noStart, small, 309},
		{clocksDiffer, large, 64},
		{extendsAfterwards, large, 0},
		{proofOfNow, late, 0},
	} {
		t.Run(string(c.plant), func(t *testing.T) {
			for seed := c.from; seed < c.from+1500; seed++ {
				w := stormOf(seed, c.mood, c.plant)
				if w.bad == "" {
					continue
				}
				t.Logf("seed %d: %s", seed, w.bad)
				if w := stormOf(seed, c.mood, ""); w.bad != "" {
					t.Errorf("without the plant: %s", w.bad)
				}
				return
			}
			t.Error("not found in 1500 seeds")
		})
	}
}

const seeds = 400
