package catalog

import (
	"sync"
	"testing"

	"github.com/warrenmq/warren/core/exchange"
)

// What is in a View is read by others while a checkpoint writes it: under the
// race detector this fails if the writing changes so much as a byte to itself.
func TestCheckpointBesideReaders(t *testing.T) {
	m := New()
	m.Apply(1, &AddVHost{Name: "/"})
	m.Apply(2, &DeclareExchange{VHost: "/", ExchangeSpec: ExchangeSpec{Name: "x", Type: exchange.Topic, Durable: true}})
	node := m.Apply(3, &AddNode{ID: 1, Name: "n"}).ID
	shard := m.Apply(4, &AddShard{Replicas: []uint64{node}}).ID
	m.Apply(5, &DeclareQueue{VHost: "/", QueueSpec: QueueSpec{Name: "q", Kind: Quorum, Durable: true, Shard: shard, Node: node}})
	v := m.View()
	q, x := v.Queue("/", "q"), v.Exchange("/", "x")
	if q == nil || x == nil {
		t.Fatal("not declared")
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		q, x := *q, *x
		for s := range v.Shards() {
			_ = append([]uint64(nil), s.Replicas...)
		}
		if q.Name != "q" || x.Name != "x" {
			t.Errorf("%+v, %+v", q, x)
		}
	})
	n := 0
	m.TakeDirty(func([]byte, []byte, bool) { n++ })
	wg.Wait()
	if n == 0 {
		t.Error("nothing was written")
	}
}
