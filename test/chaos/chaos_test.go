//go:build chaos

package chaos

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/warrenmq/warren/test/chaos/checker"
	"github.com/warrenmq/warren/test/chaos/load"
)

const (
	producers = 4
	queues    = 2
	// perRound is how many confirms a life of the broker sees before it is killed,
	// plus up to as many by chance: the kill comes under full load, anywhere.
	perRound = 3000
	// window is how many messages a producer has unconfirmed at most.
	window = 300
	// patience is how long the run waits for progress.
	patience = 60 * time.Second
)

// TestKill is the promise of docs/durability.md: SIGKILL in a loop under confirmed
// load loses and corrupts nothing that was confirmed, keeps the order, and flags
// what comes again.
func TestKill(t *testing.T) {
	rounds := setting(t, "CHAOS_ROUNDS", 5)
	seed := setting(t, "CHAOS_SEED", int(time.Now().UnixNano()&0x7fffffff))
	t.Logf("%d rounds, CHAOS_SEED=%d", rounds, seed)
	chance := rand.New(rand.NewPCG(uint64(seed), 0))

	b := &broker{dir: t.TempDir()}
	b.start(t)
	t.Cleanup(func() { b.end(t) })
	history, err := os.Create(filepath.Join(b.dir, "history"))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	began := time.Now()
	rec := checker.NewRecorder(history, checker.NewJudge(checker.JudgeOptions{}), func() time.Duration { return time.Since(began) })
	w := &load.World{Rec: rec, Nodes: func() int { return 1 }, Addr: func(int) string { return b.address() }}
	declare(t, w)

	publishers, consumers := load.NewGroup(t.Context()), load.NewGroup(t.Context())
	defer consumers.End()
	defer publishers.End()
	for i := range producers {
		p := &load.Publisher{World: w, Home: 1, Seed: uint64(seed + i), Key: queueName(i % queues), Routes: 1 << (i % queues), Window: window}
		publishers.Go(p.Run)
	}
	for i := range queues {
		c := &load.Consumer{World: w, Home: 1, Seed: uint64(seed + i), Queue: queueName(i), Number: uint8(i), Prefetch: 200, Hold: 16}
		consumers.Go(c.Run)
	}

	for round := range rounds {
		target := perRound + chance.IntN(perRound)
		before := rec.Counts().Confirmed
		await(t, "confirms", func() bool { return rec.Counts().Confirmed >= before+target })
		rec.Add(checker.Event{Kind: checker.Fault, N: 1 << 1})
		b.kill(t)
		began := time.Now()
		for again := chance.IntN(3); again > 0 && canDieYoung(); again-- {
			b.dieYoung(t, time.Duration(chance.IntN(200))*time.Millisecond)
		}
		b.start(t)
		rec.Add(checker.Event{Kind: checker.Heal, N: 1 << 1})
		missing, r := rec.Missing(), rec.Report()
		t.Logf("round %d: killed and back after %v; %d still to come; %v", round+1, time.Since(began).Round(time.Millisecond), missing, &r)
		if r.Violations() > r.Broken[checker.Lost] { // what has not come yet may still come
			t.Fatalf("violations in round %d: %v\n%v", round+1, &r, r.Examples)
		}
	}

	publishers.End()
	await(t, "the last confirmed messages", func() bool { return rec.Missing() == 0 || drained(w) })
	// The consumers end first, so that what they had not acknowledged is ready again.
	consumers.End()
	for i := range queues {
		if _, err := w.TakeRest(1, queueName(i), uint8(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Flush(); err != nil {
		t.Error(err)
	}
	r := rec.Report()
	t.Log(&r)
	if n := r.Violations(); n > 0 {
		t.Errorf("%d violations:", n)
		for _, e := range r.Examples {
			t.Error(e)
		}
	}
	if r.Confirmed < rounds*perRound {
		t.Errorf("only %d confirms in %d rounds: the test did not load the broker", r.Confirmed, rounds)
	}
}

func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// await waits for cond as long as the run makes progress at all.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if cond() {
			return
		}
	}
	t.Fatalf("waiting for %s: not within %s", what, patience)
}
