package ctl

import (
	"strings"
	"testing"
)

// Whatever way a text is cut into writes, what comes out is the same, and has
// nothing in it that a terminal obeys.
func TestSafeWriter(t *testing.T) {
	in := "a\tb\n\x1b[31mred\x7f\u009b1m 日本 \xff\x9b é\r"
	want := "a\tb\n\\u001b[31mred\\u007f\\u009b1m 日本 \\xff\\x9b é\\u000d"
	for size := 1; size <= len(in); size++ {
		var out strings.Builder
		w := &safeWriter{w: &out}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if k, err := w.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatal(k, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("%d bytes at a time: %q, want %q", size, out.String(), want)
		}
	}
}
