package node

import (
	"errors"
	"testing"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/storage/state"
)

// A node that founds a cluster admits nobody before the catalog knows the founder
// itself: who comes earlier is told of no member, and waits for ever.
func TestFounderAdmitsWhenItIsKnown(t *testing.T) {
	r := start(t, clusterOptions(t, t.TempDir(), 1))
	request := transport.JoinRequest{Node: 7, Name: "warren-7@test", Addr: "127.0.0.1:1"}
	a, err := r.admit(t.Context(), request)
	if err != nil || len(a.Peers) < 2 || a.Peers[0].Addr == "" {
		t.Fatalf("%+v, %v", a, err)
	}

	nothing, _, err := cluster.OpenCatalog(cluster.CatalogOptions{
		State: state.NewMemory(), Wall: func() int64 { return 1 }, Logger: r.Node.log, Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	early := &Node{catalog: nothing}
	_, err = early.admit(t.Context(), request)
	var no *transport.Refusal
	if !errors.As(err, &no) || no.Reason != transport.RefusedBusy {
		t.Errorf("%v", err)
	}
}
