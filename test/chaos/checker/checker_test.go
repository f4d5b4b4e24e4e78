package checker

import (
	"bytes"
	"testing"
)

// A step of a planted history.
type step func(*Checker)

func sent(seqs ...uint64) step {
	return each(seqs, func(c *Checker, id ID) { c.Sent(id) })
}

func confirmed(seqs ...uint64) step {
	return each(seqs, func(c *Checker, id ID) { c.Confirmed(id) })
}

func received(seqs ...uint64) step {
	return each(seqs, func(c *Checker, id ID) { c.Received(AppendBody(nil, id, 64), false) })
}

func redelivered(seqs ...uint64) step {
	return each(seqs, func(c *Checker, id ID) { c.Received(AppendBody(nil, id, 64), true) })
}

func raw(body []byte) step {
	return func(c *Checker) { c.Received(body, false) }
}

func each(seqs []uint64, do func(*Checker, ID)) step {
	return func(c *Checker) {
		for _, seq := range seqs {
			do(c, ID{Producer: 7, Seq: seq})
		}
	}
}

func TestPlantedHistories(t *testing.T) {
	flipped := AppendBody(nil, ID{7, 1}, 64)
	flipped[40] ^= 1
	swapped := AppendBody(nil, ID{7, 1}, 64)
	copy(swapped[headerLen:], AppendBody(nil, ID{7, 2}, 64)[headerLen:])
	fixSum(swapped)

	for _, row := range []struct {
		name    string
		history []step
		want    Report
	}{
		{
			"all is well",
			[]step{sent(0, 1, 2), confirmed(0, 1, 2), received(0, 1, 2)},
			Report{Sent: 3, Confirmed: 3, Received: 3},
		},
		{
			"a confirm is no condition of delivery",
			[]step{sent(0, 1), received(0, 1)},
			Report{Sent: 2, Received: 2},
		},
		{
			"unconfirmed may vanish",
			[]step{sent(0, 1, 2), confirmed(0), received(0)},
			Report{Sent: 3, Confirmed: 1, Received: 1},
		},
		{
			"flagged again after a crash",
			[]step{sent(0, 1, 2), confirmed(0, 1, 2), received(0, 1), redelivered(0, 1), received(2)},
			Report{Sent: 3, Confirmed: 3, Received: 5, Flagged: 2, Duplicates: 2},
		},
		{
			"flagged although never seen",
			[]step{sent(0), confirmed(0), redelivered(0)},
			Report{Sent: 1, Confirmed: 1, Received: 1, Flagged: 1},
		},
		{
			"lost at the end",
			[]step{sent(0, 1), confirmed(0, 1), received(0)},
			Report{Sent: 2, Confirmed: 2, Received: 1, Lost: 1},
		},
		{
			"lost in the middle",
			[]step{sent(0, 1, 2), confirmed(0, 1, 2), received(0, 2)},
			Report{Sent: 3, Confirmed: 3, Received: 2, Lost: 1},
		},
		{
			"again without a flag",
			[]step{sent(0), confirmed(0), received(0, 0)},
			Report{Sent: 1, Confirmed: 1, Received: 2, Duplicates: 1, Unflagged: 1},
		},
		{
			"order of first deliveries",
			[]step{sent(0, 1, 2), confirmed(0, 1, 2), received(0, 2, 1)},
			Report{Sent: 3, Confirmed: 3, Received: 3, Reordered: 1},
		},
		{
			"order, flagged or not",
			[]step{sent(0, 1, 2), confirmed(0, 1, 2), received(0, 2), redelivered(1)},
			Report{Sent: 3, Confirmed: 3, Received: 3, Flagged: 1, Reordered: 1},
		},
		{
			"a flipped bit, and so a loss",
			[]step{sent(0, 1), confirmed(0, 1), received(0), raw(flipped)},
			Report{Sent: 2, Confirmed: 2, Received: 2, Corrupted: 1, Lost: 1},
		},
		{
			"another message's bytes under a good checksum",
			[]step{sent(1), raw(swapped)},
			Report{Sent: 1, Received: 1, Corrupted: 1},
		},
		{
			"too short",
			[]step{raw([]byte("hello"))},
			Report{Received: 1, Corrupted: 1},
		},
		{
			"never sent",
			[]step{sent(0), received(5)},
			Report{Sent: 1, Received: 1, Phantom: 1},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := New()
			for _, s := range row.history {
				s(c)
			}
			got := c.Report()
			if len(got.Examples) != got.Faults() {
				t.Errorf("%d examples of %d faults", len(got.Examples), got.Faults())
			}
			if c.Missing() != row.want.Lost {
				t.Errorf("missing %d, want %d", c.Missing(), row.want.Lost)
			}
			got.Examples = nil
			if got.String() != row.want.String() {
				t.Errorf("\ngot  %v\nwant %v", got, row.want)
			}
		})
	}
}

// fixSum gives a body the checksum of what it holds.
func fixSum(body []byte) {
	sum := checksum(body)
	body[12], body[13], body[14], body[15] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
}

func TestBodies(t *testing.T) {
	for _, size := range []int{0, headerLen, headerLen + 1, 4096} {
		id := ID{Producer: 3, Seq: 1 << 20}
		body := AppendBody([]byte("before"), id, size)[len("before"):]
		if want := max(size, headerLen); len(body) != want {
			t.Errorf("size %d: %d bytes, want %d", size, len(body), want)
		}
		if got, err := Parse(body); err != nil || got != id {
			t.Errorf("size %d: %v, %v", size, got, err)
		}
		for i := range body {
			damaged := bytes.Clone(body)
			damaged[i] ^= 0x10
			if _, err := Parse(damaged); err == nil {
				t.Errorf("size %d: a flip in byte %d was not found", size, i)
			}
		}
	}
}

// A second report of the same fact is not a second fact, and examples are bounded.
func TestCountsAndBounds(t *testing.T) {
	c := New()
	for range 3 {
		sent(0)(c)
		confirmed(0)(c)
	}
	for range 5 * maxExamples {
		raw(nil)(c)
	}
	r := c.Report()
	if r.Sent != 1 || r.Confirmed != 1 || r.Lost != 1 || len(r.Examples) != maxExamples {
		t.Errorf("%v with %d examples", r, len(r.Examples))
	}
	if confirmed, received := c.Counts(); confirmed != 1 || received != 5*maxExamples {
		t.Errorf("counts %d, %d", confirmed, received)
	}
}
