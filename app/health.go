package app

import (
	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/health"
)

// health says how a node is that does not run, to who balances load and restarts
// processes: the process lives, and serves nobody.
func (r resident) health() health.Status {
	s := health.Status{Node: r.p.base.Name, State: health.Stopped}
	r.p.mu.Lock()
	is := r.p.mu.is
	r.p.mu.Unlock()
	switch is.State {
	case admin.AppStarts, admin.AppRuns: // it has not begun to answer, or just did
		s.State = health.Booting
	case admin.AppStops:
		s.State = health.Stopping
	case admin.AppJoins:
		s.Why = "the app is stopped, and is being made a member of another cluster"
	case admin.AppResets:
		s.Why = "the app is stopped, and is being reset"
	default:
		s.Why = "the app is stopped; 'rabbitmqctl start_app' starts it"
		if is.Why != "" && is.Why != byOperator {
			s.Why = "the app is stopped: " + is.Why
		}
	}
	return s
}
