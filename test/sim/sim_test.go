package sim_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/test/sim"
)

type flags struct {
	seeds *uint64
	seed  *uint64
	trace *bool

	patient *bool
	all     *bool
}

// clients are those of TestShards.
func (f flags) clients() sim.Clients { return sim.Clients{Patient: *f.patient, All: *f.all} }

var given = flags{
	seeds:   flag.Uint64("seeds", uint64(racing.Less(60)), "how many seeds to run"),
	seed:    flag.Uint64("seed", 0, "the only seed to run, or the first of -seeds"),
	trace:   flag.Bool("trace", false, "print what happens"),
	patient: flag.Bool("patient", true, "clients of TestShards settle nothing of a consumer that they end"),
	all:     flag.Bool("all", true, "clients of TestShards use everything that shards have"),
}

// config is the run of a seed: most have three nodes, some have spares and
// change members, some have five nodes, some have one.
func config(seed uint64) sim.Config {
	c := sim.Config{Seed: seed}
	switch seed % 8 {
	case 1, 4, 6:
		c.Spares = 2
	case 3:
		c.Voters = 5
	case 7:
		c.Voters = 1
	}
	if *given.trace {
		c.Trace = func(line string) { fmt.Fprintln(os.Stderr, line) }
	}
	return c
}

// TestSeeds runs -seeds seeds, or the one given with -seed.
func TestSeeds(t *testing.T) {
	first, n := *given.seed, *given.seeds
	if first != 0 && !isSet("seeds") {
		n = 1
	}
	counts := make(map[string]int)
	var steps uint64
	var offered, confirmed int
	for seed := first; seed < first+n; seed++ {
		r := sim.Run(config(seed))
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		steps += r.Steps
		offered += r.Offered
		confirmed += r.Confirmed
		for what, n := range r.Counts {
			counts[what] += n
		}
	}
	t.Logf("%d seeds, %d steps, %d of %d operations confirmed", n, steps, confirmed, offered)
	t.Log(list(counts))
	if n >= 40 && confirmed*2 < offered {
		t.Errorf("%d of %d operations confirmed: the run says nothing", confirmed, offered)
	}
	if n >= 40 {
		for _, what := range rare {
			if counts[what] == 0 {
				t.Errorf("never reached: %s", what)
			}
		}
	}
}

// shards is the run of a seed with real shards and queues.
func shards(seed uint64, clients sim.Clients) sim.Config {
	c := config(seed)
	c.NewMachine = sim.NewQueues(clients)
	c.Clocks = clients.All
	c.Groups = 2
	c.Ops = 300
	c.Anywhere = true
	return c
}

// TestShards runs -seeds seeds with real queues: what was confirmed is there or
// was settled, what was settled does not come back, what comes again is flagged,
// and replicas agree. docs/reliability.md says what else, and what not.
func TestShards(t *testing.T) {
	first, n := *given.seed, *given.seeds
	if first != 0 && !isSet("seeds") {
		n = 1
	}
	var steps uint64
	var offered, confirmed int
	counts := make(map[string]int)
	for seed := first; seed < first+n; seed++ {
		r := sim.Run(shards(seed, given.clients()))
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		steps += r.Steps
		offered += r.Offered
		confirmed += r.Confirmed
		for what, n := range r.Counts {
			counts[what] += n
		}
	}
	t.Logf("%d seeds, %d steps, %d of %d publishes confirmed", n, steps, confirmed, offered)
	t.Log(list(counts))
	for _, what := range rareShards {
		if n >= 40 && *given.all && counts[what] == 0 {
			t.Errorf("never reached: %s", what)
		}
	}
	if n >= 40 && confirmed*2 < offered {
		t.Errorf("%d of %d publishes confirmed: the run says nothing", confirmed, offered)
	}
}

// TestShardsFound runs the seeds that found something before; see the track
// record in docs/reliability.md.
func TestShardsFound(t *testing.T) {
	for _, seed := range []uint64{1083, 1949, 5953, 6181} { // in the last two only the client was at fault
		if r := sim.Run(shards(seed, sim.Clients{Patient: true})); r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
	}
	for _, seed := range []uint64{653, 1296, 1393, 5077, 5363} {
		if r := sim.Run(shards(seed, sim.Clients{})); r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
	}
}

// TestShardsReplay: the same seed gives the same trace, bit for bit.
func TestShardsReplay(t *testing.T) {
	n := uint64(10)
	if isSet("seeds") {
		n = min(*given.seeds, 100)
	}
	for seed := range n {
		a, b := sim.Run(shards(seed, given.clients())), sim.Run(shards(seed, given.clients()))
		if a.Hash != b.Hash || a.Steps != b.Steps {
			t.Errorf("seed %d: trace %x of %d steps, then %x of %d", seed, a.Hash, a.Steps, b.Hash, b.Steps)
		}
	}
}

// rare names what any run of 40 seeds or more must have reached.
var rare = []string{
	"lead", "leader deposed", "crash", "power cut", "split", "one-way cut", "bridge", "node stalled",
	"suffix replaced", "snapshot sent", "snapshot installed", "change proposed", "transfer", "leader forgotten",
}

// rareShards is the same of TestShards.
var rareShards = []string{
	"attached", "transfer when quiet", "snapshot taken in place", "clock jumped", "node stalled", "power cut",
	"got", "purged", "rejected", "exclusive refused", "letter", "spent", "expired", "declared", "deleted", "tx happened", "tx refused", "tx unknown",
}

func list(counts map[string]int) string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%s %d, ", what, counts[what])
	}
	return strings.TrimSuffix(b.String(), ", ")
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// TestPlantedBugs: each bug is found.
func TestPlantedBugs(t *testing.T) {
	for _, b := range []struct {
		name string
		bug  sim.Bug
	}{
		{"done before sync", sim.DoneBeforeSync},
		{"vote forgotten", sim.VoteForgotten},
		{"applied twice", sim.AppliedTwice},
		{"snapshot short", sim.SnapshotShort},
		{"tail lost", sim.TailLost},
	} {
		t.Run(b.name, func(t *testing.T) {
			for seed := range uint64(300) {
				if err := runBug(seed, b.bug); err != nil {
					t.Logf("seed %d: %.200v", seed, err)
					return
				}
			}
			t.Error("not found in 300 seeds")
		})
	}
}

// runBug runs a seed with a bug. Raft's own assertions find some of them.
func runBug(seed uint64, bug sim.Bug) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	c := config(seed)
	c.Bug = bug
	return sim.Run(c).Err
}

// TestReplay: the same seed gives the same trace, bit for bit.
func TestReplay(t *testing.T) {
	n := min(*given.seeds, 100)
	if n > 60 || isSet("seeds") {
		t.Logf("replaying %d seeds", n)
	} else {
		n = 10
	}
	for seed := range n {
		a, b := sim.Run(config(seed)), sim.Run(config(seed))
		if a.Hash != b.Hash || a.Steps != b.Steps {
			t.Errorf("seed %d: trace %x of %d steps, then %x of %d", seed, a.Hash, a.Steps, b.Hash, b.Steps)
		}
	}
}
