package broker

import (
	"context"
	"errors"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard"
)

// What the shard refuses the catalog is not asked for.
func TestDeleteQueueRefused(t *testing.T) {
	x := newBench(t, 0)
	x.queue("q", true)
	x.one.counts = shard.Counts{Ready: 3, Consumers: 1}
	for _, tc := range []struct {
		o    DeleteOptions
		want Kind
	}{{DeleteOptions{IfEmpty: true}, NotEmpty}, {DeleteOptions{IfUnused: true}, InUse}} {
		if _, err := x.s.DeleteQueue(background, "q", tc.o); KindOf(err) != tc.want {
			t.Errorf("%+v: %v", tc.o, err)
		}
	}
	if x.b.View().Queue("/", "q") == nil {
		t.Error("deleted")
	}
	if n, err := x.s.DeleteQueue(background, "q", DeleteOptions{}); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if x.b.View().Queue("/", "q") != nil {
		t.Error("not deleted")
	}
}

// A queue that the catalog keeps is opened again; one whose deletion is not
// answered is deleted later.
func TestDeleteQueueCatalog(t *testing.T) {
	x := newBench(t, 0)
	x.queue("q", true)
	var answer error
	x.c.instead = func(cmd catalog.Command) (catalog.Result, error, bool) {
		_, ok := cmd.(*catalog.DeleteQueue)
		return catalog.Result{Code: catalog.Refused}, answer, ok
	}
	if _, err := x.s.DeleteQueue(background, "q", DeleteOptions{}); KindOf(err) != Reserved || x.one.reopened != 1 {
		t.Errorf("%v, reopened %d times", err, x.one.reopened)
	}
	answer = errors.New("no quorum")
	if _, err := x.s.DeleteQueue(background, "q", DeleteOptions{}); KindOf(err) != Unavailable || x.one.reopened != 1 {
		t.Errorf("%v, reopened %d times", err, x.one.reopened)
	}
	x.c.instead = nil
	x.b.endAgain()
	if x.b.View().Queue("/", "q") != nil {
		t.Error("not deleted")
	}
}

// A session that does not wait for the answer leaves a closed queue to the
// broker.
func TestDeleteQueueLeft(t *testing.T) {
	x := newBench(t, 0)
	x.queue("q", true)
	ctx, cancel := context.WithCancel(background)
	var done func(uint64, error)
	x.one.closing = func(f func(uint64, error)) {
		done = f
		cancel()
	}
	if _, err := x.s.DeleteQueue(ctx, "q", DeleteOptions{}); KindOf(err) != Unavailable {
		t.Error(err)
	}
	if x.b.View().Queue("/", "q") == nil {
		t.Error("deleted before it was closed")
	}
	done(0, nil)
	if x.b.View().Queue("/", "q") != nil {
		t.Error("not deleted")
	}
}
