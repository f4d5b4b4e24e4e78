package node

import (
	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/health"
	"github.com/warrenmq/warren/listener"
)

// Health says what the node is, at any time of its life.
func (n *Node) Health() health.Status {
	s := health.Status{Node: n.o.Name, State: health.Booting}
	if why := n.waiting.Load(); why != nil {
		s.Why = *why
	}
	st := member.Status{State: member.Serving} // of a node that is alone
	if d := n.member.Load(); d != nil {
		st = d.Status()
		s.Text = st.Text
	}
	switch open := n.listeners() != nil; {
	case n.done.Load():
		s.State = health.Stopped
	case n.fenced.Load() || st.State == member.Minority:
		s.State = health.Minority
	case n.leaving.Load():
		s.State = health.Stopping
	case st.State == member.Draining:
		s.State = health.Draining
	case open || n.shut.Load():
		if me := n.node(); me != nil && me.State != catalog.Serving {
			s.State = health.Draining
		} else if st.State == member.Serving {
			s.State = health.Serving
		}
	}
	switch s.State {
	case health.Booting:
	case health.Minority:
		s.Why, s.Do = "", st.Advice()
	case health.Draining:
		s.Why, s.Do = "", n.drainingAdvice()
	default:
		s.Why = ""
	}
	return s
}

// drainingAdvice says what ends a maintenance; empty for a node that leaves.
func (n *Node) drainingAdvice() string {
	if me := n.node(); me != nil && me.State == catalog.Draining {
		return "'rabbitmq-upgrade revive' ends the maintenance, and so does a restart"
	}
	return ""
}

// alarms are those that hold publishers back.
func (n *Node) alarms() []string {
	var st admin.Status
	n.watch.addAlarms(&st)
	return st.Limiting
}

// waitsFor notes what a node that is not ready waits for; "" is nothing.
func (n *Node) waitsFor(text string) {
	if text == "" {
		n.waiting.Store(nil)
		return
	}
	n.waiting.Store(&text)
}

// listeners are those for clients, of which there may be none: nil until they are
// open.
func (n *Node) listeners() []*listener.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.listeners
}

// startHealth has the node asked how it is: before all others and after them.
func (n *Node) startHealth() (stop func(), err error) {
	checks, closing := n.o.Checks, func() {}
	if checks == nil {
		if checks, err = OpenChecks(n.o, health.Options{Status: n.Health, Alarms: n.alarms}); err != nil {
			return nil, err
		}
		closing = checks.Close
	}
	n.mu.Lock()
	n.mu.health = checks.open
	n.mu.Unlock()
	leave := checks.answer(health.Options{Status: n.Health, Alarms: n.alarms})
	return func() {
		leave()
		closing()
	}, nil
}
