//go:build chaos

package cluster

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/test/chaos/checker"
	"github.com/warrenmq/warren/test/chaos/load"
)

// silence is how long a leader that is paused says nothing.
const silence = 8 * time.Second

// A probe publishes at one node, and notes when a message that was sent after some
// moment was confirmed.
type probe struct {
	home int

	mu        sync.Mutex
	confirmed int
	last      time.Time     // confirm
	since     time.Time     // the moment; zero: there is none
	first     time.Duration // from the moment to the confirm; 0: not yet
	gap       time.Duration // the longest time between confirms from the moment on
}

func (p *probe) onConfirm(_ int, sent, confirmed time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed++
	if !p.since.IsZero() {
		p.gap = max(p.gap, confirmed.Sub(p.last))
		if p.first == 0 && sent.After(p.since) {
			p.first = confirmed.Sub(p.since)
		}
	}
	p.last = confirmed
}

// from sets the moment.
func (p *probe) from(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.first, p.gap = t, 0, 0
}

func (p *probe) state() (confirmed int, first, gap time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed, p.first, p.gap
}

// A leaving is a way in which a leader goes, with what was measured.
type leaving struct {
	name  string
	leave func(r *round, l *member) (back func())
	gaps  bool // the longest gap counts, not the time from the moment

	atLeader, elsewhere []time.Duration
}

// TestLeader has the leader of a queue go while clients at every node publish to it
// and hold messages of it: killed CHAOS_KILLS times, stopped, drained and fallen silent
// a tenth as often. Nothing is lost, comes again unmarked or out of order, and who is attached
// to a healthy node keeps what it holds. It tells when the next message was confirmed;
// on a machine that does other things, these times say nothing.
func TestLeader(t *testing.T) {
	kills := setting(t, "CHAOS_KILLS", 3)
	seed := setting(t, "CHAOS_SEED", int(time.Now().UnixNano()&0x7fffffff))
	t.Logf("CHAOS_KILLS=%d CHAOS_SEED=%d", kills, seed)
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	c := newCluster(t, keepDir(t, "leader", seed), 3, machine{})
	l := newTraffic(c)
	l.declare()
	l.start(chance)
	r := &round{cluster: c, l: l, chance: chance}

	killed := &leaving{name: "killed", leave: func(_ *round, l *member) func() { l.kill(); return func() { l.launch(); l.await() } }}
	stopped := &leaving{name: "stopped", gaps: true, leave: func(_ *round, l *member) func() {
		l.mean()
		l.signal(syscall.SIGTERM)
		return func() { l.stop(); l.launch(); l.await() }
	}}
	emptied := &leaving{name: "drained", gaps: true, leave: func(r *round, l *member) func() {
		r.order(l, "rabbitmq-upgrade", "drain")
		return func() { r.order(l, "rabbitmq-upgrade", "revive"); l.await() }
	}}
	silent := &leaving{name: "silent", leave: func(_ *round, l *member) func() {
		l.signal(syscall.SIGSTOP)
		time.AfterFunc(silence, func() { l.signal(syscall.SIGCONT) })
		return func() { <-time.After(silence); l.signal(syscall.SIGCONT); l.await() }
	}}
	for i := range kills {
		r.leave(killed)
		if i%10 == 0 {
			r.leave(stopped)
			r.leave(emptied)
			r.leave(silent)
		}
	}
	l.rec.Add(checker.Event{Kind: checker.Calm})
	r.rest(2 * time.Second)
	drained := l.finish()
	c.wonder()
	for _, k := range []*leaving{killed, stopped, emptied, silent} {
		r.tell(k)
	}
	r.judge(scenario{name: "leader"}, seed, kills, drained)
}

// leave has the leader go once.
func (r *round) leave(k *leaving) {
	t := r.t
	t.Helper()
	r.number++
	r.awaitWhole(3)
	group := load.NewGroup(t.Context())
	probes := []*probe{}
	for n := range r.nodes {
		p := &probe{home: n + 1}
		pub := &load.Publisher{
			World: r.l.w, Home: p.home, Seed: r.chance.Uint64(), Key: queueName(plain), Routes: 1 << plain,
			Window: 1000, Rate: 100, OnConfirm: p.onConfirm,
		}
		group.Go(pub.Run)
		probes = append(probes, p)
	}
	r.await("confirms at every node", func() bool {
		return !slices.ContainsFunc(probes, func(p *probe) bool { n, _, _ := p.state(); return n < 30 })
	})
	led := r.leader(queueName(plain))
	if led == nil {
		t.Fatal("nobody leads the queue")
	}
	healed := r.hurting(k.name+", the leader:", led)
	now := time.Now()
	for _, p := range probes {
		p.from(now)
	}
	back := k.leave(r, led)
	r.await("a confirm at every node", func() bool {
		return !slices.ContainsFunc(probes, func(p *probe) bool { _, first, _ := p.state(); return first == 0 })
	})
	if k.gaps {
		r.rest(2 * time.Second) // it leaves meanwhile
	}
	for _, p := range probes {
		_, took, gap := p.state()
		if k.gaps {
			took = gap
		}
		if p.home == led.number {
			k.atLeader = append(k.atLeader, took)
		} else {
			k.elsewhere = append(k.elsewhere, took)
		}
		if took > time.Second {
			t.Logf("  %s at node %d, at %s", took.Round(time.Millisecond), p.home, now.UTC().Format("15:04:05.000"))
		}
	}
	back()
	healed()
	group.End()
	if rep := r.l.rec.Report(); rep.Violations() > rep.Broken[checker.Lost]+rep.Broken[checker.Unburied] { // what has not come yet may still come
		t.Errorf("round %d, %s: %v\n%s", r.number, k.name, &rep, strings.Join(rep.Examples, "\n"))
	}
}

// tell says what was measured, here and in a file beside CHAOS_RESULTS.
func (r *round) tell(k *leaving) {
	what := "from the moment to the next confirm"
	if k.gaps {
		what = "the longest gap between confirms"
	}
	var b strings.Builder
	for _, at := range []struct {
		where string
		took  []time.Duration
	}{{"at the leader", k.atLeader}, {"elsewhere", k.elsewhere}} {
		if len(at.took) == 0 {
			continue
		}
		slices.Sort(at.took)
		nth := func(share float64) time.Duration {
			return at.took[int(share*float64(len(at.took)-1)+0.5)].Round(time.Millisecond)
		}
		b.WriteString(strings.Join([]string{"leader " + k.name, what, at.where, "p50 " + nth(0.5).String(), "p99 " + nth(0.99).String(), "most " + nth(1).String()}, "\t"))
		b.WriteString("\n")
	}
	r.t.Log("\n" + b.String())
	if path := os.Getenv("CHAOS_RESULTS"); path != "" {
		f, err := os.OpenFile(filepath.Join(filepath.Dir(path), "leader.tsv"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			r.t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.WriteString(commit() + "\n" + b.String()); err != nil {
			r.t.Error(err)
		}
	}
}
