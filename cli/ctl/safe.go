package ctl

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// oneLine returns a name as it can stand within a line: one that a client chose
// may hold what ends a line.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\n\r") {
		return s
	}
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
}

// A safeWriter hands text on without what a terminal would obey: control
// characters but newline and tab, and bytes that are no UTF-8, are written as
// JSON writes them. Names come from clients.
type safeWriter struct {
	w    io.Writer
	rest []byte // of a character that was cut
	buf  []byte
}

// Write implements io.Writer.
func (s *safeWriter) Write(p []byte) (int, error) {
	in := p
	if len(s.rest) > 0 {
		in = append(s.rest, p...)
		s.rest = nil
	}
	s.buf = s.buf[:0]
	for len(in) > 0 {
		if in[0] < utf8.RuneSelf {
			if b := in[0]; b >= ' ' && b != 0x7f || b == '\n' || b == '\t' {
				s.buf = append(s.buf, b)
			} else {
				s.buf = fmt.Appendf(s.buf, `\u%04x`, b)
			}
			in = in[1:]
			continue
		}
		if !utf8.FullRune(in) {
			s.rest = append([]byte(nil), in...)
			break
		}
		r, n := utf8.DecodeRune(in)
		switch {
		case r == utf8.RuneError && n == 1:
			s.buf = fmt.Appendf(s.buf, `\x%02x`, in[0])
		case r < 0xa0:
			s.buf = fmt.Appendf(s.buf, `\u%04x`, r)
		default:
			s.buf = append(s.buf, in[:n]...)
		}
		in = in[n:]
	}
	if _, err := s.w.Write(s.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}
