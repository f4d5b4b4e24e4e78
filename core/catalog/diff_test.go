package catalog_test

import (
	"testing"

	"github.com/warrenmq/warren/core/catalog"
)

// What is gone and what is new or other is told, and nothing else.
func TestDiff(t *testing.T) {
	m := catalog.New()
	n := uint64(0)
	do := func(cmd catalog.Command) catalog.Result {
		n++
		r := m.Apply(int64(n), cmd)
		if r.Code != catalog.Done {
			t.Fatalf("%T: %s", cmd, r.Code)
		}
		return r
	}
	do(&catalog.AddNode{ID: 9, Name: "n"})
	inc := do(&catalog.Register{Node: 9, Nonce: 1}).ID
	do(&catalog.AddVHost{Name: "/"})
	do(&catalog.AddVHost{Name: "old"})
	do(&catalog.SetUser{Name: "leaver"})
	do(&catalog.SetUser{Name: "stayer"})
	queue := func(name string) {
		do(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Node: 9, Incarnation: inc}})
	}
	queue("goes")
	queue("stays")
	queue("changes")
	from := m.View()
	if d := catalog.Diff(from, from); len(d) != 0 {
		t.Fatalf("no difference is told as %+v", d)
	}
	do(&catalog.DeleteQueue{VHost: "/", Name: "goes", Force: true})
	do(&catalog.RemoveVHost{Name: "old"})
	do(&catalog.RemoveUser{Name: "leaver"})
	q := from.Queue("/", "changes")
	do(&catalog.UpdateQueue{ID: q.ID, Epoch: q.Epoch, Raise: true, State: catalog.Moving, Node: q.Node, Incarnation: q.Incarnation})
	queue("comes")
	var gone, other []string
	for _, r := range catalog.Diff(from, m.View()) {
		if r.Code != catalog.Done {
			t.Errorf("a result of code %s", r.Code)
		}
		for _, q := range r.Removed.Queues {
			gone = append(gone, "queue "+q.Name)
		}
		for _, h := range r.Removed.VHosts {
			gone = append(gone, "vhost "+h.Name)
		}
		for _, u := range r.Removed.Users {
			gone = append(gone, "user "+u.Name)
		}
		if r.Queue != nil {
			other = append(other, r.Queue.Name)
		}
	}
	want(t, "gone", gone, "queue goes", "vhost old", "user leaver")
	want(t, "other", other, "changes", "comes")
	ended := catalog.Diff(from, func() *catalog.View { do(&catalog.EndIncarnation{Number: inc}); return m.View() }())
	if len(ended) != 1 || len(ended[0].Removed.Incarnations) != 1 {
		t.Errorf("the end of an incarnation: %+v", ended)
	}
}

func want(t *testing.T, what string, got []string, all ...string) {
	t.Helper()
	left := map[string]int{}
	for _, g := range got {
		left[g]++
	}
	for _, w := range all {
		left[w]--
	}
	for s, n := range left {
		if n != 0 {
			t.Errorf("%s: %s %+d times; got %q", what, s, n, got)
		}
	}
}
