package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

// A PeerState is what a node says of itself when it is probed.
type PeerState uint8

// The states of a probed node.
const (
	// Fresh: it belongs to no cluster and has nothing.
	Fresh PeerState = iota
	// Forming: it is about to found or to join, or cannot say yet.
	Forming
	// Joined: it belongs to a cluster.
	Joined
)

// A Peer is what a node says of itself when it is probed.
type Peer struct {
	State   PeerState
	Node    uint64
	Name    string
	Cluster string // Joined: its id
	First   string // Fresh: the Key of whom it would have found the cluster
}

// A Prober asks whoever listens at an address.
type Prober interface {
	Probe(ctx context.Context, addr string) (Peer, error)
}

// A Sight is a candidate and what it answered.
type Sight struct {
	Candidate
	Peer Peer
	Err  error // not nil: it did not
}

func (s *Sight) name() string {
	if s.Err == nil && s.Peer.Name != "" {
		return s.Peer.Name
	}
	return s.Key
}

// An Action is what a node that starts does about its cluster.
type Action uint8

// The actions.
const (
	Wait Action = iota
	// Found a cluster of this node alone.
	Found
	// Join the cluster of one of Decision.Members.
	Join
	// Rejoin the cluster that this node's data is of.
	Rejoin
)

// A Decision says what to do and why.
type Decision struct {
	Action  Action
	Cluster string  // Join, Rejoin
	Members []Sight // Join: in order
	First   string  // who should found, as this node sees it: to be told to who probes it
	Text    string
}

// FormOptions of Form.
type FormOptions struct {
	// Node, Name and Cluster are this node's; Cluster is empty if it is fresh.
	Node          uint64
	Name, Cluster string
	// Discoverer finds candidates, Prober asks them, Clock waits. Required
	// unless the node has a cluster.
	Discoverer Discoverer
	Prober     Prober
	Clock      clock.Clock
	// Expect is how many nodes there are when the cluster is founded. Required
	// with a Discoverer that is not whole, for then a founder has to see them all.
	Expect int
	// Alone is how long the first of a list waits for those that do not answer
	// before it founds without them; negative: for ever. Default: 10 s.
	Alone time.Duration
	// Every is the time between two looks. Default: 500 ms.
	Every time.Duration
	// ProbeFor bounds one look. Default: 3 s.
	ProbeFor time.Duration
	// Waiting is told what this node waits for, when that changes. Optional.
	Waiting func(text string)
}

func (o FormOptions) withDefaults() FormOptions {
	fill := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	fill(&o.Alone, 10*time.Second)
	fill(&o.Every, 500*time.Millisecond)
	fill(&o.ProbeFor, 3*time.Second)
	return o
}

// A Former finds out whether a node founds a cluster, joins one or goes back to
// its own. Of nodes that start at once and find the same candidates exactly one
// founds: the first of them in order. With a list that is so whoever can reach
// whom. With anything else a founder has to see as many as are expected.
type Former struct {
	o    FormOptions
	peer atomic.Pointer[Peer]
}

// NewFormer returns a former whose Form has to be called.
func NewFormer(o FormOptions) (*Former, error) {
	f := &Former{o: o.withDefaults()}
	f.say(Forming, "")
	if o.Cluster != "" {
		return f, nil
	}
	switch {
	case o.Node == 0 || o.Discoverer == nil || o.Prober == nil || o.Clock == nil:
		return nil, errors.New("member: a fresh node needs an id, a clock, and somebody to discover and to probe others")
	case !o.Discoverer.Whole() && o.Expect < 1:
		return nil, errors.New("member: without a list of peers, the number of nodes that found the cluster has to be given")
	}
	return f, nil
}

// Peer returns what this node answers when it is probed, until Form has returned
// and something was made of it.
func (f *Former) Peer() Peer { return *f.peer.Load() }

func (f *Former) say(s PeerState, first string) {
	f.peer.Store(&Peer{State: s, Node: f.o.Node, Name: f.o.Name, Cluster: f.o.Cluster, First: first})
}

// Form looks around until it is clear what to do. A join may be refused or fail:
// then Form is called again.
func (f *Former) Form(ctx context.Context) (Decision, error) {
	if f.o.Cluster != "" {
		f.say(Joined, "")
		return f.Decide(0, nil), nil
	}
	started, told := f.o.Clock.Mono(), ""
	ticker := f.o.Clock.NewTicker(f.o.Every)
	defer ticker.Stop()
	for {
		sights, err := f.look(ctx)
		d := Decision{}
		if err != nil {
			d.Text = err.Error()
		} else {
			d = f.Decide(f.o.Clock.Mono()-started, sights)
		}
		if ctx.Err() != nil {
			return Decision{}, fmt.Errorf("member: form a cluster: %w", context.Cause(ctx))
		}
		if d.Action != Wait {
			// Whoever asks from now on must not take this node for a fresh one.
			f.say(Forming, "")
			return d, nil
		}
		f.say(Fresh, d.First)
		if d.Text != told && f.o.Waiting != nil {
			told = d.Text
			f.o.Waiting(d.Text)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C():
		}
	}
}

