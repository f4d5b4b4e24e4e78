package auth

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/warrenmq/warren/internal/pattern"
)

// AuthorizerOptions of NewAuthorizer.
type AuthorizerOptions struct {
	// Directory returns the current picture. Required.
	Directory func() Directory
	// Patterns is about how many compiled patterns are kept. Default 1024.
	Patterns int
	// Logger hears of stored patterns that cannot be used. Default none.
	Logger *slog.Logger
}

// Authorizer is the one that decides. It may be used by several goroutines.
type Authorizer struct {
	current  func() Directory
	patterns *pattern.Cache
	log      *slog.Logger
}

// NewAuthorizer returns an authoriser.
func NewAuthorizer(o AuthorizerOptions) *Authorizer {
	if o.Directory == nil {
		panic("auth: an Authorizer without a Directory")
	}
	if o.Patterns <= 0 {
		o.Patterns = 1024
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Authorizer{current: o.Directory, patterns: pattern.NewCache(o.Patterns), log: o.Logger}
}

// ValidatePattern reports whether a pattern can be stored in a permission.
func ValidatePattern(text string) error {
	if _, err := pattern.Compile(text); err != nil {
		return fmt.Errorf("auth: invalid permission: %w", err)
	}
	return nil
}

// CanAccessVHost checks that the vhost exists and that the user has some
// permission in it.
func (a *Authorizer) CanAccessVHost(user, vhost string) error {
	dir := a.current()
	if !dir.VHost(vhost) {
		return &Error{Kind: NoVHost, User: user, VHost: vhost}
	}
	if _, ok := permission(dir, user, vhost); !ok {
		return &Error{Kind: Denied, User: user, VHost: vhost}
	}
	return nil
}

// Check checks one operation on one exchange or queue. The empty exchange name
// is the default exchange.
func (a *Authorizer) Check(user, vhost string, op Operation, kind Kind, name string) error {
	name = target(kind, name)
	if v := a.decide(a.current(), user, vhost, op, name); v != allowed {
		return denied(user, vhost, op, kind, name)
	}
	return nil
}

func denied(user, vhost string, op Operation, kind Kind, name string) *Error {
	return &Error{Kind: Denied, User: user, VHost: vhost, Op: op, Resource: kind, Name: name}
}

func target(kind Kind, name string) string {
	if kind == Exchange && name == "" {
		return DefaultExchange
	}
	return name
}

// A verdict is what was decided. A failed one denies, but is not remembered:
// the next attempt is decided anew.
type verdict uint8

const (
	refusedVerdict verdict = iota
	failedVerdict
	allowed
)

// permission returns a user's permission. Of a user or vhost that is gone,
// nothing that is left counts.
func permission(dir Directory, user, vhost string) (Permission, bool) {
	if _, ok := dir.User(user); !ok || !dir.VHost(vhost) {
		return Permission{}, false
	}
	return dir.Permission(user, vhost)
}

func (a *Authorizer) decide(dir Directory, user, vhost string, op Operation, name string) verdict {
	p, ok := permission(dir, user, vhost)
	if !ok {
		return refusedVerdict
	}
	text, ok := p.pattern(op)
	if !ok {
		return refusedVerdict
	}
	return a.match(text, name)
}

// decideTopic is asked after decide allowed the operation on the exchange.
func (a *Authorizer) decideTopic(dir Directory, s *Session, op Operation, exchange, topic string) verdict {
	if _, ok := permission(dir, s.user, s.vhost); !ok {
		return refusedVerdict
	}
	p, ok := dir.TopicPermission(s.user, s.vhost, exchange)
	if !ok {
		return allowed
	}
	text, ok := p.pattern(op)
	if !ok {
		return refusedVerdict
	}
	return a.match(s.expand.Replace(text), topic)
}

// match fails closed: a pattern that cannot be used matches nothing.
func (a *Authorizer) match(text, name string) verdict {
	if strings.IndexByte(name, 0) >= 0 {
		return refusedVerdict
	}
	if text == "" {
		if name == "" {
			return allowed
		}
		return refusedVerdict
	}
	p, err := a.patterns.Get(text)
	if err != nil {
		a.log.Error("a stored permission cannot be used and denies", "err", err)
		return failedVerdict
	}
	ok, err := p.Match(name)
	switch {
	case err != nil:
		a.log.Warn("a permission took too long to match and denies", "pattern", text, "err", err)
		return failedVerdict
	case ok:
		return allowed
	}
	return refusedVerdict
}
