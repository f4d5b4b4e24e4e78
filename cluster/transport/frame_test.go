package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// dribble gives its bytes in pieces of drawn sizes.
type dribble struct {
	b    []byte
	size func() int
}

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.b[:min(len(d.b), max(1, d.size()))])
	d.b = d.b[n:]
	return n, nil
}

// What an outbox writes a frame reader cuts into the same frames, however the
// bytes come, and frames that were lent do not change afterwards.
func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Stream{limit: maxFrame, out: newOutbox(&chunkPool{})}
		var want [][]byte
		for range rapid.IntRange(1, 60).Draw(t, "frames") {
			size := rapid.SampledFrom([]int{0, 1, 90, 2000, bigFrame, copyBelow - 7, copyBelow, 100 << 10}).Draw(t, "size")
			head := bytes.Repeat([]byte{rapid.Byte().Draw(t, "head")}, rapid.IntRange(0, 9).Draw(t, "heads"))
			body := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, size)
			s.Send(Frame{Type: FirstType + byte(len(want)%7), Head: head, Body: body})
			want = append(want, append(bytes.Clone(head), body...))
			clear(head) // its memory is the sender's again
		}
		var wire []byte
		for c := s.out.take(); c != nil; c = s.out.take() {
			wire = append(wire, flatten(c)...)
			s.out.written(c)
		}
		if n := s.Queued(); n != 0 {
			t.Fatalf("%d bytes are still queued", n)
		}
		r := newFrameReader(&dribble{wire, func() int {
			return rapid.SampledFrom([]int{1, 4, 5, 6, 1000, 16 << 10, 1 << 20}).Draw(t, "piece")
		}}, maxFrame)
		var got []Frame
		for len(got) < len(want) {
			var err error
			if got, err = r.read(got); err != nil {
				t.Fatal(err)
			}
			r.lend()
		}
		for i, f := range got {
			if f.Type != FirstType+byte(i%7) || !bytes.Equal(f.Body, want[i]) {
				t.Fatalf("frame %d: type %d, %d bytes, want %d", i, f.Type, len(f.Body), len(want[i]))
			}
		}
		if _, err := r.read(nil); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
	})
}

func TestFrameReaderReusesWhatNobodyHolds(t *testing.T) {
	frame := append([]byte{0, 0, 0, 101, FirstType}, make([]byte, 100)...)
	wire := bytes.Repeat(frame, 5*chunkSize/len(frame))
	r := newFrameReader(bytes.NewReader(wire), maxFrame)
	if _, err := r.read(nil); err != nil {
		t.Fatal(err)
	}
	first := &r.buf[0]
	for {
		if _, err := r.read(nil); err != nil {
			break
		}
	}
	if &r.buf[0] != first {
		t.Fatal("another buffer, though nothing was held")
	}
}

func TestFrameLengths(t *testing.T) {
	for _, n := range []uint32{0, 1001, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		b := binary.BigEndian.AppendUint32(nil, n)
		_, err := newFrameReader(bytes.NewReader(append(b, make([]byte, 2000)...)), 1000).read(nil)
		if !errors.Is(err, errFrame) {
			t.Errorf("length %d: %v", n, err)
		}
	}
}

// A length is a promise of the other side: memory is made for what came.
func TestFrameMemoryFollowsBytes(t *testing.T) {
	b := binary.BigEndian.AppendUint32(nil, maxFrame)
	b = append(b, FirstType)
	b = append(b, make([]byte, 100<<10)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := newFrameReader(bytes.NewReader(b), maxFrame).read(nil)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 2*growStep {
		t.Fatalf("%d bytes for a frame of which 100 KiB came", n)
	}
}

func TestFrameCutShort(t *testing.T) {
	wire := append([]byte{0, 0, 0, 101, FirstType}, make([]byte, 100)...)
	for n := 1; n < len(wire); n++ {
		_, err := newFrameReader(iotest.OneByteReader(bytes.NewReader(wire[:n])), maxFrame).read(nil)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// X33: whatever bytes come, what is cut is within them, and an encoder makes
// the same of it.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, typePing, 0, 0, 0, 3, FirstType, 'a', 'b'}, uint8(3))
	f.Add([]byte{0, 0, 0, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, piece uint8) {
		r := newFrameReader(&dribble{bytes.Clone(wire), func() int { return int(piece) }}, 1<<20)
		var out []byte
		for {
			fs, err := r.read(nil)
			for _, fr := range fs {
				out = binary.BigEndian.AppendUint32(out, uint32(1+len(fr.Body)))
				out = append(append(out, fr.Type), fr.Body...)
			}
			if err != nil {
				break
			}
			r.lend()
		}
		if !bytes.HasPrefix(wire, out) {
			t.Fatal("the frames are not what was sent")
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add(hello{major: versionMajor, class: ClassRaft, cluster: 1, from: 2, to: 3}.marshal())
	f.Add(refuse(RefusedBusy, "try again").marshal())
	f.Add(admissionFrame{Admission: Admission{Peers: []Peer{{1, "a", "b"}}, Voter: true}, authority: []byte("a"), cert: []byte("b")}.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil && h.major == versionMajor {
			if again, err := parseHello(h.marshal()); err != nil || again != h {
				t.Fatalf("%+v became %+v, %v", h, again, err)
			}
		}
		var no *Refusal
		if errors.As(parseRefusal(b), &no) {
			for _, c := range no.Text {
				if c < ' ' {
					t.Fatalf("a control character: %q", no.Text)
				}
			}
		}
		if m, err := parseAdmission(b); err == nil {
			if _, err := parseAdmission(m.marshal()); err != nil {
				t.Fatal(err)
			}
		}
		_, _, _ = parseJoinRequest(b, nil)
	})
}
