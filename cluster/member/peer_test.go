package member

import (
	"errors"
	"strings"
	"testing"
)

func TestPeerOnTheWire(t *testing.T) {
	for _, p := range []Peer{
		{State: Fresh, Node: 1 << 63, Name: "rabbit@a", First: "10.0.0.1:25672"},
		{State: Forming, Node: 2},
		{State: Joined, Node: 3, Name: "n", Cluster: "0123456789abcdef"},
	} {
		b := p.Append(nil)
		if got, err := ParsePeer(b); err != nil || got != p {
			t.Errorf("%+v came back as %+v, %v", p, got, err)
		}
		for i := range b {
			if _, err := ParsePeer(b[:i]); !errors.Is(err, ErrMessage) {
				t.Errorf("cut to %d bytes: %v", i, err)
			}
		}
		if got, err := ParsePeer(append(b, "what comes later"...)); err != nil || got != p {
			t.Errorf("with more behind it: %+v, %v", got, err)
		}
	}
	long := Peer{Node: 1, Name: strings.Repeat("x", 2*maxText)}
	if got, err := ParsePeer(long.Append(nil)); err != nil || len(got.Name) != maxText {
		t.Errorf("a long name: %d bytes, %v", len(got.Name), err)
	}
	for name, p := range map[string]Peer{
		"no node":    {},
		"no cluster": {State: Joined, Node: 1},
		"a state":    {State: 9, Node: 1},
	} {
		if _, err := ParsePeer(p.Append(nil)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPeer(f *testing.F) {
	p := Peer{State: Joined, Node: 3, Name: "n", Cluster: "c"}
	f.Add(p.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePeer(b)
		if err != nil {
			return
		}
		if again, err := ParsePeer(p.Append(nil)); err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}
