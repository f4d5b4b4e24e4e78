package member

import (
	"os"
	"strings"
	"testing"
)

// What a node says to do fits what it waits for.
func TestAdvice(t *testing.T) {
	docs, err := os.ReadFile("../../docs/partitions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		s    Status
		want string
	}{
		{"no member yet", Status{}, ""},
		{"all answer", Status{Voters: 3, Needs: 2, Answer: 3}, ""},
		{"enough answer", Status{Voters: 3, Needs: 2, Answer: 2, Waiting: []string{"c"}}, ""},
		{"two of three are away", Status{Voters: 3, Needs: 2, Answer: 1, Waiting: []string{"b", "c"}}, "start them, in any order"},
		{"the other of two is away", Status{Voters: 2, Needs: 2, Answer: 1, Waiting: []string{"b"}}, "two nodes need each other"},
		{"one that voted is away", Status{Voters: 3, Needs: 2, Answer: 1, Waiting: []string{"b"}}, "start it"},
	} {
		if got := c.s.Advice(); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if !strings.Contains(string(docs), c.s.Advice()) {
			t.Errorf("docs/partitions.md does not have %q", c.s.Advice())
		}
	}
}
