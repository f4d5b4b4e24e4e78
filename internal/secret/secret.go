// Package secret holds texts that must not be shown: passwords, keys, tokens.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Mask is what every way of printing a String gives.
const Mask = "***"

// String is a text that prints, logs and marshals as Mask, whether it is empty
// or not. The zero value is the empty text.
//
// The text hangs on a pointer because package fmt does not call the methods of
// unexported fields: there it would show a plain string, of a pointer it shows
// the address. It cannot be compared with ==, which would compare addresses.
type String struct {
	_ [0]func()
	p *string
}

// New wraps a text.
func New(s string) String { return String{p: &s} }

// Reveal returns the text. It is the only way to it, and easy to search for.
func (s String) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// Empty reports whether the text is empty.
func (s String) Empty() bool { return s.Reveal() == "" }

// IsZero lets encoders leave out an empty secret.
func (s String) IsZero() bool { return s.Empty() }

// Equal compares without telling by its duration where the texts differ.
func (s String) Equal(o String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String returns Mask.
func (s String) String() string { return Mask }

// GoString returns Mask.
func (s String) GoString() string { return Mask }

// Format writes Mask for every verb and flag.
func (s String) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, Mask) }

// LogValue returns Mask.
func (s String) LogValue() slog.Value { return slog.StringValue(Mask) }

// MarshalText returns Mask.
func (s String) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// MarshalJSON returns Mask as a JSON string.
func (s String) MarshalJSON() ([]byte, error) { return []byte(`"` + Mask + `"`), nil }

// MarshalYAML returns Mask.
func (s String) MarshalYAML() (any, error) { return Mask, nil }

// MarshalBinary returns Mask; gob uses it.
func (s String) MarshalBinary() ([]byte, error) { return []byte(Mask), nil }

// UnmarshalText takes the text, so that a secret can be read from JSON, YAML
// and flags.
func (s *String) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}
