package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/pattern"
)

// ErrPolicy is wrapped by the error for a command whose policies can not be
// matched: a pattern that is none, or that takes too long.
var ErrPolicy = errors.New("cluster: policies can not be matched")

// matchTime bounds, in milliseconds, how long a new policy may look for what it
// matches.
const matchTime = 5000

// policyBook knows the policies of each vhost in the order in which they count.
type policyBook struct {
	mu       sync.Mutex
	revision uint64               // of the policies in vhosts
	vhosts   map[uint64]*rankings // by id of the vhost
}

// rankings are a vhost's policies, of either kind.
type rankings struct {
	users, operators []ranked // best first
}

type ranked struct {
	*catalog.Policy
	pattern *pattern.Pattern
	err     error // the pattern is none
}

func (r *rankings) kind(operator bool) []ranked {
	if operator {
		return r.operators
	}
	return r.users
}

// of returns the policies of a vhost.
func (b *policyBook) of(v *catalog.View, h *catalog.VHost) *rankings {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.revision != v.PolicyRevision() || b.vhosts == nil {
		b.revision, b.vhosts = v.PolicyRevision(), map[uint64]*rankings{}
	}
	r := b.vhosts[h.ID]
	if r == nil {
		r = &rankings{}
		for p := range v.Policies(h) {
			x := rank(p)
			if p.Operator {
				r.operators = append(r.operators, x)
			} else {
				r.users = append(r.users, x)
			}
		}
		slices.SortFunc(r.users, byRank)
		slices.SortFunc(r.operators, byRank)
		b.vhosts[h.ID] = r
	}
	return r
}

func rank(p *catalog.Policy) ranked {
	x := ranked{Policy: p}
	x.pattern, x.err = pattern.Compile(p.Pattern)
	return x
}

// byRank orders policies: the higher priority counts, of equal ones the name
// that sorts first.
func byRank(a, b ranked) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
}

// A subject is what a policy may govern.
type subject struct {
	name  string
	kinds []string // the words of apply-to that mean it
	now   catalog.Governed
}

func queueSubject(name string, kind catalog.QueueKind) subject {
	s := subject{name: name}
	switch kind {
	case catalog.Classic, catalog.Subscription, catalog.MQTTSession:
		s.kinds = []string{"all", "queues", "classic_queues"}
	case catalog.Quorum:
		s.kinds = []string{"all", "queues", "quorum_queues"}
	case catalog.Stream:
		s.kinds = []string{"all", "queues", "streams"}
	}
	return s // other kinds are nothing that an operator sees as a queue
}

func exchangeSubject(name string) subject {
	return subject{name: name, kinds: []string{"all", "exchanges"}}
}

// matches reports whether a policy governs a subject, if no better one does.
func (x ranked) matches(s *subject) (bool, error) {
	if !slices.Contains(s.kinds, x.ApplyTo) {
		return false, nil
	}
	if x.err != nil {
		return false, fmt.Errorf("%w: policy '%s': %w", ErrPolicy, x.Name, x.err)
	}
	ok, err := x.pattern.Match(s.name)
	if err != nil {
		return false, fmt.Errorf("%w: policy '%s' on '%s': %w", ErrPolicy, x.Name, s.name, err)
	}
	return ok, nil
}

// best returns the name of the policy that governs a subject, leaving one out.
func best(of []ranked, s *subject, without string) (string, error) {
	for _, x := range of {
		if x.Name == without && without != "" {
			continue
		}
		if ok, err := x.matches(s); ok || err != nil {
			return x.Name, err
		}
	}
	return "", nil
}

// governs reports whether a command changes which policies there are.
func governs(cmd catalog.Command) bool {
	switch cmd.(type) {
	case *catalog.SetPolicy, *catalog.ClearPolicy:
		return true
	}
	return false
}

// prepare matches a command with the policies there are now, on its caller's
// goroutine, so that a slow pattern costs the caller and not the turn.
func (c *Catalog) prepare(w *call) error {
	w.seen = c.View()
	return c.match(w.seen, w)
}

// matched matches a command inside the turn, if policies have changed since it
// was prepared or if it changes them. It reports false if that failed and the
// command is not to be proposed. One that has its number already is refused in
// the log, for those behind it wait for the number: so its node learns of it too.
func (c *Catalog) matched(w *call) bool {
	v := c.m.View()
	if w.seen == v || w.seen != nil && !governs(w.cmd) && w.seen.PolicyRevision() == v.PolicyRevision() {
		return true
	}
	err := c.match(v, w)
	switch {
	case err == nil:
		w.seen = v
		return true
	case w.mark.Set():
		w.cmd = refusal(err)
		return true
	}
	c.own.drop(w)
	w.answer(catalog.Result{}, err)
	return false
}

// match replaces w's command by one that says what the policies of v mean to it.
func (c *Catalog) match(v *catalog.View, w *call) (err error) {
	switch x := w.cmd.(type) {
	case *catalog.DeclareQueue:
		y := *x
		y.Match, err = c.find(v, x.VHost, queueSubject(x.Name, x.Kind))
		w.cmd = &y
	case *catalog.DeclareExchange:
		y := *x
		y.Match, err = c.find(v, x.VHost, exchangeSubject(x.Name))
		w.cmd = &y
	case *catalog.SetPolicy:
		y := *x
		y.Shifts, err = c.shifts(v, x.VHost, x.Operator, x.Name, &catalog.Policy{
			Name: x.Name, Pattern: x.Pattern, ApplyTo: x.ApplyTo, Priority: x.Priority,
		})
		w.cmd = &y
	case *catalog.ClearPolicy:
		y := *x
		y.Shifts, err = c.shifts(v, x.VHost, x.Operator, x.Name, nil)
		w.cmd = &y
	}
	return err
}

