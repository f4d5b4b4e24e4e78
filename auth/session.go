package auth

import (
	"strings"

	"github.com/warrenmq/warren/internal/pattern"
)

// sessionDecisions is how many decisions each of a session's two generations
// holds.
const sessionDecisions = 128

// SessionOptions of Authorizer.Session.
type SessionOptions struct {
	User, VHost string
	// ClientID is what {client_id} stands for in topic permissions.
	ClientID string
}

// A Session remembers what was decided for one user in one vhost, until the
// permission revision moves. It belongs to one goroutine at a time.
type Session struct {
	a           *Authorizer
	user, vhost string
	expand      *strings.Replacer

	rev        uint64
	last       question // the question asked last that was answered with yes
	young, old map[question]*answer
}

// A question is what a decision is remembered by.
type question struct {
	op          Operation
	kind        Kind
	onTopic     bool
	name, topic string
}

type answer struct {
	q   question
	yes bool
}

// Session returns a memory for a session's decisions.
func (a *Authorizer) Session(o SessionOptions) *Session {
	return &Session{
		a: a, user: o.User, vhost: o.VHost,
		// The values are quoted: a name is never a pattern.
		expand: strings.NewReplacer(
			"{username}", pattern.Quote(o.User),
			"{vhost}", pattern.Quote(o.VHost),
			"{client_id}", pattern.Quote(o.ClientID),
		),
	}
}

// Check is Authorizer.Check for the session's user and vhost.
func (s *Session) Check(op Operation, kind Kind, name string) error {
	q := question{op: op, kind: kind, name: target(kind, name)}
	if s.ask(q) {
		return nil
	}
	return denied(s.user, s.vhost, op, kind, q.name)
}

// CheckTopic checks a routing key written to or read from a topic exchange on
// which the operation itself is allowed.
func (s *Session) CheckTopic(op Operation, exchange, topic string) error {
	q := question{op: op, kind: Exchange, onTopic: true, name: target(Exchange, exchange), topic: topic}
	if s.ask(q) {
		return nil
	}
	err := denied(s.user, s.vhost, op, Exchange, q.name)
	err.OnTopic, err.Topic = true, topic
	return err
}

func (s *Session) ask(q question) bool {
	dir := s.a.current()
	if rev := dir.PermissionRevision(); rev != s.rev || s.young == nil {
		s.rev, s.last = rev, question{}
		s.young, s.old = make(map[question]*answer), nil
	}
	if q == s.last {
		return true
	}
	known := s.young[q]
	if known == nil {
		if known = s.old[q]; known == nil {
			yes, lasts := s.decide(dir, q)
			if !lasts {
				return false
			}
			// What is kept must not be the caller's memory.
			q.name, q.topic = strings.Clone(q.name), strings.Clone(q.topic)
			known = &answer{q: q, yes: yes}
		}
		s.remember(known)
	}
	if known.yes {
		s.last = known.q
	}
	return known.yes
}

// decide returns the answer and whether it may be remembered.
func (s *Session) decide(dir Directory, q question) (yes, lasts bool) {
	var v verdict
	if q.onTopic {
		v = s.a.decideTopic(dir, s, q.op, q.name, q.topic)
	} else {
		v = s.a.decide(dir, s.user, s.vhost, q.op, q.name)
	}
	return v == allowed, v != failedVerdict
}

func (s *Session) remember(a *answer) {
	if len(s.young) >= sessionDecisions {
		s.young, s.old = make(map[question]*answer), s.young
	}
	s.young[a.q] = a
}
