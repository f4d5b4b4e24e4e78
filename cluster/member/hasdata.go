package member

import (
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
)

// HasData reports whether a node has anything that joining another cluster would
// destroy: whatever is beyond what a fresh node makes, which is one vhost with
// the exchanges that every vhost has, guest, and one user for other machines.
// What says the first thing found.
func HasData(v *catalog.View) (what string, yes bool) {
	for q := range v.Queues(0) {
		return fmt.Sprintf("queues (%d), as %q in vhost %q", v.QueueCount(), q.Name, vhostName(v, q.VHost)), true
	}
	vhosts := 0
	for h := range v.VHosts() {
		if vhosts++; vhosts > 1 {
			return fmt.Sprintf("several vhosts, as %q", h.Name), true
		}
		if what, yes := vhostHasData(v, h); yes {
			return what, true
		}
	}
	return restHasData(v)
}

func vhostHasData(v *catalog.View, h *catalog.VHost) (what string, yes bool) {
	for x := range h.Exchanges("") {
		if !x.System {
			return fmt.Sprintf("the exchange %q in vhost %q", x.Name, h.Name), true
		}
		if v.Bindings(x).Len() > 0 {
			return fmt.Sprintf("bindings of the exchange %q in vhost %q", x.Name, h.Name), true
		}
	}
	for p := range v.Policies(h) {
		return fmt.Sprintf("the policy %q in vhost %q", p.Name, h.Name), true
	}
	return "", false
}

func restHasData(v *catalog.View) (what string, yes bool) {
	users, nodes := 0, 0
	for u := range v.Users() {
		if u.Name == "guest" {
			continue
		}
		if users++; users > 1 {
			return fmt.Sprintf("several users, as %q", u.Name), true
		}
	}
	for p := range v.Parameters() {
		return fmt.Sprintf("the parameter %q of %s", p.Name, p.Component), true
	}
	for p := range v.TopicPermissions() {
		return fmt.Sprintf("topic permissions of %q", p.User), true
	}
	for n := range v.Nodes() {
		if nodes++; nodes > 1 {
			return fmt.Sprintf("other nodes in its cluster, as %s", n.Name), true
		}
	}
	return "", false
}

func vhostName(v *catalog.View, id uint64) string {
	if h := v.VHostByID(id); h != nil {
		return h.Name
	}
	return ""
}
