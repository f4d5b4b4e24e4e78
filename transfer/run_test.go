package transfer_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Run steps when a shard says something, and ends with its context.
func TestRun(t *testing.T) {
	s := &story{addrs: map[string]transfer.Address{}}
	tr := transfer.New(transfer.Options{Router: s, Clock: clock.NewReal()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { tr.Run(ctx); close(ended) }() // received from below
	asked := make(chan struct{})
	tr.Posted(asker{asked}, s.id("q"))
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("nobody asks for the letter")
	}
	cancel()
	<-ended
}

// An asker notes that it is asked.
type asker struct{ asked chan struct{} }

func (a asker) Letters(_ shard.QueueID, done func(shard.LettersResult, error)) {
	close(a.asked)
	done(shard.LettersResult{}, shard.ErrGone)
}

func (a asker) Left(shard.QueueID, queue.Run) {}
