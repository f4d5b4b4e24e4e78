package node

import (
	"fmt"
	"slices"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
)

// hold says which node leads a queue, as far as this one knows, which hold it, and
// which of these run and have all of it.
func (o operations) hold(d *admin.Queue, q *catalog.Queue) {
	v := o.catalog.View()
	var leads uint64
	var holders, whole []uint64
	if s := v.Shard(q.Shard); s != nil {
		leads, holders, whole = s.Leader, s.Replicas, s.Members.Voters // a node without a replica knows only who should lead
		if s.Members.At == 0 {
			whole = s.Founders
		}
		if g := o.host.Group(q.Shard); g != nil {
			leads = g.Status().Leader
		}
	} else if inc := v.Incarnation(q.Incarnation); q.Shard == 0 && inc != nil {
		leads, holders = inc.Node, []uint64{inc.Node}
	}
	for _, id := range holders {
		m := v.Node(id)
		if m == nil {
			continue
		}
		pid, runs := pidAt(v, m, q.ID)
		d.Members = append(d.Members, m.Name)
		if runs {
			d.Online = append(d.Online, m.Name)
		}
		switch {
		case id == leads:
			d.Leader, d.PID = m.Name, pid
		case runs:
			d.Mirrors = append(d.Mirrors, pid)
			if slices.Contains(whole, id) {
				d.Synced = append(d.Synced, pid)
			}
		}
	}
	if d.PID == "" {
		d.PID = o.pid(0, q.ID)
	}
}

// pidAt names a queue at a node, and says whether that runs.
func pidAt(v *catalog.View, m *catalog.Node, queue uint64) (pid string, runs bool) {
	var started int64
	inc := v.Incarnation(m.Incarnation)
	if inc != nil {
		started = inc.Started
	}
	return fmt.Sprintf("<%s.%d.0.%d>", m.Name, started/1000, queue), inc != nil
}
