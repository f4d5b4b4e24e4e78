package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample writes an archive with everything in it.
func sample(t testing.TB) []byte {
	var out bytes.Buffer
	w, err := NewWriter(&out, Manifest{ID: "a1", Node: "rabbit@node-01", Version: "1", Created: "2026-01-02T03:04:05Z", Queues: 3})
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(err)
	do(w.Definitions([]byte(strings.Repeat(`{"queues":[]} `, 30_000)))) // more than one piece
	do(w.Queue(Queue{VHost: "/", Name: "orders"}))
	for i := range uint64(5) {
		do(w.Message(&Message{Seq: 10 + i, Priority: uint8(i), Redelivered: i == 1, Acquired: uint16(i), Failed: 1, HasTTL: i == 2, TTL: uint32(i * 1000), Blob: fmt.Appendf(nil, "message %d", i)}))
	}
	do(w.EndQueue([]uint64{11, 14}))
	do(w.Queue(Queue{VHost: "/", Name: "lost"}))
	do(w.Message(&Message{Seq: 1, Blob: []byte("half")}))
	do(w.Unavailable("its shard is refused"))
	do(w.Queue(Queue{VHost: "v", Name: "large", Schedule: true}))
	do(w.Message(&Message{Seq: 1, Blob: bytes.Repeat([]byte("x"), 2*pieceSize)}))
	do(w.EndQueue(nil))
	total, err := w.Close()
	do(err)
	if want := (Totals{3, 4, 45 + 2*pieceSize}); total != want {
		t.Fatalf("written: %+v, want %+v", total, want)
	}
	return out.Bytes()
}

// trace reads an archive and says what is in it.
func trace(data []byte) (out string, err error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	for {
		it, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, err
		case it.Definitions != nil:
			out += fmt.Sprintf("definitions %d\n", len(it.Definitions))
		case it.Manifest != nil:
			out += fmt.Sprintf("%+v\n", *it.Manifest)
		case it.Queue != nil:
			out += fmt.Sprintf("queue %+v\n", *it.Queue)
		case it.Messages != nil:
			for _, m := range it.Messages {
				if len(m.Blob) > 100 {
					m.Blob = m.Blob[:10]
				}
				out += fmt.Sprintf("  %d p%d r%t a%d f%d ttl %t %d %q\n", m.Seq, m.Priority, m.Redelivered, m.Acquired, m.Failed, m.HasTTL, m.TTL, m.Blob)
			}
		case it.Gone != nil:
			out += fmt.Sprintf("  gone %v\n", it.Gone)
		case it.QueueEnd != nil:
			out += fmt.Sprintf("  end %+v\n", *it.QueueEnd)
		case it.End != nil:
			out += fmt.Sprintf("end %+v\n", *it.End)
		}
	}
}

const sampleTrace = `{ID:a1 Node:rabbit@node-01 Version:1 Created:2026-01-02T03:04:05Z Queues:3}
definitions 262144
definitions 157856
queue {VHost:/ Name:orders Schedule:false}
  10 p0 rfalse a0 f1 ttl false 0 "message 0"
  11 p1 rtrue a1 f1 ttl false 0 "message 1"
  12 p2 rfalse a2 f1 ttl true 2000 "message 2"
  13 p3 rfalse a3 f1 ttl false 0 "message 3"
  14 p4 rfalse a4 f1 ttl false 0 "message 4"
  gone [11 14]
  end {Messages:3 Bytes:45 Unavailable:}
queue {VHost:/ Name:lost Schedule:false}
  end {Messages:0 Bytes:0 Unavailable:its shard is refused}
queue {VHost:v Name:large Schedule:true}
  1 p0 rfalse a0 f0 ttl false 0 "xxxxxxxxxx"
  end {Messages:1 Bytes:524288 Unavailable:}
end {Queues:3 Messages:4 Bytes:524333}
`

func TestRoundTrip(t *testing.T) {
	got, err := trace(sample(t))
	if err != nil || got != sampleTrace {
		t.Fatalf("%v\n%s", err, got)
	}
}

