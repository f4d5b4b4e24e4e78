//go:build chaos

package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// A scenario hurts a cluster of so many nodes again and again.
type scenario struct {
	name  string
	nodes int
	// hurt does one thing, for about so long, and undoes it.
	hurt func(r *round, d time.Duration)
	machine
	share bool // whether CI runs it
}

// A round is one go of a scenario.
type round struct {
	*cluster
	l      *traffic
	chance *rand.Rand
	number int
}

// TestScenarios runs the scenarios that are asked for: CHAOS_SCENARIO names one, all
// or share (the default), for CHAOS_SECONDS each, from CHAOS_SEED. The judge holds
// what clients saw against the invariants; I18 is what damaged nodes show.
func TestScenarios(t *testing.T) {
	which := os.Getenv("CHAOS_SCENARIO")
	for _, s := range scenarios {
		if which == s.name || which == "all" || (which == "" || which == "share") && s.share {
			t.Run(s.name, func(t *testing.T) { play(t, s) })
		}
	}
}

// play runs a scenario and records its verdict.
func play(t *testing.T, s scenario) {
	seconds := setting(t, "CHAOS_SECONDS", 10)
	seed := setting(t, "CHAOS_SEED", int(time.Now().UnixNano()&0x7fffffff))
	t.Logf("CHAOS_SCENARIO=%s CHAOS_SEED=%d CHAOS_SECONDS=%d", s.name, seed, seconds)
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	dir := keepDir(t, s.name, seed)
	c := newCluster(t, dir, s.nodes, s.machine)
	l := newTraffic(c)
	l.declare()
	l.start(chance)
	r := &round{cluster: c, l: l, chance: chance}
	r.await("confirms", func() bool { return l.rec.Counts().Confirmed > 200 })

	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end) || r.idle(); {
		r.number++
		r.rest(time.Second)
		s.hurt(r, time.Duration(1+chance.IntN(max(2, min(seconds/6, 12))))*time.Second)
		c.net.mend()
		c.wonder()
		for _, m := range c.members() {
			if !m.running() {
				m.launch()
			}
		}
	}
	for _, m := range c.members() {
		m.await()
	}
	l.rec.Add(checker.Event{Kind: checker.Calm})
	r.rest(3 * time.Second)
	drained := l.finish()
	c.wonder()
	r.judge(s, seed, seconds, drained)
}

// idle reports whether nothing was on its way yet when anything was hurt, so that the
// run would say nothing. Of few rounds that can be so; then there are some more.
func (r *round) idle() bool {
	n := r.l.rec.Counts()
	return n.Under+n.Caught == 0 && r.number < 8
}

// rest lets about so much time pass.
func (r *round) rest(d time.Duration) {
	<-time.After(d/2 + time.Duration(r.chance.Int64N(int64(d))))
}

// hurting says that nodes are hurt until what it returns is called.
func (r *round) hurting(what string, nodes ...*member) (healed func()) {
	return r.faulty(0, what, nodes...)
}

// faulty is hurting with flags of checker.Fault.
func (r *round) faulty(flag uint8, what string, nodes ...*member) (healed func()) {
	bits, names := uint64(0), []string{}
	for _, m := range nodes {
		bits |= 1 << m.number
		names = append(names, m.name())
	}
	r.t.Logf("round %d: %s %s", r.number, what, strings.Join(names, ", "))
	r.l.rec.Add(checker.Event{Kind: checker.Fault, N: bits, Flag: flag})
	return func() { r.l.rec.Add(checker.Event{Kind: checker.Heal, N: bits, Flag: flag}) }
}

// wonder fails the test if a node ended though nobody wanted it to.
func (c *cluster) wonder() {
	c.t.Helper()
	for _, m := range c.members() {
		if m.wondered() {
			m.mean()
			c.t.Errorf("%s ended by itself:\n%s", m.name(), m.tail())
		}
	}
}

func (r *round) await(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(startLimit); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited %s for %s", startLimit, what)
		}
	}
}

// judge tells the verdict, and keeps it where CHAOS_RESULTS says.
func (r *round) judge(s scenario, seed, seconds int, drained bool) {
	t := r.t
	t.Helper()
	if err := r.l.rec.Flush(); err != nil {
		t.Error(err)
	}
	rep := r.l.rec.Report()
	verdict, why := rep.Verdict(drained)
	if t.Failed() && verdict == checker.Pass {
		verdict, why = checker.Fail, "a node did what it should not"
	}
	t.Logf("%s: %s, %d rounds, %v", s.name, verdict, r.number, &rep)
	if verdict != checker.Pass {
		t.Errorf("%s: %s\n%s", verdict, why, strings.Join(rep.Examples, "\n"))
	}
	if path := os.Getenv("CHAOS_RESULTS"); path != "" {
		line := fmt.Sprintf("%s\t%s\tseed %d\t%d s\t%d rounds\t%s\t%v\n", commit(), s.name, seed, seconds, r.number, verdict, &rep)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(line)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Errorf("keep the verdict: %v", err)
		}
	}
}

// commit names what is tried.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// keepDir is where a run has its nodes and its history: below CHAOS_DIR, where it
// stays if the run fails, or a directory of the test.
func keepDir(t *testing.T, name string, seed int) string {
	base := os.Getenv("CHAOS_DIR")
	if base == "" {
		return t.TempDir()
	}
	dir := filepath.Join(base, fmt.Sprintf("%s-%d", name, seed))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what it left is in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func setting(t testing.TB, name string, otherwise int) int {
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
