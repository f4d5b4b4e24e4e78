package wire

import "strconv"

// erlangBinary prints b as Erlang's ~p does: <<"text">> when every byte can be
// shown, <<1,2,3>> otherwise. RabbitMQ's reply texts carry such terms and
// people search for them.
func erlangBinary(b []byte) string {
	if len(b) == 0 {
		return "<<>>"
	}
	for _, c := range b {
		if !erlangPrintable(c) {
			return erlangBytes(b)
		}
	}
	out := append(make([]byte, 0, len(b)+6), `<<"`...)
	for _, c := range b {
		if c == '"' || c == '\\' {
			out = append(out, '\\', c)
			continue
		}
		if i := erlangEscape(c); i != 0 {
			out = append(out, '\\', i)
			continue
		}
		out = append(out, c)
	}
	return string(append(out, `">>`...))
}

// erlangBytes prints b as ~w does.
func erlangBytes(b []byte) string {
	out := append(make([]byte, 0, 4*len(b)+4), "<<"...)
	for i, c := range b {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(c), 10)
	}
	return string(append(out, ">>"...))
}

// erlangPrintable leaves out the bytes above 126, which Erlang shows as Latin-1
// and which would not be UTF-8 in our reply text.
func erlangPrintable(c byte) bool {
	return c >= ' ' && c <= '~' || erlangEscape(c) != 0
}

func erlangEscape(c byte) byte {
	switch c {
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	case '\v':
		return 'v'
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case 27:
		return 'e'
	}
	return 0
}
