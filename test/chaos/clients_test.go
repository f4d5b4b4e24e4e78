//go:build chaos

package chaos

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/test/chaos/checker"
	"github.com/warrenmq/warren/test/chaos/load"
)

func queueName(i int) string { return fmt.Sprintf("chaos-%d", i) }

func declare(t *testing.T, w *load.World) {
	t.Helper()
	conn, err := w.Dial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for i := range queues {
		if _, err := ch.QueueDeclare(queueName(i), true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		w.Rec.Add(checker.Event{Kind: checker.Queue, Queue: uint8(i), Flag: checker.Strict})
	}
}

// drained reports whether the queues hold nothing ready.
func drained(w *load.World) bool {
	for i := range queues {
		if n, err := w.Count(1, queueName(i)); err != nil || n > 0 {
			return false
		}
	}
	return true
}
