package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/core/message"
)

// Bounds of a definition or a parameter.
const (
	maxJSON      = 64 << 10
	maxJSONDepth = 16
)

var errJSON = errors.New("not a JSON object")

// ParseJSON returns a JSON object as a table, its fields by name.
func ParseJSON(data []byte) (message.Table, error) {
	if len(data) > maxJSON {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), maxJSON)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", errJSON, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something stands behind it", errJSON)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errJSON
	}
	return tableOf(object, 0)
}

func tableOf(object map[string]any, depth int) (t message.Table, err error) {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v, err := valueOf(object[name], depth+1)
		if err != nil {
			return nil, err
		}
		t = message.AppendField(t, name, v)
	}
	return t, nil
}

func valueOf(v any, depth int) (message.Value, error) {
	if depth > maxJSONDepth {
		return message.Value{}, fmt.Errorf("deeper than %d", maxJSONDepth)
	}
	switch v := v.(type) {
	case string:
		return message.StringOf(v), nil
	case bool:
		return message.BoolOf(v), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return message.IntOf(message.Int64, n), nil
		}
		f, err := v.Float64()
		if err != nil {
			return message.Value{}, fmt.Errorf("the number %s is out of range", v)
		}
		return message.Float64Of(f), nil
	case []any:
		var list []byte
		for _, member := range v {
			m, err := valueOf(member, depth+1)
			if err != nil {
				return message.Value{}, err
			}
			list = message.AppendValue(list, m)
		}
		return message.BytesOf(message.List, list), nil
	case map[string]any:
		t, err := tableOf(v, depth)
		return message.TableOf(t), err
	}
	return message.Value{}, nil // null
}

// AppendJSON appends a table as a JSON object.
func AppendJSON(dst []byte, t message.Table) []byte {
	dst = append(dst, '{')
	first := true
	for name, v := range t.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendJSONText(dst, name), ':')
		dst = appendJSONValue(dst, v)
	}
	return append(dst, '}')
}

func appendJSONText(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text can be encoded
	return append(dst, bytes.TrimRight(b.Bytes(), "\n")...)
}

func appendJSONValue(dst []byte, v message.Value) []byte {
	switch v.Kind() {
	case message.Null:
		return append(dst, "null"...)
	case message.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case message.List, message.Array:
		dst = append(dst, '[')
		for i, m := range v.Values(nil) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONValue(dst, m)
		}
		return append(dst, ']')
	}
	if t, ok := v.Table(); ok {
		return AppendJSON(dst, t)
	}
	if n, ok := v.Int(); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	if f, ok := v.Float(); ok {
		return strconv.AppendFloat(dst, f, 'g', -1, 64)
	}
	return appendJSONText(dst, string(v.Bytes()))
}

// term returns a value as RabbitMQ prints it in its errors: an Erlang term.
func term(v message.Value) string {
	var b strings.Builder
	switch v.Kind() {
	case message.Null:
		return "null"
	case message.Bool:
		return strconv.FormatBool(v.Bool())
	case message.List, message.Array:
		for i, m := range v.Values(nil) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(term(m))
		}
		return "[" + b.String() + "]"
	}
	if t, ok := v.Table(); ok {
		return terms(t)
	}
	if n, ok := v.Int(); ok {
		return strconv.FormatInt(n, 10)
	}
	if f, ok := v.Float(); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return fmt.Sprintf("<<%q>>", v.Bytes())
}

// terms returns a table as a list of pairs.
func terms(t message.Table) string {
	var out []string
	for name, v := range t.All() {
		out = append(out, fmt.Sprintf("{<<%q>>,%s}", name, term(v)))
	}
	return "[" + strings.Join(out, ",") + "]"
}