// look discovers and probes once.
func (f *Former) look(ctx context.Context) ([]Sight, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := f.o.Clock.AfterFunc(f.o.ProbeFor, cancel)
	defer timer.Stop()
	found, err := f.o.Discoverer.Discover(ctx)
	if err != nil {
		return nil, err
	}
	sights := make([]Sight, len(found))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, c := range found {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			sights[i].Candidate = c
			sights[i].Peer, sights[i].Err = f.o.Prober.Probe(ctx, c.Addr)
		})
	}
	wg.Wait()
	return sights, nil
}

// Decide is Form's judgement of one look, after waiting for so long. It is a
// pure function.
func (f *Former) Decide(waited time.Duration, sights []Sight) Decision {
	if f.o.Cluster != "" {
		return Decision{Action: Rejoin, Cluster: f.o.Cluster, Text: "this node belongs to cluster " + f.o.Cluster}
	}
	slices.SortFunc(sights, func(a, b Sight) int { return strings.Compare(a.Key, b.Key) })
	if d, ok := joinable(sights); ok {
		return d
	}
	d := Decision{}
	if len(sights) > 0 {
		d.First = sights[0].Key
	}
	me := slices.IndexFunc(sights, f.mine)
	for i := range sights {
		if s := &sights[i]; s.Err == nil && s.Peer.State == Forming && !f.mine(*s) {
			d.Text = "waiting for " + s.name() + ", which is starting"
			return d
		}
	}
	switch {
	case len(sights) == 0:
		d.Text = "waiting for discovery to find a node"
	case me < 0:
		d.Text = "this node is none of the candidates: waiting for one of " + names(sights) + " to be in a cluster"
	case me > 0 && sights[0].Err != nil:
		d.Text = fmt.Sprintf("waiting for %s to found the cluster, which does not answer: %v", sights[0].Key, sights[0].Err)
	case me > 0:
		d.Text = "waiting for " + sights[0].name() + " to found the cluster"
	default:
		f.lead(&d, waited, sights)
	}
	return d
}

func (f *Former) mine(s Sight) bool { return s.Err == nil && s.Peer.Node == f.o.Node }

// joinable looks for members. Candidates of two clusters are for a person to
// sort out.
func joinable(sights []Sight) (Decision, bool) {
	d := Decision{Action: Join}
	for _, s := range sights {
		if s.Err != nil || s.Peer.State != Joined {
			continue
		}
		if d.Cluster != "" && s.Peer.Cluster != d.Cluster {
			return Decision{Text: fmt.Sprintf("%s is in cluster %s and %s in cluster %s: name only one of them",
				d.Members[0].name(), d.Cluster, s.name(), s.Peer.Cluster)}, true
		}
		d.Cluster = s.Peer.Cluster
		d.Members = append(d.Members, s)
	}
	d.Text = "joining cluster " + d.Cluster
	return d, len(d.Members) > 0
}

// lead is the judgement of the first candidate: whether it may found now.
func (f *Former) lead(d *Decision, waited time.Duration, sights []Sight) {
	nodes := map[uint64]bool{f.o.Node: true}
	var mute []Sight
	for i := range sights {
		switch s := &sights[i]; {
		case f.mine(*s):
		case s.Err != nil:
			mute = append(mute, *s)
		case !f.agrees(s, sights):
			d.Text = fmt.Sprintf("waiting for %s, which would have %q found the cluster: the nodes are given different peers", s.name(), s.Peer.First)
			if s.Peer.First == "" {
				d.Text = "waiting for " + s.name() + ", which has not looked around yet"
			}
			return
		default:
			nodes[s.Peer.Node] = true
		}
	}
	whole := f.o.Discoverer.Whole()
	switch {
	case len(nodes) < f.o.Expect && !whole:
		d.Text = fmt.Sprintf("waiting for %d nodes to found the cluster with, %d are here", f.o.Expect, len(nodes))
	case len(mute) > 0 && !whole:
		d.Text = "waiting for " + names(mute) + ", which may be in a cluster and do not answer"
	case len(mute) > 0 && f.o.Alone < 0:
		d.Text = "waiting for " + names(mute) + " before founding the cluster"
	case len(mute) > 0 && waited < f.o.Alone:
		d.Text = fmt.Sprintf("waiting for %s, founding the cluster without them after %v", names(mute), f.o.Alone)
	default:
		d.Action, d.Text = Found, "founding a cluster"
		if len(mute) > 0 {
			d.Text += " without " + names(mute) + ", which do not answer"
		}
	}
}

// agrees reports whether a fresh peer waits for this node to found.
func (f *Former) agrees(peer *Sight, sights []Sight) bool {
	return slices.ContainsFunc(sights, func(s Sight) bool { return s.Key == peer.Peer.First && f.mine(s) })
}

func names(sights []Sight) string {
	var out []string
	for i := range sights {
		out = append(out, sights[i].name())
	}
	return strings.Join(out, ", ")
}
