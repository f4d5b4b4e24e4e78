package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/warrenmq/warren/shard"
)

// A leader whose view of the catalog is older than what was applied gives no
// letters away: it does not know where they are to go, and they would be dropped.
func TestLettersWaitForTheView(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.fillOutbox(2)
	f.s.Settle(f.holding, nil)
	f.settle()
	f.at(1100 * time.Millisecond)
	f.settle()
	var got []shard.Letter
	var errs []error
	ask := func() {
		f.s.Letters(1, func(r shard.LettersResult, err error) { got, errs = append(got, r.Letters...), append(errs, err) })
		f.turn()
	}
	f.s.revised(3) // by an entry of another leader, say
	ask()
	if len(errs) != 0 {
		t.Fatalf("%d letters, %v: the view is older", len(got), errs)
	}
	f.newer = 2
	f.s.Revised()
	f.turn()
	if len(errs) != 1 || errs[0] != nil || len(got) != 2 {
		t.Fatalf("%d letters, %v", len(got), errs)
	}
	f.s.revised(9)
	ask()
	f.follow()
	if len(errs) != 2 || !errors.Is(errs[1], shard.ErrUnavailable) {
		t.Errorf("%v: it leads no more", errs)
	}
}
