package seglog

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

func FuzzRecord(f *testing.F) {
	b := make([]byte, recordHeaderSize)
	for kind := uint8(1); kind <= lastKind; kind++ {
		r := record{kind: kind, seq: 3, group: 4, index: 5, term: 6, ord: 7}
		if kind == kindHardState {
			r.len = voteSize
		}
		r.put(b, 8)
		f.Add(bytes.Clone(b), uint32(8))
	}
	f.Fuzz(func(t *testing.T, b []byte, salt uint32) {
		if len(b) < recordHeaderSize {
			return
		}
		// As found, and with a checksum that is right.
		if r, ok := parseRecord(b, salt); ok {
			again := make([]byte, recordHeaderSize)
			r.put(again, salt)
			if !bytes.Equal(again, b[:recordHeaderSize]) {
				t.Fatalf("%x decodes to %+v, which encodes to %x", b, r, again)
			}
		}
	})
}

// FuzzRecovery gives recovery the records of a segment, as they are or with
// every checksum made right, so that what they say is believed.
func FuzzRecovery(f *testing.F) {
	fs := vfs.NewMem()
	l := mustOpen(f, testOptions(fs))
	for g := range uint64(3) {
		add(f, l, g)
		add(f, l, g)
	}
	l.Compact(1, 1)
	l.Submit(&storage.Append{Group: 2, Reset: &storage.Reset{Index: 9, Term: 1}, HasState: true})
	l.Drain()
	end := l.lastHeld().end
	mustClose(f, l)
	seed := fileOf(f, fs, 1)[segmentHeaderSize:end]
	f.Add(bytes.Clone(seed), false)
	f.Add(bytes.Clone(seed), true)
	f.Add(bytes.Clone(seed[:len(seed)/2]), true)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if len(b) > 1<<16 {
			return
		}
		b = bytes.Clone(b)
		if mend {
			mendRecords(b)
		}
		page := make([]byte, segmentHeaderSize)
		h := segmentHeader{version: formatVersion, node: 7, seq: 1, oldest: 1, prevEnd: segmentHeaderSize}
		h.page(page)
		fs := vfs.NewMem()
		if err := fs.MkdirAll("log", 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := fs.OpenReadWrite("log/"+segmentName(1), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(append(page, b...), 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		useRecovered(t, testOptions(fs))
	})
}

// mendRecords makes the headers that lie one behind the other valid.
func mendRecords(b []byte) {
	for len(b) >= recordHeaderSize {
		r := record{
			len: uint32(b[4]), ord: uint32(b[12]), kind: b[22]%lastKind + 1, typ: b[23], seq: 1,
			group: uint64(b[24]), index: uint64(b[32])<<(b[33]%64) + 1, term: uint64(b[40]),
		}
		switch {
		case r.kind == kindHardState:
			r.len = voteSize
		case r.kind != kindEntry:
			r.len = 0
		}
		if r.size() > int64(len(b)) {
			return
		}
		r.dataCRC = checksum(0, b[recordHeaderSize:recordHeaderSize+int(r.len)])
		r.put(b, 0)
		b = b[r.size():]
	}
}

// useRecovered opens a log that may be damaged in any way, reads and extends
// it; what it says of itself has to hold together.
func useRecovered(t *testing.T, o Options) {
	l, err := Open(o)
	if err != nil {
		return // refused; that it did not panic is all one can ask
	}
	defer mustClose(t, l)
	for _, g := range l.Groups() {
		if g.First == 0 || g.Last+1 < g.First {
			t.Fatalf("bounds %+v", g)
		}
		es, err := l.Entries(nil, g.Group, g.First, g.Last+1, math.MaxUint64)
		if err != nil && !(errors.Is(err, storage.ErrDamaged) && g.Damaged) {
			t.Fatalf("%+v: %v", g, err)
		}
		if err == nil && uint64(len(es)) != g.Last+1-g.First {
			t.Fatalf("%+v: %d entries", g, len(es))
		}
		if g.Last < math.MaxUint64-2 {
			add(t, l, g.Group)
		}
		l.Compact(g.Group, g.Last)
	}
	l.Drain()
	l.Drain()
}
