package node

import (
	"context"
	"testing"
	"time"

	"github.com/warrenmq/warren/cluster"
)

// A replica that leaves frees its log and state when the loader has read what it was
// asked for, as a snapshot that takes their place.
func TestDropWaitsForLoader(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), nil))
	ch := r.channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 10)
	id := r.catalog.View().Queue("/", "q").Shard
	if id == cluster.CatalogGroup {
		t.Fatal("the queue is in no shard")
	}
	reads, read := make(chan struct{}), make(chan struct{})
	r.loader.Do(func() error {
		<-reads
		if _, ok := r.seglog.Bounds(id); !ok {
			t.Error("the log is gone while the loader reads")
		}
		close(read)
		return nil
	})
	r.dropShard(id)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := await(ctx, "the group to end", func() bool { return r.host.Group(id) == nil }); err != nil {
		t.Fatal(err)
	}
	<-time.After(200 * time.Millisecond) // in which the log would be freed
	close(reads)
	<-read
	if err := await(ctx, "the log to be freed", func() bool { _, ok := r.seglog.Bounds(id); return !ok }); err != nil {
		t.Error(err)
	}
}
