package member

import (
	"errors"
	"reflect"
	"testing"
)

func examples() []Message {
	return []Message{
		{Kind: Beat, Incarnation: 7, Seq: 300, Conf: Conf{Index: 12}, Over: true},
		{Kind: Answer, Incarnation: 1 << 60, Seq: 1, Yes: true, Conf: Conf{Index: 9, Voters: []uint64{1, 1 << 63}, Outgoing: []uint64{5}}},
		{Kind: Answer, Conf: Conf{Index: 9, Voters: []uint64{1}, Learners: []uint64{2, 3}}},
		{Kind: Report, Incarnation: 3, Why: Gone, Witness: 8, Term: 4, Round: 1, Set: 1 << 60},
		{Kind: CallOff, Incarnation: 3, Witness: 8, Term: 4, Round: 1},
	}
}

func TestMessages(t *testing.T) {
	for _, m := range examples() {
		b := m.Append([]byte("before"))[len("before"):]
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v came back as %+v, %v", m, got, err)
		}
		for i := range b {
			if _, err := Decode(b[:i]); !errors.Is(err, ErrMessage) {
				t.Errorf("%+v cut to %d bytes: %v", m, i, err)
			}
		}
		if _, err := Decode(append(b, 0)); !errors.Is(err, ErrMessage) {
			t.Errorf("%+v with a byte too many: %v", m, err)
		}
		b[0]++
		if _, err := Decode(b); !errors.Is(err, ErrMessage) {
			t.Errorf("another version: %v", err)
		}
	}
}

// The bytes are a promise to nodes of the release before.
func TestMessageBytes(t *testing.T) {
	m := Message{Kind: Answer, Incarnation: 300, Seq: 1, Yes: true, Conf: Conf{Index: 2, Voters: []uint64{3}}}
	want := "\x01\x02\x06\x00" + "\xac\x02" + "\x01" + "\x02" + "\x00\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00\x03" + "\x00" + "\x00"
	if got := string(m.Append(nil)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range examples() {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(m.Append(nil))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
		if n := len(m.Conf.Voters) + len(m.Conf.Outgoing) + len(m.Conf.Learners); n > 3*maxSet || 8*n > len(b) {
			t.Errorf("%d ids of %d bytes", n, len(b))
		}
	})
}

func BenchmarkBeat(b *testing.B) {
	m := Message{Kind: Beat, Incarnation: 7, Seq: 300, Conf: Conf{Index: 12}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
		if _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}
