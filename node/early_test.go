package node

import (
	"context"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/cluster"
)

// A snapshot that came before its group was opened is staged no more when the group
// hears of it: it goes by, and the group goes on.
func TestEarlySnapshot(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), nil))
	for _, g := range r.host.Groups() {
		if g.ID() == cluster.CatalogGroup {
			continue
		}
		st := g.Status()
		conf := st.ConfState
		r.deliverSnapshot(g.ID(), &raftpb.Message{
			Type: raftpb.MsgSnap.Enum(), From: proto.Uint64(99), To: proto.Uint64(uint64(r.dir.Node().Node)), Term: proto.Uint64(st.Term + 5),
			Snapshot: &raftpb.Snapshot{Data: make([]byte, 8), Metadata: &raftpb.SnapshotMetadata{
				Index: proto.Uint64(st.Applied + 1000), Term: proto.Uint64(st.Term + 4), ConfState: conf,
			}},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := await(ctx, "the group to lead", func() bool { return g.Status().Leading }); err != nil {
			t.Error(err)
		}
		if now := g.Status(); now.Term != st.Term || now.Applied > st.Applied+500 {
			t.Errorf("group %d went to term %d and index %d", g.ID(), now.Term, now.Applied)
		}
	}
	ch := r.channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 10)
	drainAll(t, ch, "q", 10)
}
