package checker

import (
	"os"
	"testing"
	"time"
)

// TestHistory judges the history that CHAOS_HISTORY names, as one that a failed run
// has left; without one it judges one that is here.
func TestHistory(t *testing.T) {
	path := os.Getenv("CHAOS_HISTORY")
	if path == "" {
		path = "testdata/history"
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := NewJudge(JudgeOptions{Resume: 30 * time.Second, Slack: 10 * time.Second})
	if err := Replay(f, j); err != nil {
		t.Fatal(err)
	}
	r := j.Report()
	t.Log(&r)
	for _, e := range r.Examples {
		t.Error(e)
	}
}
