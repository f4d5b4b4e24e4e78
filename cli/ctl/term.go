package ctl

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

// What a cell may hold besides text, numbers and bool. They are what RabbitMQ's
// tools print as terms of Erlang; nil is nothing.
type (
	// An atom is a text that is printed without quotes.
	atom string
	// A pid names a connection, a channel or a queue.
	pid string
	// A terms is a list.
	terms []any
	// A tuple is a few values together.
	tuple []any
	// A pair is a name and its value; several are an object in JSON.
	pair struct {
		name  string
		value any
	}
	pairs []pair
	// A table is the arguments of a declaration.
	table []client.Argument
)

// words makes a list of texts.
func atoms(of []string) terms {
	out := make(terms, len(of))
	for i, s := range of {
		out[i] = atom(s)
	}
	return out
}

func texts(of []string) terms {
	out := make(terms, len(of))
	for i, s := range of {
		out[i] = s
	}
	return out
}

// plain writes a cell as the table has it.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return oneLine(v)
	case table:
		return plainTable(v)
	case terms:
		return "[" + join(v, ", ", nested) + "]"
	case tuple:
		return "{" + join(v, ",", nested) + "}"
	default:
		return nested(v)
	}
}

// nested writes a value within another: texts are quoted.
func nested(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	case atom:
		return oneLine(string(v))
	case pid:
		return string(v)
	case json.RawMessage:
		return string(v)
	case float64:
		return float(v)
	case terms:
		return "[" + join(v, ", ", nested) + "]"
	case tuple:
		return "{" + join(v, ", ", nested) + "}"
	case pairs:
		out := make([]string, len(v))
		for i, p := range v {
			out[i] = "{" + p.name + ", " + nested(p.value) + "}"
		}
		return "[" + strings.Join(out, ", ") + "]"
	case table:
		return plainTable(v)
	default:
		return fmt.Sprint(v) // a number or bool
	}
}

func join(of []any, by string, f func(any) string) string {
	out := make([]string, len(of))
	for i, v := range of {
		out[i] = f(v)
	}
	return strings.Join(out, by)
}

// float writes a fraction as Erlang does: always with a point.
func float(v float64) string {
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func plainTable(t table) string {
	out := make([]string, len(t))
	for i, a := range t {
		out[i] = "{" + strconv.Quote(a.Name) + "," + plainValue(a.Value) + "}"
	}
	return "[" + strings.Join(out, ",") + "]"
}

func plainValue(v client.Value) string {
	switch v.Type {
	case "table":
		return plainTable(v.Table)
	case "array":
		out := make([]string, len(v.List))
		for i, x := range v.List {
			out[i] = plainValue(x)
		}
		return "[" + strings.Join(out, ",") + "]"
	case "void":
		return "undefined"
	case "bool":
		return strconv.FormatBool(v.Number == "1")
	case "longstr", "binary":
		return strconv.Quote(v.Text)
	}
	return v.Number.String()
}

// inJSON returns what a cell is in JSON.
func inJSON(v any) any {
	switch v := v.(type) {
	case nil:
		return ""
	case terms:
		return jsonAll(v)
	case tuple:
		return jsonAll(v)
	case pairs:
		return object(v)
	case table:
		out := make([]any, len(v))
		for i, a := range v {
			out[i] = []any{a.Name, a.Type, jsonValue(a.Value)}
		}
		return out
	default:
		return v
	}
}

func jsonAll(of []any) []any {
	out := make([]any, len(of))
	for i, v := range of {
		out[i] = inJSON(v)
	}
	return out
}

func jsonValue(v client.Value) any {
	switch v.Type {
	case "table":
		return inJSON(table(v.Table))
	case "array":
		out := make([]any, len(v.List))
		for i, x := range v.List {
			out[i] = []any{x.Type, jsonValue(x)}
		}
		return out
	case "void":
		return nil
	case "bool":
		return v.Number == "1"
	case "longstr", "binary":
		return v.Text
	}
	return v.Number
}

// An object is pairs in JSON, in their order.
type object pairs

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	out := []byte("{")
	for i, p := range o {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := marshal(p.name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(inJSON(p.value))
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

// marshal is json.Marshal without what only web pages need.
func marshal(v any) ([]byte, error) {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(out.String(), "\n")), nil
}

// erlang writes a value as a term.
func erlang(v any) string {
	switch v := v.(type) {
	case nil:
		return "undefined"
	case string:
		return "<<" + strconv.Quote(v) + ">>"
	case atom:
		return erlangAtom(string(v))
	case terms:
		return "[" + join(v, ",", erlang) + "]"
	case tuple:
		return "{" + join(v, ",", erlang) + "}"
	case pairs:
		out := make([]string, len(v))
		for i, p := range v {
			out[i] = "{" + erlangAtom(p.name) + "," + erlang(p.value) + "}"
		}
		return "[" + strings.Join(out, ",") + "]"
	case table:
		out := make([]string, len(v))
		for i, a := range v {
			out[i] = "{<<" + strconv.Quote(a.Name) + ">>," + a.Type + "," + erlangValue(a.Value) + "}"
		}
		return "[" + strings.Join(out, ",") + "]"
	default:
		return nested(v)
	}
}

func erlangValue(v client.Value) string {
	switch v.Type {
	case "table":
		return erlang(table(v.Table))
	case "array":
		out := make([]string, len(v.List))
		for i, x := range v.List {
			out[i] = "{" + x.Type + "," + erlangValue(x) + "}"
		}
		return "[" + strings.Join(out, ",") + "]"
	case "longstr", "binary":
		return erlang(v.Text)
	}
	return plainValue(v)
}

// erlangAtom quotes an atom if it needs that.
func erlangAtom(s string) string {
	for i, r := range s {
		small, digit := r >= 'a' && r <= 'z', r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r == '_' || r == '@'
		if !small && (i == 0 || !digit) {
			return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
		}
	}
	return s
}