// find returns the policies that govern a new object.
func (c *Catalog) find(v *catalog.View, vhost string, s subject) (m catalog.Match, err error) {
	h := v.VHost(vhost)
	if h == nil {
		return m, nil
	}
	r := c.policies.of(v, h)
	if m.Policy, err = best(r.users, &s, ""); err != nil {
		return m, err
	}
	m.OperatorPolicy, err = best(r.operators, &s, "")
	return m, err
}

// Governing returns the policies that would govern a queue declared now.
func (c *Catalog) Governing(vhost, name string, kind catalog.QueueKind) (g catalog.Governed, err error) {
	v := c.View()
	m, err := c.find(v, vhost, queueSubject(name, kind))
	if h := v.VHost(vhost); h != nil && err == nil {
		g.Policy, g.OperatorPolicy = v.Policy(h, false, m.Policy), v.Policy(h, true, m.OperatorPolicy)
	}
	return g, err
}

// shifts returns what is governed by another policy once the policy with a name
// is p, or is gone if p is nil. It looks at every object of the vhost once.
func (c *Catalog) shifts(v *catalog.View, vhost string, operator bool, name string, p *catalog.Policy) ([]catalog.Shift, error) {
	h := v.VHost(vhost)
	if h == nil {
		return nil, nil
	}
	s := &shifter{operator: operator, name: name, others: c.policies.of(v, h).kind(operator), groups: map[string]*catalog.Shift{}}
	if p != nil {
		x := rank(p)
		if x.err != nil {
			return nil, fmt.Errorf("%w: policy '%s': %w", ErrPolicy, p.Name, x.err)
		}
		s.policy = &x
	}
	s.late = func() bool { return false }
	if begun := c.o.Wall(); p != nil {
		s.late = func() bool { return c.o.Wall()-begun > matchTime }
	}
	for q := range h.Queues("") {
		sub := queueSubject(q.Name, q.Kind)
		sub.now = q.Governed
		to, moves, err := s.look(&sub)
		if err != nil {
			return nil, err
		}
		if moves {
			s.group(to).Queues = append(s.group(to).Queues, q.ID)
		}
	}
	for e := range h.Exchanges("") {
		sub := exchangeSubject(e.Name)
		sub.now = e.Governed
		to, moves, err := s.look(&sub)
		if err != nil {
			return nil, err
		}
		if moves {
			s.group(to).Exchanges = append(s.group(to).Exchanges, e.ID)
		}
	}
	return s.list(), nil
}

// A shifter finds out what a change of one policy means to each object.
type shifter struct {
	operator bool
	name     string
	policy   *ranked // as it will be; nil: gone
	others   []ranked
	groups   map[string]*catalog.Shift
	looked   int
	late     func() bool
}

// look returns the policy that an object shifts to; moves is false if the one
// that it has goes on to govern it.
func (s *shifter) look(sub *subject) (to string, moves bool, err error) {
	if s.looked++; s.looked%256 == 0 && s.late() {
		return "", false, fmt.Errorf("%w: policy '%s': the pattern takes too long for %d names", ErrPolicy, s.name, s.looked)
	}
	now := sub.now.Policy
	if s.operator {
		now = sub.now.OperatorPolicy
	}
	mine := now != nil && now.Name == s.name
	if s.policy != nil && (now == nil || mine || byRank(*s.policy, ranked{Policy: now}) < 0) {
		ok, err := s.policy.matches(sub)
		if err != nil {
			return "", false, err
		}
		if ok && !mine {
			return s.name, true, nil
		}
		if ok {
			return s.stays(sub)
		}
	}
	if !mine {
		return "", false, nil
	}
	to, err = best(s.others, sub, s.name)
	return to, true, err
}

// stays looks whether an object that the policy governs and still matches has a
// better one now, which is so if its priority became lower.
func (s *shifter) stays(sub *subject) (to string, moves bool, err error) {
	for _, x := range s.others {
		if x.Name == s.name {
			continue
		}
		if byRank(x, *s.policy) > 0 {
			break
		}
		if ok, err := x.matches(sub); ok || err != nil {
			return x.Name, ok, err
		}
	}
	return "", false, nil
}

func (s *shifter) group(policy string) *catalog.Shift {
	g := s.groups[policy]
	if g == nil {
		g = &catalog.Shift{Policy: policy}
		s.groups[policy] = g
	}
	return g
}

// list returns the groups by name, ids in order: so they take least in the log.
func (s *shifter) list() []catalog.Shift {
	out := make([]catalog.Shift, 0, len(s.groups))
	for _, g := range s.groups {
		slices.Sort(g.Queues)
		slices.Sort(g.Exchanges)
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b catalog.Shift) int { return cmp.Compare(a.Policy, b.Policy) })
	return out
}
