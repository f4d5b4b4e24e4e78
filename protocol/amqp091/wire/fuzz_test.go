package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
)

// golden hands each input of the golden files to add.
func golden(f *testing.F, add func(cmd string, in []byte)) {
	f.Helper()
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("golden files: %v, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, story := range strings.Split(string(text), "\n\n") {
			input, _, found := strings.Cut(story, "----")
			for strings.HasPrefix(input, "#") {
				_, input, _ = strings.Cut(input, "\n")
			}
			cmd, input, _ := strings.Cut(input, "\n")
			in, err := parseBytes(input)
			if !found || err != nil {
				f.Fatalf("%s: %q: %v", name, story, err)
			}
			add(cmd, in)
		}
	}
}

// payloads hands the payload of each golden frame of the type to add.
func payloads(f *testing.F, typ byte) {
	f.Helper()
	golden(f, func(cmd string, in []byte) {
		for cmd == "frames" && len(in) > 0 {
			fr, n, err := ScanFrame(in, DefaultFrameMax)
			if err != nil || n == 0 {
				return
			}
			if fr.Type == typ {
				f.Add(fr.Payload)
			}
			in = in[n:]
		}
	})
}

// within holds f, which may run twice, to its allowance. The exact count stops
// the world, so it is taken only when the rough one is suspicious.
func within(t *testing.T, n int, f func()) {
	t.Helper()
	if roughlyAllocated(f) <= allowance(n) {
		return
	}
	if spent := allocated(f); spent > allowance(n) {
		t.Errorf("%d bytes allocated for %d", spent, n)
	}
}

// roughlyAllocated counts large objects at once and small ones when their span
// is full.
func roughlyAllocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

func FuzzFrame(f *testing.F) {
	golden(f, func(cmd string, in []byte) {
		if cmd == "frames" {
			f.Add(in)
		}
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		for rest := in; ; {
			fr, n, err := ScanFrame(rest, FrameMinSize)
			if err != nil {
				_ = err.(*FrameError).Reply().Error()
				return
			}
			if n == 0 {
				return
			}
			if n != FrameLen(rest) || n != len(fr.Payload)+FrameOverhead {
				t.Fatalf("frame of %d bytes, FrameLen says %d", n, FrameLen(rest))
			}
			if again := AppendFrame(nil, fr); !bytes.Equal(again, rest[:n]) {
				t.Fatalf("%x became %x", rest[:n], again)
			}
			rest = rest[n:]
		}
	})
}

func FuzzMethod(f *testing.F) {
	payloads(f, FrameMethod)
	f.Fuzz(func(t *testing.T, in []byte) {
		var m Method
		var err error
		within(t, len(in), func() { m, err = DecodeMethod(in) })
		if err != nil {
			_ = err.(*Error).Error()
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("what was decoded does not fit: %v", err)
		}
		once := m.Append(nil)
		again, err := DecodeMethod(once)
		if err != nil {
			t.Fatalf("%x became %x: %v", in, once, err)
		}
		if twice := again.Append(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x", once, twice)
		}
	})
}

func FuzzTable(f *testing.F) {
	golden(f, func(cmd string, in []byte) {
		if cmd == "table" || cmd == "amqplain" {
			f.Add(in)
		}
	})
	f.Add(nested(KindTable, MaxDepth+1))
	f.Add(Table{{"v", Array(make([]Value, 300)...)}}.AppendBody(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		var table Table
		var err error
		within(t, len(in), func() { table, err = DecodeTable(in) })
		if (ValidateTable(in) == nil) != (err == nil) {
			t.Fatalf("DecodeTable says %v, ValidateTable disagrees", err)
		}
		i := 0
		for k, v := range Fields(in) {
			if err != nil {
				break // only that it does not panic
			}
			if table[i].Key != k || table[i].Value != v {
				t.Fatalf("field %d differs", i)
			}
			i++
		}
		_, _ = ParseAMQPlain(in)
		if err != nil {
			return
		}
		if i != len(table) {
			t.Fatalf("%d fields, Fields gave %d", len(table), i)
		}
		if again := table.AppendBody(nil); !bytes.Equal(again, in) {
			t.Fatalf("%x became %x", in, again)
		}
		_ = dumpTable(table) // reaches every accessor
	})
}

func FuzzHeader(f *testing.F) {
	payloads(f, FrameHeader)
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 12 {
			_ = touch(Props(in[12:])) // unchecked properties must not panic either
		}
		h, err := DecodeHeader(in)
		if err != nil {
			return
		}
		var p Properties
		within(t, len(in), func() { p, err = h.Props.Decode() })
		if err != nil {
			t.Fatalf("checked properties do not decode: %v", err)
		}
		if again := p.Append(nil); !bytes.Equal(again, h.Props) {
			t.Fatalf("%x became %x", h.Props, again)
		}
	})
}

func FuzzLogin(f *testing.F) {
	golden(f, func(cmd string, in []byte) {
		if cmd == "plain" || cmd == "amqplain" || cmd == "protocol" {
			f.Add(in)
		}
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		within(t, len(in), func() {
			if c, err := ParsePlain(in); err == nil {
				again, err := ParsePlain(AppendPlain(nil, c))
				if err != nil || again != c {
					t.Fatalf("%q became %q, %v", c.User, again.User, err)
				}
			}
			_, _ = ParseAMQPlain(in)
			_ = ParseProtocol(in).String() + AnswerTo(in)
		})
	})
}

// touch calls every accessor.
func touch(p Props) int {
	return len(p.ContentType()) + len(p.ContentEncoding()) + len(p.Headers()) + int(p.DeliveryMode()) + int(p.Priority()) +
		len(p.CorrelationID()) + len(p.ReplyTo()) + len(p.Expiration()) + len(p.MessageID()) + int(p.Timestamp()) +
		len(p.Type()) + len(p.UserID()) + len(p.AppID()) + len(p.ClusterID())
}
