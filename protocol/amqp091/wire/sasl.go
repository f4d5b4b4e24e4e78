package wire

import (
	"bytes"
	"strings"
)

// A Secret is a long string that must not be seen: it prints as [redacted].
type Secret string

// String hides the secret.
func (Secret) String() string { return "[redacted]" }

// GoString hides the secret.
func (Secret) GoString() string { return `"[redacted]"` }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Credentials are what a SASL response carries.
type Credentials struct {
	User     string
	Password Secret
}

// ParsePlain reads a response of the mechanism PLAIN: authzid NUL authcid NUL
// password, with exactly two NULs. An authzid that is neither empty nor the
// user's own name asks to act as somebody else, which there is no right for: it
// is refused rather than ignored. The error is an *Error.
func ParsePlain(response []byte) (Credentials, error) {
	authzid, rest, ok := bytes.Cut(response, []byte{0})
	user, password, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(user) == 0 || bytes.IndexByte(password, 0) >= 0 {
		return Credentials{}, saslError("PLAIN")
	}
	if len(authzid) > 0 && !bytes.Equal(authzid, user) {
		return Credentials{}, saslError("PLAIN")
	}
	return Credentials{User: string(user), Password: Secret(password)}, nil
}

// ParseAMQPlain reads a response of the mechanism AMQPLAIN: a table without its
// length, with the strings LOGIN and PASSWORD, each once. The error is an
// *Error.
func ParseAMQPlain(response []byte) (Credentials, error) {
	if err := ValidateTable(response); err != nil {
		return Credentials{}, err
	}
	var c Credentials
	logins, passwords := 0, 0
	for key, v := range Fields(response) {
		text, isText := v.Text()
		switch key {
		case "LOGIN":
			logins++
			c.User = strings.Clone(text)
		case "PASSWORD":
			passwords++
			c.Password = Secret(strings.Clone(text))
		default:
			continue
		}
		if !isText {
			return Credentials{}, saslError("AMQPLAIN")
		}
	}
	if logins != 1 || passwords != 1 || c.User == "" || strings.IndexByte(c.User, 0) >= 0 {
		return Credentials{}, saslError("AMQPLAIN")
	}
	return c, nil
}

// AppendPlain appends a response of the mechanism PLAIN.
func AppendPlain(dst []byte, c Credentials) []byte {
	dst = append(append(dst, 0), c.User...)
	return append(append(dst, 0), c.Password...)
}

func saslError(mechanism string) *Error {
	return &Error{Code: CodeSyntaxError, Text: "malformed response of mechanism " + mechanism, Method: IDConnectionStartOK}
}
