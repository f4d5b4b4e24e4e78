//go:build chaos

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/test/chaos/checker"
)

// How a step is interrupted.
const (
	dies      = "dies"   // who comes to it is killed
	otherDies = "other"  // it waits there while another is killed: who leads, or a follower of it
	isCut     = "cut"    // it waits there until it hears nobody, and goes on
	sleeps    = "sleeps" // all of the process stands still, for longer than others wait for it
	hitTime   = 30 * time.Second
	sleepTime = 4 * time.Second
	cutTime   = 3 * time.Second
)

// A path is something that a cluster does in steps, of which each is interrupted.
type path struct {
	name  string
	nodes int
	steps []step.Name
	// ready is called before the orders are given; what it returns makes the cluster
	// go the path, and returns when it is at its end or ctx ends. It may be called
	// again.
	ready func(w *walk, s step.Name) func(ctx context.Context)
	// after is called when the cluster is whole.
	after func(w *walk, hit []*member, how string)
}

// A walk is a run of a path.
type walk struct {
	*round
	moved *moved
}

// times is which time a step is interrupted that comes often.
var times = map[step.Name]int{step.SnapshotSent: 5, step.SnapshotCame: 5, step.MoveHanded: 3, step.CheckpointBodies: 2, step.CheckpointState: 2, step.AttachClaimed: 3}

// between are the steps of the table from one to another.
func between(first, last step.Name) []step.Name {
	names := step.Names()
	return names[slices.Index(names, first) : slices.Index(names, last)+1]
}

var paths = []path{
	{name: "checkpoint", nodes: 3, steps: between(step.CheckpointBegun, step.LogDropped), ready: checkpoints},
	{name: "snapshot", nodes: 3, steps: between(step.SnapshotWanted, step.SnapshotResumed), ready: snapshots},
	{name: "lead", nodes: 3, steps: append(between(step.NodeDraining, step.NodeRevived), between(step.LeadQuiet, step.LeadResumed)...), ready: handover},
	{name: "attach", nodes: 3, steps: between(step.AttachBegun, step.AttachLost), ready: handover},
	{name: "move", nodes: 3, steps: between(step.MovePlaced, step.MoveFollowed), ready: moves, after: afterMove},
	{name: "member", nodes: 5, steps: between(step.MemberAdded, step.ReplicaFreed), ready: growAndShrink},
	{name: "node", nodes: 3, steps: between(step.NodeAdmitted, step.NodeRemoved), ready: comeAndGo},
}

// TestSteps interrupts everything that a cluster does in steps at each of them, under
// load: CHAOS_STEPS names a path, or a step, or is all (the default). CHAOS_HOW has the
// ways, default all. It needs a build with the tag steps: WARREN_STEPPED.
func TestSteps(t *testing.T) {
	which := os.Getenv("CHAOS_STEPS")
	seed := setting(t, "CHAOS_SEED", int(time.Now().UnixNano()&0x7fffffff))
	hows := []string{dies, otherDies, isCut, sleeps}
	if h := os.Getenv("CHAOS_HOW"); h != "" {
		hows = strings.Split(h, ",")
	}
	onlyStepped(t)
	covered := map[step.Name]bool{}
	for _, p := range paths {
		for _, s := range p.steps {
			covered[s] = true
		}
	}
	for _, s := range step.Names() {
		if !covered[s] {
			t.Errorf("no path comes to %s", s)
		}
	}
	for _, p := range paths {
		if which != "" && which != "all" && which != p.name {
			if p.steps = slices.DeleteFunc(slices.Clone(p.steps), func(s step.Name) bool { return string(s) != which }); len(p.steps) == 0 {
				continue
			}
		}
		t.Run(p.name, func(t *testing.T) { walkPath(t, p, hows, seed) })
	}
}

// stepped is the program with the tag.
func stepped() string { return os.Getenv("WARREN_STEPPED") }

