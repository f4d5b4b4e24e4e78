package broker

import (
	"fmt"
	"sync"

	"github.com/warrenmq/warren/core/catalog"
)

// NodeLimits bound what a node takes; zero is no limit.
type NodeLimits struct {
	Channels uint64 // of all connections
	Queues   uint64 // of the cluster
}

// A census counts what limits bound: connections that opened a vhost, by vhost
// and by user, and channels by user. Whoever is counted is counted before it may
// do anything, so that no limit is exceeded, however many come at once.
type census struct {
	mu sync.Mutex
	// Guarded by mu. Nothing stays for a vhost or user without connections.
	channels uint64            // of all users
	vhosts   map[uint64]uint64 // connections by vhost id
	users    map[string]tally
}

type tally struct{ connections, channels uint64 }

// enter counts a session that opens a vhost, or says which limit is reached.
func (b *Broker) enter(s *Session, h *catalog.VHost, limits catalog.Limits) error {
	c := &b.census
	c.mu.Lock()
	defer c.mu.Unlock()
	over := func(format string, args ...any) error {
		return &Error{Kind: OverLimit, Resource: VHostResource, Name: h.Name, VHost: h.Name, User: s.ident.User, Detail: fmt.Sprintf(format, args...)}
	}
	user := s.ident.User
	if most, ok := h.Limits.Connections.Set(); ok && c.vhosts[h.ID] >= most {
		return over("access to vhost '%s' refused for user '%s': connection limit (%d) is reached", h.Name, user, most)
	}
	t := c.users[user]
	if most, ok := limits.Connections.Set(); ok && t.connections >= most {
		return over("connection refused for user '%s': user connection limit (%d) is reached", user, most)
	}
	if c.vhosts == nil {
		c.vhosts, c.users = map[uint64]uint64{}, map[string]tally{}
	}
	c.vhosts[h.ID]++
	t.connections++
	c.users[user] = t
	s.seat = h.ID
	return nil
}

// leave takes a session out of the count, with the channels it still has.
func (b *Broker) leave(s *Session) {
	if s.seat == 0 {
		return
	}
	c := &b.census
	c.mu.Lock()
	defer c.mu.Unlock()
	c.channels -= s.channels
	if c.vhosts[s.seat]--; c.vhosts[s.seat] == 0 {
		delete(c.vhosts, s.seat)
	}
	t := c.users[s.ident.User]
	t.connections--
	t.channels -= s.channels
	if c.users[s.ident.User] = t; t.connections == 0 {
		delete(c.users, s.ident.User)
	}
	s.seat, s.channels = 0, 0
}

// OpenChannel counts one more channel of an open session. Its *Error of kind
// OverLimit says that the user or the node has as many as it may have.
func (s *Session) OpenChannel() error {
	var limits catalog.Limits
	if u := s.b.View().User(s.ident.User); u != nil {
		limits = u.Limits
	}
	c := &s.b.census
	c.mu.Lock()
	defer c.mu.Unlock()
	over := func(format string, args ...any) error {
		return &Error{Kind: OverLimit, Resource: UserResource, Name: s.ident.User, VHost: s.vhost, User: s.ident.User, Detail: fmt.Sprintf(format, args...)}
	}
	t := c.users[s.ident.User]
	if most, ok := limits.Channels.Set(); ok && t.channels >= most {
		return over("number of channels opened for user '%s' has reached the maximum allowed user limit of (%d)", s.ident.User, most)
	}
	if most := s.b.o.Limits.Channels; most != 0 && c.channels >= most {
		return over("number of channels opened on this node has reached the maximum allowed limit of (%d)", most)
	}
	t.channels++
	c.users[s.ident.User] = t
	c.channels++
	s.channels++
	return nil
}

// CloseChannel counts one channel less.
func (s *Session) CloseChannel() {
	c := &s.b.census
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.users[s.ident.User]
	t.channels--
	c.users[s.ident.User] = t
	c.channels--
	s.channels--
}

// EndSessions asks the connections of those sessions that match to end, and
// returns how many it asked: their clients are told the reason. match is called
// under a lock: it must be quick and not call the broker.
func (b *Broker) EndSessions(match func(*Session) bool, reason string) int {
	var ending []*Session
	b.mu.RLock()
	for s := range b.mu.open {
		if s.info.End != nil && match(s) {
			ending = append(ending, s)
		}
	}
	b.mu.RUnlock()
	for _, s := range ending {
		s.info.End(reason)
	}
	return len(ending)
}

// evict ends the connections to what was deleted.
func (b *Broker) evict(gone *catalog.Removed) {
	for _, h := range gone.VHosts {
		b.EndSessions(func(s *Session) bool {
			b.census.mu.Lock()
			defer b.census.mu.Unlock()
			return s.seat == h.ID
		}, fmt.Sprintf("vhost '%s' is deleted", h.Name))
	}
	for _, u := range gone.Users {
		b.EndSessions(func(s *Session) bool { return s.ident.User == u.Name }, fmt.Sprintf("user '%s' is deleted", u.Name))
	}
}
