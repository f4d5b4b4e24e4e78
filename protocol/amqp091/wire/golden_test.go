package wire

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestGolden decodes the frames under testdata, which are written by hand from
// the protocol's text, dumps what they mean, and encodes them again. Commands:
//
//	frames    any number of frames, dumped one by one
//	table     the body of a table
//	props     raw properties
//	plain     a PLAIN response; amqplain an AMQPLAIN response
//	protocol  the first bytes of a connection
//
// Input is hexadecimal; 'text' in quotes stands for its bytes, and with the
// prefix 1: 2: or 4: for its length in that many bytes as well. '(' ... ')4'
// puts the length of what it encloses in front, in 4 bytes.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			in, err := parseBytes(d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			var b strings.Builder
			switch d.Cmd {
			case "frames":
				dumpFrames(t, &b, in)
			case "table":
				dumpTableBody(t, &b, in)
			case "props":
				dumpProps(t, &b, in)
			case "plain":
				dumpCredentials(&b, in, ParsePlain)
			case "amqplain":
				dumpCredentials(&b, in, ParseAMQPlain)
			case "protocol":
				p := ParseProtocol(in)
				fmt.Fprintf(&b, "%v", p)
				if !p.Served() && p != ProtocolPartial {
					fmt.Fprintf(&b, ", answered %q", AnswerTo(in))
				}
				b.WriteByte('\n')
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return b.String()
		})
	})
}

func dumpFrames(t *testing.T, b *strings.Builder, in []byte) {
	for len(in) > 0 {
		f, n, err := ScanFrame(in, DefaultFrameMax)
		if err != nil {
			fmt.Fprintf(b, "error: %v\n", err.(*FrameError).Reply())
			return
		}
		if n == 0 {
			fmt.Fprintf(b, "needs more than %d bytes\n", len(in))
			return
		}
		fmt.Fprintf(b, "%d: ", f.Channel)
		switch f.Type {
		case FrameMethod:
			m, err := DecodeMethod(f.Payload)
			if err != nil {
				dumpError(b, err)
				break
			}
			b.WriteString(dumpMethod(m))
			if again := m.AppendFrame(nil, f.Channel); string(again) != string(in[:n]) {
				fmt.Fprintf(b, "encoded again: %x\n", again)
			}
		case FrameHeader:
			h, err := DecodeHeader(f.Payload)
			if err != nil {
				dumpError(b, err)
				break
			}
			fmt.Fprintf(b, "header of %d bytes\n", h.BodySize)
			dumpProps(t, b, h.Props)
			if again := AppendHeader(nil, f.Channel, h.Props, h.BodySize); string(again) != string(in[:n]) {
				t.Errorf("header encoded again: %x, was %x", again, in[:n])
			}
		case FrameBody:
			fmt.Fprintf(b, "body %q\n", f.Payload)
		case FrameHeartbeat:
			b.WriteString("heartbeat\n")
		}
		in = in[n:]
	}
}

func dumpError(b *strings.Builder, err error) {
	e := err.(*Error)
	fmt.Fprintf(b, "error: %v", e)
	if e.Method != 0 {
		fmt.Fprintf(b, " (%v)", e.Method)
	}
	b.WriteByte('\n')
}

func dumpMethod(m Method) string {
	var b strings.Builder
	b.WriteString(m.ID().String())
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		fmt.Fprintf(&b, " %s=", v.Type().Field(i).Name)
		switch x := v.Field(i).Interface().(type) {
		case Table:
			b.WriteString(dumpTable(x))
		case []byte:
			fmt.Fprintf(&b, "%q", x)
		case string:
			fmt.Fprintf(&b, "%q", x)
		case Secret:
			fmt.Fprintf(&b, "%q", string(x))
		default:
			fmt.Fprintf(&b, "%v", x)
		}
	}
	return b.String() + "\n"
}

