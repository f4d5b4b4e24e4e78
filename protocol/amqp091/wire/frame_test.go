package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestScanFrameAsksForMoreAtEverySplit(t *testing.T) {
	frame := AppendPublish(nil, 7, "ex", "key", true)
	for i := range frame {
		f, n, err := ScanFrame(frame[:i], FrameMinSize)
		if n != 0 || err != nil || f.Payload != nil {
			t.Fatalf("%d of %d bytes: %v, %d, %v; want more", i, len(frame), f, n, err)
		}
		if want := len(frame); i >= headerSize && FrameLen(frame[:i]) != want {
			t.Fatalf("FrameLen of %d bytes = %d, want %d", i, FrameLen(frame[:i]), want)
		}
	}
	f, n, err := ScanFrame(append(frame, "tail"...), FrameMinSize)
	if err != nil || n != len(frame) || f.Type != FrameMethod || f.Channel != 7 {
		t.Fatalf("whole frame: %v, %d, %v", f, n, err)
	}
	if cap(f.Payload) != len(f.Payload) {
		t.Fatalf("payload's capacity reaches %d bytes into what follows", cap(f.Payload)-len(f.Payload))
	}
}

func TestScanFrameSizes(t *testing.T) {
	for _, c := range []struct {
		name       string
		size, max  uint32
		wantReason string
	}{
		{"zero", 0, 131072, ""},
		{"limit", 131064, 131072, ""},
		{"limit and the tolerated eight", 131072, 131072, ""},
		{"one more", 131073, 131072, "{frame_too_large,131073,131064}"},
		{"before tune", 8193, 4096, "{frame_too_large,8193,8184}"},
		{"no limit given", 8193, 0, "{frame_too_large,8193,8184}"},
		{"2^31-1", math.MaxInt32, 131072, "{frame_too_large,2147483647,131064}"},
		{"2^31", 1 << 31, 131072, "{frame_too_large,2147483648,131064}"},
		{"-1", math.MaxUint32, 131072, "{frame_too_large,4294967295,131064}"},
		{"-1 under the greatest limit", math.MaxUint32, math.MaxUint32, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := []byte{FrameBody, 0, 1, byte(c.size >> 24), byte(c.size >> 16), byte(c.size >> 8), byte(c.size)}
			_, n, err := ScanFrame(head, c.max)
			var fe *FrameError
			got := ""
			if errors.As(err, &fe) {
				got = fe.Reason
			}
			if n != 0 || got != c.wantReason {
				t.Fatalf("n = %d, reason = %q, want %q", n, got, c.wantReason)
			}
		})
	}
}

func TestFrameErrorTexts(t *testing.T) {
	long := AppendFrame(nil, Frame{Type: FrameBody, Channel: 1, Payload: bytes.Repeat([]byte{255}, 20)})
	long[len(long)-1] = 'x'
	text := AppendFrame(nil, Frame{Type: FrameBody, Channel: 1, Payload: []byte("say \"hi\"\\\n")})
	text[len(text)-1] = 0
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{
			"end octet", long,
			"FRAME_ERROR - type 3, first 16 octets = <<255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255>>: {invalid_frame_end_marker,120}",
		},
		{"printable", text, `FRAME_ERROR - type 3, all octets = <<"say \"hi\"\\\n">>: {invalid_frame_end_marker,0}`},
		{"unknown type", []byte{4, 0, 0, 0, 0, 0, 0, frameEnd}, "FRAME_ERROR - type 4, all octets = <<>>: unknown_frame"},
		{"type 0", []byte{0, 0, 0, 0, 0, 0, 1, 7, frameEnd}, "FRAME_ERROR - type 0, all octets = <<7>>: unknown_frame"},
		{"heartbeat with payload", []byte{8, 0, 0, 0, 0, 0, 1, 1, frameEnd}, "FRAME_ERROR - type 8, all octets = <<1>>: unknown_frame"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), "FRAME_ERROR - type 71, all octets = <<>>: {frame_too_large,539959368,131064}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ScanFrame(c.in, DefaultFrameMax)
			var fe *FrameError
			if !errors.As(err, &fe) {
				t.Fatalf("error is %v", err)
			}
			if got := fe.Reply().Error(); got != c.want {
				t.Fatalf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestFrameErrorKeepsNoView(t *testing.T) {
	buf := []byte{9, 0, 0, 0, 0, 0, 1, 'a', frameEnd}
	_, _, err := ScanFrame(buf, 0)
	before := err.Error()
	buf[7] = 'b'
	if err.Error() != before {
		t.Fatal("the error changed with the read buffer")
	}
}

func TestUnexpectedFrameText(t *testing.T) {
	got := UnexpectedFrame(Frame{Type: FrameHeartbeat, Channel: 3}).Error()
	if want := "UNEXPECTED_FRAME - type 8, all octets = <<>>"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestAppendBodyFrames(t *testing.T) {
	const limit = FrameFloor - FrameOverhead
	for _, c := range []struct{ size, frames int }{
		{0, 0}, {1, 1}, {limit, 1}, {limit + 1, 2}, {3 * limit, 3},
	} {
		body := bytes.Repeat([]byte("0123456789"), c.size/10+1)[:c.size]
		out := AppendBodyFrames(nil, 5, body, 0)
		if len(out) != c.size+c.frames*FrameOverhead {
			t.Fatalf("size %d: %d bytes out", c.size, len(out))
		}
		var got []byte
		for frames := 0; len(out) > 0; frames++ {
			f, n, err := ScanFrame(out, FrameMinSize)
			if err != nil || n == 0 || f.Type != FrameBody || f.Channel != 5 || frames == c.frames {
				t.Fatalf("size %d, frame %d: %v, %d, %v", c.size, frames, f, n, err)
			}
			got, out = append(got, f.Payload...), out[n:]
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("size %d: body differs", c.size)
		}
	}
}

func TestReplyText(t *testing.T) {
	if got := ReplyText(CodeNotFound, "no queue 'q' in vhost '/'"); got != "NOT_FOUND - no queue 'q' in vhost '/'" {
		t.Fatal(got)
	}
	for pad := range 8 {
		got := ReplyText(CodeNotFound, string(bytes.Repeat([]byte("a"), pad))+string(bytes.Repeat([]byte("ü€😀"), 60)))
		if len(got) > 255 || len(got) < 250 || got[len(got)-3:] != "..." {
			t.Fatalf("pad %d: %d bytes", pad, len(got))
		}
		if !bytes.Equal([]byte(got), bytes.ToValidUTF8([]byte(got), []byte("?"))) {
			t.Fatalf("pad %d: cut within a character", pad)
		}
	}
	// Without any place to cut, the text still ends.
	got := ReplyText(CodeNotFound, string(bytes.Repeat([]byte{0x80}, 300)))
	if len(got) > 255 {
		t.Fatal(len(got))
	}
}

func TestHardAndSoft(t *testing.T) {
	for code, hard := range map[ReplyCode]bool{
		200: false, 311: false, 312: false, 313: false, 403: false, 404: false, 405: false, 406: false,
		320: true, 402: true, 501: true, 502: true, 503: true, 504: true, 505: true, 506: true, 530: true, 540: true, 541: true,
		999: true,
	} {
		if code.Hard() != hard {
			t.Errorf("%v hard: %v", code, code.Hard())
		}
	}
}
