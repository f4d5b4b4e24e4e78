package broker

import (
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

func letterArgs(pairs ...string) (t message.Table) {
	for i := 0; i < len(pairs); i += 2 {
		t = message.AppendField(t, pairs[i], message.StringOf(pairs[i+1]))
	}
	return t
}

// Who has messages of a queue go to an exchange may read the one and write to
// the other: else a declaration would be a way around both rights (X26).
func TestLettersNeedRights(t *testing.T) {
	x := newBench(t, 0)
	declare := func() error {
		_, err := x.s.DeclareQueue(background, QueueOptions{Name: "q", Args: letterArgs(letterExchange, "logs")})
		return err
	}
	for _, right := range []string{"read queue q", "write exchange logs"} {
		x.auth.deny[right] = true
		if err := declare(); KindOf(err) != Denied {
			t.Errorf("without %s: %v", right, err)
		}
		delete(x.auth.deny, right)
	}
	if err := declare(); err != nil {
		t.Fatal(err)
	}
	x.auth.deny["write exchange logs"] = true
	if err := declare(); err != nil { // it is there: nothing new is asked for
		t.Error(err)
	}
}

// Where letters go: by argument, by policy, or nowhere.
func TestLettersOf(t *testing.T) {
	for _, c := range []struct {
		name         string
		args, policy message.Table
		want         Letters
	}{
		{"nothing", nil, nil, Letters{}},
		{"a key without an exchange", nil, letterArgs("dead-letter-routing-key", "k"), Letters{}},
		{"arguments", letterArgs(letterExchange, "x", letterKey, ""), nil, Letters{Exchange: "x", HasKey: true, Rule: shard.AtLeastOnce}},
		{"a policy", nil, letterArgs("dead-letter-exchange", "", "dead-letter-strategy", "at-most-once"), Letters{Rule: shard.AtMostOnce}},
		{
			"both", letterArgs(letterExchange, "x"), letterArgs("dead-letter-exchange", "y", "dead-letter-routing-key", "k"),
			Letters{Exchange: "x", Key: "k", HasKey: true, Rule: shard.AtLeastOnce},
		},
	} {
		q := &catalog.Queue{}
		q.Args = c.args
		if c.policy != nil {
			q.Policy = &catalog.Policy{Definition: c.policy}
		}
		if got := LettersOf(q); got != c.want || Settings(q).Letters != c.want.Rule {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