func dumpTable(t Table) string {
	parts := make([]string, len(t))
	for i, f := range t {
		parts[i] = fmt.Sprintf("%q: %s", f.Key, dumpValue(f.Value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func dumpValue(v Value) string {
	k := string(rune(v.Kind()))
	if n, ok := v.Int(); ok {
		return fmt.Sprintf("%s %d", k, n)
	}
	if f, ok := v.Float(); ok {
		return fmt.Sprintf("%s %g", k, f)
	}
	if x, ok := v.Bool(); ok {
		return fmt.Sprintf("%s %t", k, x)
	}
	if n, ok := v.Timestamp(); ok {
		return fmt.Sprintf("%s %d", k, n)
	}
	if x, ok := v.Decimal(); ok {
		return fmt.Sprintf("%s %d/10^%d", k, x.Value, x.Scale)
	}
	if s, ok := v.Text(); ok {
		return fmt.Sprintf("%s %q", k, s)
	}
	if s, ok := v.Bytes(); ok {
		return fmt.Sprintf("%s %x", k, s)
	}
	if t, ok := v.Table(); ok {
		return k + " " + dumpTable(t)
	}
	if items, ok := v.Array(); ok {
		parts := make([]string, len(items))
		for i := range items {
			parts[i] = dumpValue(items[i])
		}
		return k + " [" + strings.Join(parts, ", ") + "]"
	}
	return k
}

func dumpTableBody(t *testing.T, b *strings.Builder, in []byte) {
	table, err := DecodeTable(in)
	if verr := ValidateTable(in); (verr == nil) != (err == nil) {
		t.Errorf("DecodeTable says %v, ValidateTable %v", err, verr)
	}
	if err != nil {
		dumpError(b, err)
		return
	}
	b.WriteString(dumpTable(table) + "\n")
	if again := table.AppendBody(nil); string(again) != string(in) {
		t.Errorf("encoded again: %x, was %x", again, in)
	}
}

func dumpProps(t *testing.T, b *strings.Builder, in Props) {
	p, err := in.Decode()
	if err != nil {
		dumpError(b, err)
		return
	}
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch x := v.Field(i).Interface().(type) {
		case Flags:
		case Table:
			if in.Has(HasHeaders) {
				fmt.Fprintf(b, "  %s %s\n", name, dumpTable(x))
			}
		default:
			if !v.Field(i).IsZero() {
				fmt.Fprintf(b, "  %s %v\n", name, x)
			}
		}
	}
	if again := p.Append(nil); string(again) != string(in) {
		t.Errorf("properties encoded again: %x, was %x", again, in)
	}
}

func dumpCredentials(b *strings.Builder, in []byte, parse func([]byte) (Credentials, error)) {
	c, err := parse(in)
	if err != nil {
		dumpError(b, err)
		return
	}
	fmt.Fprintf(b, "user %q password %q, logged as %v\n", c.User, string(c.Password), c)
}

// parseBytes reads the notation of TestGolden.
func parseBytes(s string) ([]byte, error) {
	var out []byte
	var open []int
	for _, line := range strings.Split(s, "\n") {
		for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
			word, rest, _ := strings.Cut(line, " ")
			if i := strings.IndexByte(word, '\''); i >= 0 {
				end := strings.IndexByte(line[i+1:], '\'')
				if end < 0 {
					return nil, fmt.Errorf("open quote in %q", line)
				}
				word, rest = line[:i+1+end+1], line[i+1+end+1:]
			}
			line = rest
			switch {
			case word == "#":
				line = ""
			case word == "(":
				open = append(open, len(out))
			case word == ")4":
				at := open[len(open)-1]
				open = open[:len(open)-1]
				body := string(out[at:])
				out = append(withLength(out[:at], 4, len(body)), body...)
			case strings.HasSuffix(word, "'"):
				prefix, text, _ := strings.Cut(strings.TrimSuffix(word, "'"), "'")
				if prefix != "" {
					out = withLength(out, int(prefix[0]-'0'), len(text))
				}
				out = append(out, text...)
			default:
				b, err := hex.DecodeString(word)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", word, err)
				}
				out = append(out, b...)
			}
		}
	}
	return out, nil
}

func withLength(dst []byte, width, n int) []byte {
	for i := width - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}