// onlyStepped holds that what is shipped knows of no steps.
func onlyStepped(t *testing.T) {
	t.Helper()
	for _, of := range []struct {
		path string
		has  bool
	}{{program(), false}, {stepped(), true}} {
		text, err := os.ReadFile(of.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{step.Dir, string(step.SnapshotSwitched), string(step.MoveFollowed)} {
			if bytes.Contains(text, []byte(word)) != of.has {
				t.Errorf("%s has %s: %v", of.path, word, !of.has)
			}
		}
	}
}

func walkPath(t *testing.T, p path, hows []string, seed int) {
	t.Logf("CHAOS_STEPS=%s CHAOS_HOW=%s CHAOS_SEED=%d", p.name, strings.Join(hows, ","), seed)
	began := time.Now()
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	c := newCluster(t, keepDir(t, "steps-"+p.name, seed), p.nodes, machine{stepped: true})
	l := newTraffic(c)
	l.declare()
	l.start(chance)
	w := &walk{round: &round{cluster: c, l: l, chance: chance}}
	w.await("confirms", func() bool { return l.rec.Counts().Confirmed > 200 })
	for _, s := range p.steps {
		for _, how := range hows {
			w.interrupt(p, s, how)
		}
	}
	l.rec.Add(checker.Event{Kind: checker.Calm})
	w.rest(3 * time.Second)
	drained := l.finish()
	c.wonder()
	w.judge(scenario{name: "steps-" + p.name}, seed, int(time.Since(began).Seconds()), drained)
}

// interrupt has the cluster go a path until somebody comes to a step, and does there
// what how says.
func (w *walk) interrupt(p path, s step.Name, how string) {
	t := w.t
	t.Helper()
	w.number++
	before := w.l.rec.Report()
	walk := p.ready(w, s)
	healed := w.hurting(fmt.Sprintf("%s, %s:", s, how), w.members()...)
	w.give(s, how)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), hitTime+wholeLimit)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); walk(ctx) }()
	hit := w.awaitHit(func() bool {
		select {
		case <-done:
		default:
			return time.Since(began) > hitTime
		}
		if time.Since(began) < hitTime/2 && ctx.Err() == nil { // once more
			done = make(chan struct{})
			go func() { defer close(done); walk(ctx) }()
			return false
		}
		return true
	})
	if len(hit) == 0 {
		t.Errorf("nobody came to %s", s)
	}
	took := time.Since(began)
	for _, m := range hit {
		w.do(m, how)
	}
	<-done
	for _, m := range w.members() {
		if !m.running() {
			m.mean()
			m.launch()
		}
	}
	for _, m := range w.members() {
		m.await()
	}
	healed()
	w.whole()
	if p.after != nil {
		p.after(w, hit, how)
	}
	rep := w.l.rec.Report()
	if n, was := rep.Violations()-rep.Broken[checker.Lost]-rep.Broken[checker.Unburied], before.Violations()-before.Broken[checker.Lost]-before.Broken[checker.Unburied]; n > was {
		t.Errorf("%s, %s: %v\n%s", s, how, &rep, strings.Join(rep.Examples, "\n"))
	}
	t.Logf("%s, %s: at node %v after %s, whole after %s", s, how, numbers(hit), took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// give orders all nodes to interrupt a step; those that start take the order too.
func (w *walk) give(s step.Name, how string) {
	what := map[string]string{dies: step.Die, otherDies: step.Wait, isCut: step.Wait, sleeps: step.Stop}[how]
	order := fmt.Sprintf("%s %d %s", s, max(1, times[s]), what)
	w.ordered.Store(&order)
	for _, m := range w.members() {
		m.take(order)
	}
}

func (m *member) steps() string { return filepath.Join(m.dir, "steps") }

// take puts an order where the process finds it.
func (m *member) take(order string) {
	tmp := filepath.Join(m.steps(), "new")
	for _, f := range []string{step.Done, step.Hold} {
		_ = os.Remove(filepath.Join(m.steps(), f)) // it may not be there
	}
	err := os.WriteFile(tmp, []byte(order), 0o600)
	if err = errors.Join(err, os.Rename(tmp, filepath.Join(m.steps(), step.Order))); err != nil {
		m.c.t.Error(err)
	}
}

// awaitHit returns who came to the step; nobody else will.
func (w *walk) awaitHit(over func() bool) (hit []*member) {
	came := func() {
		hit = nil
		for _, m := range w.members() {
			if _, err := os.Stat(filepath.Join(m.steps(), step.Done)); err == nil {
				hit = append(hit, m)
			}
		}
	}
	for came(); len(hit) == 0 && !over(); came() {
		<-time.After(2 * time.Millisecond)
	}
	w.ordered.Store(nil)
	for _, m := range w.members() {
		if err := os.Remove(filepath.Join(m.steps(), step.Order)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Error(err)
		}
	}
	came()
	return hit
}

// do interrupts a node that is at a step.
func (w *walk) do(m *member, how string) {
	goOn := func() {
		if err := os.Remove(filepath.Join(m.steps(), step.Hold)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Error(err)
		}
	}
	switch how {
	case dies:
		m.mean()
		<-m.ended
		w.rest(time.Second)
		if !w.gone[m.number].Load() { // it may have left the cluster for good meanwhile
			m.launch()
		}
	case otherDies:
		o := w.leader(queueName(plain))
		if o == nil || o == m || !o.running() {
			ms := slices.DeleteFunc(w.shuffled(), func(o *member) bool { return o == m || !o.running() })
			o = ms[0]
		}
		o.kill()
		goOn()
		w.rest(time.Second)
		if !w.gone[o.number].Load() { // the same
			o.launch()
		}
	case isCut:
		for _, o := range w.members() {
			if o != m {
				w.net.cutBoth(m.number, o.number)
			}
		}
		goOn()
		<-time.After(cutTime)
		w.net.mend()
	case sleeps:
		<-time.After(sleepTime)
		m.signal(syscall.SIGCONT)
	}
}

// until waits until ok, or ctx ends.
func until(ctx context.Context, ok func() bool) bool {
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true
}

// orders is what nodes that start are ordered.
type orders = atomic.Pointer[string]
