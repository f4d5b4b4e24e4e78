// Package pattern is the regular expressions that administrators write into
// permissions and policies, read as RabbitMQ reads them: Perl-like, with
// look-around, not anchored, over bytes.
//
// The engine backtracks, so a match has a time limit and a pattern a size
// limit; whoever asks must treat an error as "no". It is the third-party
// engine's syntax that counts: a construct that it would silently read in
// another way than Perl is refused when the pattern is compiled.
//
// The engine keeps time with a goroutine of its own that ends about a second
// after the last match.
package pattern

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

const (
	// MaxSize is how long a pattern may be, in bytes.
	MaxSize = 4096
	// Timeout is about how long a match may take.
	Timeout = 50 * time.Millisecond
)

// ErrTimeout is returned by a match that took too long.
var ErrTimeout = errors.New("pattern: the match took too long")

// A Pattern is a compiled pattern. It may be used by several goroutines.
type Pattern struct {
	re  *regexp2.Regexp
	all bool // matches everything
}

// Compile compiles a pattern. The empty pattern matches everything.
func Compile(text string) (*Pattern, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("pattern: %d bytes are more than %d", len(text), MaxSize)
	}
	if text == "" || text == ".*" || text == "^.*" {
		return &Pattern{all: true}, nil
	}
	if err := sameMeaning(text); err != nil {
		return nil, fmt.Errorf("pattern: %q: %w", text, err)
	}
	re, err := regexp2.Compile(string(latin1(text)), regexp2.RE2)
	if err != nil {
		return nil, fmt.Errorf("pattern: %q: %w", text, err)
	}
	re.MatchTimeout = Timeout
	return &Pattern{re: re}, nil
}

// Match reports whether the pattern matches somewhere in s.
func (p *Pattern) Match(s string) (bool, error) {
	if p.all {
		return true, nil
	}
	ok, err := p.re.MatchRunes(latin1(s))
	if err != nil { // the engine's text repeats s
		return false, ErrTimeout
	}
	return ok, nil
}

// latin1 makes a rune of each byte: patterns and names are bytes.
func latin1(s string) []rune {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return r
}

// Quote returns a pattern that matches exactly s, for use inside another.
func Quote(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c < 0x80 && !isWord(c) {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// Escapes with a letter that mean the same to Perl and to the engine.
const (
	sharedEscapes      = "dDwWsSbBAZzGntrfeaxcpPk"
	sharedClassEscapes = "dDwWsSbntrfeaxcpP"
)

// sameMeaning refuses what Perl and the engine read differently: unknown
// escapes, which the engine takes for the letter itself, and subtraction in
// character classes, which Perl does not have.
func sameMeaning(text string) error {
	inClass := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			known := sharedEscapes
			if inClass {
				known = sharedClassEscapes
			}
			next := text[i]
			if letter := next | 0x20; letter >= 'a' && letter <= 'z' && !strings.ContainsRune(known, rune(next)) {
				return fmt.Errorf(`the escape \%c is not supported`, next)
			}
		case c == '[' && !inClass:
			inClass = true
			i += classStart(text[i+1:])
		case c == '[' && inClass:
			if text[i-1] == '-' {
				return errors.New("subtraction in a character class is not supported")
			}
			if end := strings.Index(text[i:], ":]"); strings.HasPrefix(text[i:], "[:") && end > 0 {
				i += end + 1
			}
		case c == ']' && inClass:
			inClass = false
		}
	}
	return nil
}

// classStart returns how many bytes after a class's bracket cannot end it.
func classStart(rest string) int {
	n := 0
	if strings.HasPrefix(rest, "^") {
		n++
	}
	if strings.HasPrefix(rest[n:], "]") {
		n++
	}
	return n
}
