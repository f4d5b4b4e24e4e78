package wire

import "strconv"

const (
	// MaxDepth is how deep tables and arrays may nest below the outermost
	// table.
	MaxDepth = 64
	// MaxEntries is how many entries one table or array may have. An entry
	// can be as small as one byte and costs 16 or 32 once it is decoded:
	// the bound keeps that from adding up.
	MaxEntries = 16384
)

// reason is why a table is refused.
type reason uint8

const (
	sound reason = iota
	truncated
	unknownTag
	tooDeep
	tooMany
)

// A fault is what is wrong with a table.
type fault struct {
	reason reason
	tag    byte
}

func (f fault) reply(id ID) *Error {
	text := "field table ends within a field"
	switch f.reason {
	case unknownTag:
		text = "unknown field type " + strconv.QuoteToASCII(string(rune(f.tag))) + " in field table"
	case tooDeep:
		text = "field table nests deeper than " + strconv.Itoa(MaxDepth) + " levels"
	case tooMany:
		text = "field table has more than " + strconv.Itoa(MaxEntries) + " entries"
	}
	return &Error{Code: CodeSyntaxError, Text: text, Method: id}
}

// checkTable walks the body of a table and returns how many fields it has.
// Each byte is looked at once per level of nesting at most.
func checkTable(s string, depth int) (n int, f fault) {
	for len(s) > 0 {
		k := 1 + int(s[0])
		if k >= len(s) {
			return n, fault{reason: truncated}
		}
		size, f := checkValue(s[k:], depth)
		if f.reason != sound {
			return n, f
		}
		s = s[k+size:]
		if n++; n > MaxEntries {
			return n, fault{reason: tooMany}
		}
	}
	return n, fault{}
}

// checkArray walks the body of an array and returns how many items it has.
func checkArray(s string, depth int) (n int, f fault) {
	for len(s) > 0 {
		size, f := checkValue(s, depth)
		if f.reason != sound {
			return n, f
		}
		s = s[size:]
		if n++; n > MaxEntries {
			return n, fault{reason: tooMany}
		}
	}
	return n, fault{}
}

// checkValue checks the value at the head of s, which is not empty, and all
// that is in it, and returns its length.
func checkValue(s string, depth int) (size int, f fault) {
	size = valueLen(s)
	if size < 0 {
		return 0, fault{reason: truncated}
	}
	if size == 0 {
		return 0, fault{reason: unknownTag, tag: s[0]}
	}
	switch Kind(s[0]) {
	case KindTable, KindArray:
		if depth == MaxDepth {
			return 0, fault{reason: tooDeep}
		}
		if Kind(s[0]) == KindTable {
			_, f = checkTable(s[5:size], depth+1)
		} else {
			_, f = checkArray(s[5:size], depth+1)
		}
	}
	return size, f
}

// valueLen returns the length of the value at the head of s, which is not
// empty: 0 when the tag is unknown, -1 when s is too short.
func valueLen(s string) int {
	size := 0
	switch Kind(s[0]) {
	case KindVoid:
		return 1
	case KindBool, KindInt8, KindUint8:
		size = 2
	case KindInt16, KindUint16:
		size = 3
	case KindInt32, KindUint32, KindFloat32:
		size = 5
	case KindDecimal:
		size = 6
	case KindInt64, KindInt64L, KindFloat64, KindTimestamp:
		size = 9
	case KindString, KindBytes, KindTable, KindArray:
		if len(s) < 5 {
			return -1
		}
		n := uint32(s[1])<<24 | uint32(s[2])<<16 | uint32(s[3])<<8 | uint32(s[4])
		if uint64(n) > uint64(len(s)-5) {
			return -1
		}
		return 5 + int(n)
	default:
		return 0
	}
	if size > len(s) {
		return -1
	}
	return size
}
