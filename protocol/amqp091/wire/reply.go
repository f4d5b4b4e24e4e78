package wire

import (
	"strconv"
	"unicode/utf8"
)

// A ReplyCode is the number in a close or a return.
type ReplyCode uint16

// String returns the code's name, for instance NOT_FOUND.
func (c ReplyCode) String() string {
	if s := replyName(c); s != "" {
		return s
	}
	return strconv.Itoa(int(c))
}

// Hard reports whether the error closes the connection. Unknown codes do.
func (c ReplyCode) Hard() bool { return c != CodeSuccess && !replyChannel(c) }

// ReplyText returns the text that goes with a code, cut to what a short string
// holds, as RabbitMQ cuts it but never within a UTF-8 character.
func ReplyText(c ReplyCode, explanation string) string {
	text := c.String() + " - " + explanation
	if len(text) <= maxShort {
		return text
	}
	const dots = "..."
	end := maxShort - len(dots)
	for i := 0; i < utf8.UTFMax-1 && !utf8.RuneStart(text[end]); i++ {
		end--
	}
	return text[:end] + dots
}

// An Error is a fault of the peer in the form in which it is reported: with
// channel.close or connection.close.
type Error struct {
	Code   ReplyCode
	Text   string // without the code's name
	Method ID     // what failed, or 0
}

// Error returns the reply text.
func (e *Error) Error() string { return ReplyText(e.Code, e.Text) }