// The format on disk does not change unless its version does.
func TestGolden(t *testing.T) {
	file := filepath.Join("testdata", "v1.backup")
	var out bytes.Buffer
	w, err := NewWriter(&out, Manifest{ID: "a1", Node: "n", Version: "1", Created: "2026-01-02T03:04:05Z", Queues: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		w.Definitions([]byte(`{"queues":[]}`)), w.Queue(Queue{VHost: "/", Name: "q"}),
		w.Message(&Message{Seq: 1, Priority: 2, Redelivered: true, Acquired: 3, Failed: 4, HasTTL: true, TTL: 5, Blob: []byte("blob")}),
		w.Message(&Message{Seq: 300, Blob: []byte("gone")}), w.EndQueue([]uint64{300}),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if os.Getenv("WARREN_REWRITE") != "" {
		want, err = out.Bytes(), os.WriteFile(file, out.Bytes(), 0o644)
	}
	if err != nil || !bytes.Equal(out.Bytes(), want) {
		t.Fatalf("the format changed: %v\n%x\n%x", err, out.Bytes(), want)
	}
	text, err := trace(want)
	if err != nil || !strings.Contains(text, `1 p2 rtrue a3 f4 ttl true 5 "blob"`) {
		t.Errorf("%v\n%s", err, text)
	}
}

// Whatever byte is wrong, and wherever the file ends, the archive is refused,
// with the place.
func TestDamage(t *testing.T) {
	data := sample(t)
	for at := 0; at < len(data); {
		bad := bytes.Clone(data)
		bad[at] ^= 0x41
		_, err := trace(bad)
		var d *DamageError
		if err == nil || at >= headSize+4 && !errors.As(err, &d) {
			t.Fatalf("byte %d is wrong: %v", at, err)
		}
		if d != nil && d.Offset > int64(at) {
			t.Fatalf("byte %d is wrong, found at %d: %v", at, d.Offset, err)
		}
		if at > 200 && at < len(data)-2000 {
			at += 9973
		} else {
			at++
		}
	}
	for end := 0; end < len(data); end += 1 + end/7 {
		if _, err := trace(data[:end]); err == nil {
			t.Fatalf("cut at %d: taken", end)
		}
	}
	if _, err := trace(append(bytes.Clone(data), 0)); err == nil {
		t.Error("something behind the end was taken")
	}
	if _, err := trace([]byte("PK\x03\x04 a zip file")); !errors.Is(err, ErrNotArchive) {
		t.Errorf("a foreign file: %v", err)
	}
	newer := bytes.Clone(data)
	newer[len(magic)] = 9
	if _, err := trace(newer); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a newer format: %v", err)
	}
}

// The text names the part and the queue.
func TestDamageIsNamed(t *testing.T) {
	data := sample(t)
	at := bytes.Index(data, []byte("message 3"))
	data[at]++
	_, err := trace(data)
	var d *DamageError
	if !errors.As(err, &d) || !strings.Contains(err.Error(), `in messages of queue "orders" in vhost "/": its checksum does not fit`) {
		t.Fatal(err)
	}
	if d.Offset > int64(at) || d.Offset < int64(at)-100 {
		t.Errorf("at %d, want before %d", d.Offset, at)
	}
}

// Frames of two archives, each whole in itself, do not make a third.
func TestMixed(t *testing.T) {
	data := sample(t)
	i := bytes.Index(data, []byte(`{"vhost":"/","name":"lost"}`)) - frameHead
	j := bytes.Index(data, []byte(`{"vhost":"v","name":"large","schedule":true}`)) - frameHead
	if _, err := trace(append(bytes.Clone(data[:i]), data[j:]...)); err == nil || !strings.Contains(err.Error(), "the hash of the whole does not fit") {
		t.Fatal(err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(sample(f))
	if golden, err := os.ReadFile(filepath.Join("testdata", "v1.backup")); err == nil {
		f.Add(golden)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := trace(data)
		again, errAgain := trace(data)
		if first != again || !reflect.DeepEqual(err, errAgain) {
			t.Error("read twice, it is not the same")
		}
	})
}

// FuzzContent reads what stands in frames whose checksum is right.
func FuzzContent(f *testing.F) {
	f.Add([]byte{1, 3, 9, 1, 1, 5, 2, 'h', 'i'})
	f.Fuzz(func(t *testing.T, data []byte) {
		x := new(Reader)
		ms, err := x.readMessages(data)
		size := 0
		for _, m := range ms {
			size += len(m.Blob)
		}
		if err == nil && size > len(data) {
			t.Errorf("%d bytes of messages in %d", size, len(data))
		}
		if gone, err := x.readGone(data); err == nil && len(gone) > len(data) {
			t.Errorf("%d gone in %d bytes", len(gone), len(data))
		}
	})
}
