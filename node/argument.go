package node

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
)

// arguments shows a table to operators.
func arguments(t message.Table) []admin.Argument {
	var out []admin.Argument
	for name, v := range t.All() {
		out = append(out, admin.Argument{Name: name, Value: argument(v)})
	}
	return out
}

func argument(v message.Value) admin.Value {
	out := admin.Value{Type: broker.TypeName(v)}
	switch out.Type {
	case "table":
		t, _ := v.Table()
		out.Table = arguments(t)
	case "array":
		for _, x := range v.Values(nil) {
			out.List = append(out.List, argument(x))
		}
	case "bool":
		out.Number = "0"
		if v.Bool() {
			out.Number = "1"
		}
	case "float", "double":
		f, _ := v.Float()
		out.Number = json.Number(strconv.FormatFloat(f, 'g', -1, 64))
	case "timestamp":
		out.Number = json.Number(strconv.FormatInt(v.Num()/1000, 10))
	case "decimal":
		out.Type, out.Text = "longstr", fmt.Sprintf("decimal %x", v.Bytes())
	case "longstr", "binary":
		out.Text = string(v.Bytes())
	default:
		n, _ := v.Int()
		out.Number = json.Number(strconv.FormatInt(n, 10))
	}
	return out
}

// definition shows the table of a policy as the JSON object it was given as.
func definition(t message.Table) json.RawMessage {
	out := []byte("{")
	for name, v := range t.All() {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, quoted(name)...)
		out = append(append(out, ':'), asJSON(v)...)
	}
	return append(out, '}')
}

func asJSON(v message.Value) []byte {
	switch a := argument(v); a.Type {
	case "table":
		t, _ := v.Table()
		return definition(t)
	case "array":
		out := []byte("[")
		for i, x := range v.Values(nil) {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, asJSON(x)...)
		}
		return append(out, ']')
	case "bool":
		return strconv.AppendBool(nil, v.Bool())
	case "void":
		return []byte("null")
	case "longstr", "binary":
		return quoted(a.Text)
	default:
		if text, err := json.Marshal(a.Number); err == nil {
			return text
		}
		return []byte("null") // a number that JSON has no word for
	}
}

func quoted(s string) []byte {
	text, _ := json.Marshal(s) // a text has no fault
	return text
}
