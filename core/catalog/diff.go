package catalog

// Diff returns what changed from one View to a later one, as results of commands
// that would have done it: for whoever follows the catalog and could not see the
// commands one by one. Bindings, permissions, policies and parameters are in the
// View and have no results.
func Diff(from, to *View) []Result {
	var out []Result
	add := func(r Result) {
		r.Revision = to.Revision()
		out = append(out, r)
	}
	var gone Removed
	for q := range from.Queues(0) {
		if to.QueueByID(q.ID) == nil {
			gone.Queues = append(gone.Queues, q)
		}
	}
	for i := range from.Incarnations() {
		if to.Incarnation(i.Number) == nil {
			gone.Incarnations = append(gone.Incarnations, i)
		}
	}
	for h := range from.VHosts() {
		for x := range h.Exchanges("") {
			if to.ExchangeByID(x.ID) == nil {
				gone.Exchanges = append(gone.Exchanges, x)
			}
		}
		if to.VHostByID(h.ID) == nil {
			gone.VHosts = append(gone.VHosts, h)
		}
	}
	for u := range from.Users() {
		if to.User(u.Name) == nil {
			gone.Users = append(gone.Users, u)
		}
	}
	if len(gone.Queues)+len(gone.Incarnations)+len(gone.Exchanges)+len(gone.VHosts)+len(gone.Users) > 0 {
		add(Result{Removed: gone})
	}
	for q := range to.Queues(0) {
		if from.QueueByID(q.ID) != q {
			add(Result{ID: q.ID, Queue: q})
		}
	}
	return out
}
