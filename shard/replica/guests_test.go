package replica

import (
	"errors"
	"testing"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A get of another node that waits for batches takes nothing any more once its
// node is gone, or has to ask again: the message would be held by nobody who
// knows, for ever. A node's gets did.
func TestGetBehindIsDropped(t *testing.T) {
	for name, gone := range map[string]func(f *fake){
		"ended":    func(f *fake) { f.s.EndIncarnation(guest(1)) },
		"detached": func(f *fake) { f.s.Host().Detach(guest(1)) },
		"attached": func(f *fake) { f.attach(guest(1), nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 1)
			f.lead(2)
			f.serve(guest(1))
			var got error
			told := 0
			f.s.visits.tickets++ // a batch is offered, and not applied yet
			f.s.Host().GetFor(1, queue.SessionID{Incarnation: guest(1), Number: 1}, func(g shard.GetResult, err error) {
				told, got = told+1, err
			})
			f.settle()
			if told != 0 || len(f.s.behind) != 1 {
				t.Fatalf("told %d times, %d wait: it was not asked behind the batch", told, len(f.s.behind))
			}
			gone(f)
			f.settle()
			f.publish(1)
			f.s.visits.applied++
			f.settle()
			if told != 1 || !errors.Is(got, shard.ErrUnavailable) {
				t.Errorf("told %d times: %v", told, got)
			}
			if q := f.s.e.Queue(1); q.Disp.Held() != (queue.Amount{}) || q.Disp.Ready().Messages != 1 {
				t.Errorf("held %+v, ready %+v", q.Disp.Held(), q.Disp.Ready())
			}
		})
	}
}
