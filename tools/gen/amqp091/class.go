package main

import (
	"bytes"
	"fmt"
)

// classFile writes the methods of one class.
func classFile(c *class) string {
	var b bytes.Buffer
	if usesBinary(c) {
		b.WriteString("import \"encoding/binary\"\n\n")
	}
	for _, m := range c.methods {
		structOf(&b, c, m)
		name := goName(c, m)
		fmt.Fprintf(&b, "// ID implements Method.\nfunc (*%s) ID() ID { return ID%s }\n\n", name, name)
		appendOf(&b, name, m)
		fmt.Fprintf(&b, "// AppendFrame implements Method.\nfunc (m *%s) AppendFrame(dst []byte, channel uint16) []byte {\n"+
			"dst, at := openFrame(dst, FrameMethod, channel)\nreturn closeFrame(m.Append(dst), at)\n}\n\n", name)
		decodeOf(&b, name, m)
		validateOf(&b, name, m)
	}
	return b.String()
}

func usesBinary(c *class) bool {
	for _, m := range c.methods {
		for _, f := range m.fields {
			switch f.typ {
			case "short", "long", "longlong", "timestamp":
				if f.name != "-" {
					return true
				}
			}
		}
	}
	return false
}

func structOf(b *bytes.Buffer, c *class, m method) {
	fmt.Fprintf(b, "// %s is %s.%s.", goName(c, m), c.name, m.name)
	if m.view {
		b.WriteString(" Its strings are views of the payload it was\n// decoded from.")
	}
	fmt.Fprintf(b, "\ntype %s struct {\n", goName(c, m))
	for _, f := range m.fields {
		if f.name != "-" {
			fmt.Fprintf(b, "%s %s\n", camel(f.name), goType(f, m.view))
		}
	}
	b.WriteString("}\n\n")
}

func goType(f field, view bool) string {
	switch f.typ {
	case "octet":
		return "uint8"
	case "short":
		if f.name == "reply-code" {
			return "ReplyCode"
		}
		return "uint16"
	case "long":
		return "uint32"
	case "longlong", "timestamp":
		return "uint64"
	case "bit":
		return "bool"
	case "table":
		return "Table"
	case "secret":
		return "Secret"
	}
	if view {
		return "[]byte"
	}
	return "string"
}

// runs groups fields so that neighbouring bits come together, at most eight.
func runs(fields []field) [][]field {
	var out [][]field
	for i, f := range fields {
		last := len(out) - 1
		if i > 0 && f.typ == "bit" && fields[i-1].typ == "bit" && len(out[last]) < 8 {
			out[last] = append(out[last], f)
			continue
		}
		out = append(out, []field{f})
	}
	return out
}

func appendOf(b *bytes.Buffer, name string, m method) {
	fmt.Fprintf(b, "// Append implements Method.\nfunc (m *%s) Append(dst []byte) []byte {\n", name)
	fmt.Fprintf(b, "dst = appendID(dst, ID%s)\n", name)
	for _, run := range runs(m.fields) {
		if run[0].typ == "bit" {
			appendBits(b, run)
			continue
		}
		appendField(b, run[0])
	}
	b.WriteString("return dst\n}\n\n")
}

func appendBits(b *bytes.Buffer, run []field) {
	b.WriteString("dst = append(dst, ")
	n := 0
	for i, f := range run {
		if f.name == "-" {
			continue
		}
		if n++; n > 1 {
			b.WriteString(" | ")
		}
		fmt.Fprintf(b, "bit(m.%s, %d)", camel(f.name), i)
	}
	if n == 0 {
		b.WriteString("0")
	}
	b.WriteString(")\n")
}

func appendField(b *bytes.Buffer, f field) {
	reserved := f.name == "-"
	v := "0"
	if !reserved {
		v = "m." + camel(f.name)
	}
	switch f.typ {
	case "octet":
		fmt.Fprintf(b, "dst = append(dst, %s)\n", v)
	case "short":
		if reserved {
			b.WriteString("dst = append(dst, 0, 0)\n")
			return
		}
		fmt.Fprintf(b, "dst = binary.BigEndian.AppendUint16(dst, uint16(%s))\n", v)
	case "long":
		fmt.Fprintf(b, "dst = binary.BigEndian.AppendUint32(dst, %s)\n", v)
	case "longlong", "timestamp":
		fmt.Fprintf(b, "dst = binary.BigEndian.AppendUint64(dst, %s)\n", v)
	case "shortstr":
		if reserved {
			b.WriteString("dst = append(dst, 0)\n")
			return
		}
		fmt.Fprintf(b, "dst = appendShort(dst, %s)\n", v)
	case "longstr", "secret":
		if reserved {
			b.WriteString("dst = append(dst, 0, 0, 0, 0)\n")
			return
		}
		fmt.Fprintf(b, "dst = appendLong(dst, %s)\n", v)
	case "table":
		fmt.Fprintf(b, "dst = %s.Append(dst)\n", v)
	}
}

func decodeOf(b *bytes.Buffer, name string, m method) {
	fmt.Fprintf(b, "// Decode implements Method.\nfunc (m *%s) Decode(args []byte) error {\nr := reader{rest: args}\n", name)
	for i, run := range runs(m.fields) {
		if run[0].typ == "bit" {
			decodeBits(b, run, i)
			continue
		}
		decodeField(b, run[0], m.view)
	}
	shown := "args"
	for _, f := range m.fields {
		if f.typ == "secret" {
			shown = "nil"
		}
	}
	fmt.Fprintf(b, "return r.end(ID%s, %s)\n}\n\n", name, shown)
}

func decodeBits(b *bytes.Buffer, run []field, i int) {
	named := false
	for _, f := range run {
		named = named || f.name != "-"
	}
	if !named {
		b.WriteString("r.octet()\n")
		return
	}
	fmt.Fprintf(b, "b%d := r.octet()\n", i)
	for bit, f := range run {
		if f.name != "-" {
			fmt.Fprintf(b, "m.%s = b%d&%d != 0\n", camel(f.name), i, 1<<bit)
		}
	}
}

func decodeField(b *bytes.Buffer, f field, view bool) {
	read := map[string]string{
		"octet": "octet", "short": "uint16", "long": "uint32", "longlong": "uint64", "timestamp": "uint64",
		"shortstr": "shortstr", "longstr": "longstr", "secret": "longstr", "table": "table",
	}[f.typ] + "()"
	switch {
	case f.name == "-":
		fmt.Fprintf(b, "r.%s\n", read)
		return
	case goType(f, view) == "string":
		read = fmt.Sprintf("string(r.%s)", read)
	case goType(f, view) == "Secret":
		read = fmt.Sprintf("Secret(r.%s)", read)
	case goType(f, view) == "ReplyCode":
		read = fmt.Sprintf("ReplyCode(r.%s)", read)
	default:
		read = "r." + read
	}
	fmt.Fprintf(b, "m.%s = %s\n", camel(f.name), read)
}

func validateOf(b *bytes.Buffer, name string, m method) {
	fmt.Fprintf(b, "// Validate implements Method.\nfunc (m *%s) Validate() error {\n", name)
	for _, f := range m.fields {
		if f.typ == "shortstr" && f.name != "-" {
			fmt.Fprintf(b, "if len(m.%s) > maxShort {\nreturn tooLong(ID%s, %q)\n}\n", camel(f.name), name, f.name)
		}
		if f.typ == "table" {
			fmt.Fprintf(b, "if !m.%s.fits() {\nreturn tooLong(ID%s, %q)\n}\n", camel(f.name), name, "key in "+f.name)
		}
	}
	b.WriteString("return nil\n}\n\n")
}
