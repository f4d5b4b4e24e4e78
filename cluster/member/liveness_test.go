package member

import (
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/internal/sim"
)

// A cluster whose network loses a message in fifty and is slow now and then ends
// nobody, and nobody loses its lease.
func TestHealthyClusterEndsNobody(t *testing.T) {
	for seed := range uint64(racing.Less(40)) {
		n := []int{1, 2, 3, 5, 7}[seed%5]
		w := newWorld(seed, setup{nodes: n, voters: min(n, 5), drift: 0.01, weather: sim.Weather{
			MinDelay: time.Millisecond, MaxDelay: 100 * time.Millisecond, Drop: 0.02, Double: 0.01, Straggle: 0.001,
		}})
		w.Run(10*time.Second, nil)
		for _, n := range w.nodes {
			if n.m.Status().State != Serving || n.m.life.number == 0 {
				t.Fatalf("seed %d: after 10 s %v", seed, n.m)
			}
		}
		last := w.last().last
		w.Run(3*time.Minute, nil)
		if w.bad != "" || w.counts.silent+w.counts.gone+w.counts.over > 0 || w.last().last != last {
			t.Fatalf("seed %d: %s %+v, %d registered", seed, w.bad, w.counts, w.last().last)
		}
		for _, n := range w.nodes {
			if !n.m.Lease().Valid(n.mono()) {
				t.Fatalf("seed %d: %v has no lease", seed, n.m)
			}
		}
	}
}

// A node that falls silent is ended 3 s later, and a few rounds: of beats, of
// reports, of a proposal. One whose death is proved is ended at once.
func TestDeadNodesAreEndedInTime(t *testing.T) {
	var slowest time.Duration
	for seed := range uint64(racing.Less(200)) {
		nodes := 3 + int(seed%3)
		w := newWorld(seed, setup{nodes: nodes, voters: nodes, drift: 0.01, weather: sim.Weather{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond}})
		w.Run(10*time.Second, nil)
		var victim *node
		for victim == nil || victim.id == w.leader {
			victim = w.nodes[w.Rand.IntN(nodes)]
		}
		number := victim.m.life.number
		bound := 3*time.Second + 700*time.Millisecond
		at := w.Now()
		switch seed % 3 {
		case 0: // pulled out of the network
			w.isolate(victim)
		case 1: // killed, and nobody has the proof
			victim.kill()
		case 2:
			victim.kill()
			o := w.node(w.leader)
			o.step(func() { o.m.Gone(o.mono(), victim.id, o.mono()) })
			bound = 100 * time.Millisecond
		}
		w.Run(at+10*time.Second, func() bool { _, ended := w.ended[number]; return ended })
		if took := w.Now() - at; took > bound {
			// One proposal in five takes up to two seconds in this world.
			if took > bound+2*time.Second {
				t.Fatalf("seed %d: node %d was ended after %v", seed, victim.id, took)
			}
		} else {
			slowest = max(slowest, took)
		}
		if w.bad != "" {
			t.Fatalf("seed %d: %s", seed, w.bad)
		}
	}
	t.Logf("slowest with a quick proposal: %v", slowest)
}

// The same seed gives the same run.
func TestReplay(t *testing.T) {
	hash := func(seed uint64) string {
		w := storm(seed, "")
		return fmt.Sprint(w.Hash(), w.Steps(), len(w.states), w.counts)
	}
	for seed := range uint64(racing.Less(20)) {
		if a, b := hash(seed), hash(seed); a != b {
			t.Fatalf("seed %d: %s and %s", seed, a, b)
		}
	}
}

func BenchmarkTick(b *testing.B) {
	m, err := New(Options{Self: 1})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Minute
	r := Roster{Conf: Conf{Index: 1, Voters: []uint64{1, 2, 3, 4, 5}}}
	for id := uint64(1); id <= 5; id++ {
		r.Members = append(r.Members, Member{Node: id, Name: "n", Incarnation: 10 + id})
	}
	m.Roster(now, r)
	m.Begin(now, 11)
	var fx Effects
	b.ReportAllocs()
	for b.Loop() {
		now += 250 * time.Millisecond
		m.Tick(now)
		for id := uint64(2); id <= 5; id++ {
			m.Receive(now, id, &Message{Kind: Answer, Incarnation: 11, Seq: m.life.seq, Conf: Conf{Index: 1}, Yes: true})
			m.Receive(now, id, &Message{Kind: Beat, Incarnation: 10 + id, Seq: 1, Conf: Conf{Index: 1}})
		}
		m.Take(&fx)
	}
	if m.Status().State != Serving {
		b.Fatal(m)
	}
}
