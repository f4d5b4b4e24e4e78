//go:build chaos

package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/test/chaos/checker"
)

const (
	producers = 4
	queues    = 2
	// perRound is how many confirms a life of the broker sees before it is killed,
	// plus up to as many by chance: the kill comes under full load, anywhere.
	perRound = 3000
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
	declare(t, b)

	c := checker.New()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producing, stopProducing := context.WithCancel(ctx)
	defer stopProducing()
	var publishers, clients sync.WaitGroup
	for i := range uint32(producers) {
		publishers.Go(func() { produce(producing, b, c, i) })
	}
	for i := range queues {
		clients.Go(func() { consume(ctx, b, c, queueName(i)) })
	}

	for round := range rounds {
		target := perRound + chance.IntN(perRound)
		before, _ := c.Counts()
		await(t, "confirms", func() bool { n, _ := c.Counts(); return n >= before+target })
		b.kill(t)
		began := time.Now()
		for again := chance.IntN(3); again > 0 && canDieYoung(); again-- {
			b.dieYoung(t, time.Duration(chance.IntN(200))*time.Millisecond)
		}
		b.start(t)
		r := c.Report()
		t.Logf("round %d: killed and back after %v; confirmed %d, of which %d still to come; received %d, %d flagged, %d again", round+1,
			time.Since(began).Round(time.Millisecond), r.Confirmed, r.Lost, r.Received, r.Flagged, r.Duplicates)
		if r.Faults() > r.Lost { // what has not come yet may still come
			t.Fatalf("faults in round %d: %v\n%v", round+1, r, r.Examples)
		}
	}

	stopProducing()
	publishers.Wait()
	await(t, "the last confirmed messages", func() bool { return c.Missing() == 0 || drained(b) })
	// The consumers end first, so that what they had not acknowledged is ready again.
	stop()
	clients.Wait()
	takeRest(t, b, c)
	r := c.Report()
	t.Log(r)
	if r.Faults() > 0 {
		t.Errorf("%d faults:", r.Faults())
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
