package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/warrenmq/warren/internal/pattern"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

func match(t *testing.T, text, name string) bool {
	t.Helper()
	p, err := pattern.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := p.Match(name)
	if err != nil {
		t.Fatalf("%q on %q: %v", text, name, err)
	}
	return ok
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		text, yes, no string // names separated by commas
	}{
		{".*", ",a,\n,\xff", "-"},
		{"^$", "", "a, "},
		{"a", "a,bab,a\n", "b,A"},
		{"^a", "a,ab", "ba"},
		{"a$", "a,ba", "ab,a\n"},
		{"^(a|b)$", "a,b", "ab,c"},
		{"^a|b$", "a,ax,b,xb", "xa,bx"}, // the anchors bind tighter than |
		{`^amq\.`, "amq.x", "amqx,xamq.x"},
		{"amq.", "amq.x,amqx,xamq.y", "amq"}, // a bare dot is any byte
		{`^(?!amq\.).*`, "q,amq,xamq.x", "amq.,amq.direct"},
		{`^(?=.*x)a`, "ax,abx", "a,x"},
		{`(?<=a)b`, "ab", "b"},
		{`(?<!a)b`, "b,cb", "ab"},
		{"(?i)^abc$", "abc,ABC", "abcd"},
		{`^\d+$`, "1,12", "1a,\u0661"},
		{`^\w+$`, "a_1", "a-b,a b"},
		{"^[[:alpha:]]+$", "abc", "a1,:"},
		{"^[^a-c]$", "d,^", "a,b"},
		{"^[]a]$", "],a", "b"},
		{"^[a-]$", "a,-", "b"},
		{`^[\]\-]$`, "],-", "\\"},
		{`^a{2}$`, "aa", "a,aaa"},
		{`^(.)\1$`, "aa,bb", "ab"},
		{`\x41`, "A", "x41"},
		{"^.$", "a,\xff", "ab,\u00e4"}, // bytes
		{"^\u00e4$", "\u00e4", "a,\u00c4"},
		{`^a\+b$`, "a+b", "aab"},
		{`^q\.(one|two)\..+$`, "q.one.x", "q.one.,q.three.x"},
	} {
		for _, name := range strings.Split(c.yes, ",") {
			if !match(t, c.text, name) {
				t.Errorf("%q does not match %q", c.text, name)
			}
		}
		if c.no == "-" {
			continue
		}
		for _, name := range strings.Split(c.no, ",") {
			if match(t, c.text, name) {
				t.Errorf("%q matches %q", c.text, name)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"[", "(", ")", "*", "+a", "a{2,1}", "a++", `a\`, "(?|a|b)", "(?P>x)", "(?R)", "[z-a]", "[[:what:]]", `(?<1`,
		`\Qa\E`, `\h`, `\Ka`, `\R`, `\N`, `\X`, `\v`, `\C`, `\u0041`, `[\Q]`, `[\A]`, "[a-z-[aeiou]]", "[a-[b]]",
		strings.Repeat("a", pattern.MaxSize+1),
	} {
		if _, err := pattern.Compile(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if _, err := pattern.Compile(strings.Repeat("a", pattern.MaxSize)); err != nil {
		t.Error(err)
	}
}

// X12: a pattern that would match for ever is given up.
func TestTimeout(t *testing.T) {
	p, err := pattern.Compile("^(a+)+$")
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("a", 60) + "!"
	ok, err := p.Match(name)
	if ok || !errors.Is(err, pattern.ErrTimeout) || strings.Contains(err.Error(), "aaa") {
		t.Fatalf("%v, %v", ok, err)
	}
}

func TestQuoteMatchesOnlyItself(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		any := rapid.SliceOfN(rapid.Byte(), 0, 12)
		s, other := string(any.Draw(rt, "s")), string(any.Draw(rt, "other"))
		p, err := pattern.Compile("^" + pattern.Quote(s) + "$")
		if err != nil {
			rt.Fatal(err)
		}
		if ok, err := p.Match(s); !ok || err != nil {
			rt.Fatalf("%q does not match itself: %v", s, err)
		}
		if ok, err := p.Match(other); err != nil || ok != (s == other) {
			rt.Fatalf("%q on %q: %v, %v", s, other, ok, err)
		}
	})
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	if !match(t, "^"+pattern.Quote(string(every))+"$", string(every)) {
		t.Fatal("some byte is not quoted")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := pattern.NewCache(8)
	for i := range 100 {
		if _, err := c.Get(fmt.Sprint("p", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.Len(); n < 8 || n > 16 {
		t.Fatalf("%d patterns kept", n)
	}
	first, err := c.Get("^x$")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 { // used again in each generation, it stays
		if _, err := c.Get(fmt.Sprint("q", i)); err != nil {
			t.Fatal(err)
		}
		if again, _ := c.Get("^x$"); again != first {
			t.Fatal("compiled twice")
		}
	}
	_, err1 := c.Get("(")
	_, err2 := c.Get("(")
	if err1 == nil || err1 != err2 {
		t.Fatalf("%v, %v", err1, err2)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"^(?!amq\\.).*", "[[:alpha:]-]", "a{1,3}|(b)\\1", "[^]]", "(?i)\xff", "\\p{L}"} {
		f.Add(s, "amq.direct")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		p, err := pattern.Compile(text)
		if err != nil {
			return
		}
		if len(name) > 64 {
			name = name[:64]
		}
		ok, err := p.Match(name)
		if err != nil && ok {
			t.Fatal("an error and a match")
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for name, text := range map[string]string{"all": ".*", "prefix": "^orders\\.", "lookahead": "^(?!amq\\.).*"} {
		b.Run("pattern="+name, func(b *testing.B) {
			p, err := pattern.Compile(text)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for range b.N {
				if _, err := p.Match("orders.created.eu"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
