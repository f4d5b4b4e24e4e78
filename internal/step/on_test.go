//go:build steps && unix

package step_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/warrenmq/warren/internal/step"
)

// An order is carried out the n-th time, and once.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(step.Dir, dir)
	order := filepath.Join(dir, step.Order)
	if err := os.WriteFile(order, []byte("move-going 2 wait"), 0o600); err != nil {
		t.Fatal(err)
	}
	step.At(step.MoveFrozen)
	step.At(step.MoveGoing)
	if _, err := os.Stat(order); err != nil {
		t.Fatalf("carried out the first time: %v", err)
	}
	went := make(chan struct{})
	go func() { step.At(step.MoveGoing); close(went) }()
	for !there(dir, step.Done) {
		select {
		case <-went:
			t.Fatal("nothing was carried out")
		default:
		}
	}
	if !there(dir, step.Hold) {
		t.Error("it is not held up")
	}
	if err := os.Remove(filepath.Join(dir, step.Hold)); err != nil {
		t.Fatal(err)
	}
	<-went
	step.At(step.MoveGoing) // nothing is ordered any more
}

func there(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}
