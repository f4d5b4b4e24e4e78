package ctl

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// A formatter writes a list, row by row, or a single value.
type formatter interface {
	// open begins a list; blank says that an empty one is an empty line.
	open(columns []string, blank bool)
	row(cells []any)
	close()
	// value writes what is no list.
	value(v any)
}

// Names of the formatters.
const (
	asTable  = "table"
	asPretty = "pretty_table"
	asJSON   = "json"
	asStream = "json_stream"
	asCSV    = "csv"
	asErlang = "erlang"
)

// machine reports whether the output is for programs: no banner stands in it.
func (c *call) machine() bool { return slices.Contains([]string{asJSON, asStream, asCSV}, c.format) }

// formatter returns the one that was asked for.
func (c *call) formatter() (formatter, error) {
	w := bufio.NewWriterSize(c.w.Stdout, 64<<10)
	headers := !c.silent && !c.noHeaders
	switch c.format {
	case "", asTable, "string", "report":
		return &tableFormat{w: w, headers: headers}, nil
	case asPretty:
		return &prettyFormat{w: w}, nil
	case asJSON, asStream:
		return &jsonFormat{w: w, stream: c.format == asStream}, nil
	case asCSV:
		return &csvFormat{w: w, headers: headers}, nil
	case asErlang:
		return &erlangFormat{w: w}, nil
	}
	return nil, c.invalid(exitUsage, "Formatter '%s' is not supported: use table, pretty_table, json, json_stream, csv or erlang", c.format)
}

// tableFormat puts tabs between the cells. The head stands over rows only.
type tableFormat struct {
	w              *bufio.Writer
	headers, blank bool
	columns        []string
	rows           int
}

func (f *tableFormat) open(columns []string, blank bool) { f.columns, f.blank = columns, blank }

func (f *tableFormat) row(cells []any) {
	if f.rows == 0 && f.headers {
		fmt.Fprintln(f.w, strings.Join(f.columns, "\t"))
	}
	f.rows++
	fmt.Fprintln(f.w, join(cells, "\t", plain))
}

func (f *tableFormat) close() {
	if f.rows == 0 && f.blank {
		fmt.Fprintln(f.w)
	}
	_ = f.w.Flush() // who closed the pipe has read enough
}

func (f *tableFormat) value(v any) {
	fmt.Fprintln(f.w, plain(v))
	_ = f.w.Flush() // as above
}

// csvFormat quotes every cell.
type csvFormat struct {
	w       *bufio.Writer
	headers bool
	columns []string
	rows    int
}

func (f *csvFormat) open(columns []string, _ bool) { f.columns = columns }

func (f *csvFormat) row(cells []any) {
	if f.rows == 0 && f.headers {
		f.line(texts(f.columns))
	}
	f.rows++
	f.line(cells)
}

func (f *csvFormat) line(cells []any) {
	fmt.Fprintln(f.w, join(cells, ",", func(v any) string {
		return `"` + strings.ReplaceAll(plain(v), `"`, `""`) + `"`
	}))
}

func (f *csvFormat) close() { _ = f.w.Flush() } // who closed the pipe has read enough

func (f *csvFormat) value(v any) { f.line([]any{v}); f.close() }

// jsonFormat writes an array of objects, each on its line; or, as a stream, the
// objects alone.
type jsonFormat struct {
	w       *bufio.Writer
	stream  bool
	columns []string
	rows    int
}

func (f *jsonFormat) open(columns []string, _ bool) {
	f.columns = columns
	if !f.stream {
		fmt.Fprintln(f.w, "[")
	}
}

func (f *jsonFormat) row(cells []any) {
	if f.rows > 0 && !f.stream {
		_ = f.w.WriteByte(',') // Flush says
	}
	f.rows++
	o := make(pairs, len(cells))
	for i, v := range cells {
		o[i] = pair{f.columns[i], v}
	}
	f.print(o)
}

func (f *jsonFormat) print(v any) {
	text, err := marshal(inJSON(v))
	if err != nil {
		text = fmt.Appendf(nil, "%q", err.Error()) // a number that is none
	}
	fmt.Fprintf(f.w, "%s\n", text)
}

func (f *jsonFormat) close() {
	if !f.stream {
		fmt.Fprintln(f.w, "]")
	}
	_ = f.w.Flush() // who closed the pipe has read enough
}

func (f *jsonFormat) value(v any) { f.print(v); _ = f.w.Flush() } // as above

// erlangFormat writes a list of property lists.
type erlangFormat struct {
	w       *bufio.Writer
	columns []string
	rows    int
}

func (f *erlangFormat) open(columns []string, _ bool) {
	f.columns = columns
	_ = f.w.WriteByte('[') // Flush says
}

func (f *erlangFormat) row(cells []any) {
	if f.rows++; f.rows > 1 {
		_, _ = f.w.WriteString(",\n ") // Flush says
	}
	o := make(pairs, len(cells))
	for i, v := range cells {
		o[i] = pair{f.columns[i], v}
	}
	_, _ = f.w.WriteString(erlang(o)) // Flush says
}

func (f *erlangFormat) close() { fmt.Fprintln(f.w, "]"); _ = f.w.Flush() } // who closed the pipe has read enough

func (f *erlangFormat) value(v any) { fmt.Fprintln(f.w, erlang(v)); _ = f.w.Flush() } // as above

// prettyFormat draws boxes. It has to see all rows before it writes the first.
type prettyFormat struct {
	w    *bufio.Writer
	rows [][]string
}

func (f *prettyFormat) open(columns []string, _ bool) { f.rows = [][]string{columns} }

func (f *prettyFormat) row(cells []any) {
	out := make([]string, len(cells))
	for i, v := range cells {
		out[i] = plain(v)
	}
	f.rows = append(f.rows, out)
}

func (f *prettyFormat) close() {
	defer func() { _ = f.w.Flush() }() // who closed the pipe has read enough
	if len(f.rows) < 2 {
		return
	}
	widths := make([]int, len(f.rows[0]))
	for _, r := range f.rows {
		for i, s := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	rule(f.w, widths, "┌", "┬", "┐")
	for i, r := range f.rows {
		if i > 0 {
			rule(f.w, widths, "├", "┼", "┤")
		}
		for j, s := range r {
			fmt.Fprintf(f.w, "│ %s%s ", s, strings.Repeat(" ", widths[j]-utf8.RuneCountInString(s)))
		}
		fmt.Fprintln(f.w, "│")
	}
	rule(f.w, widths, "└", "┴", "┘")
}

func (f *prettyFormat) value(v any) { fmt.Fprintln(f.w, plain(v)); _ = f.w.Flush() } // as above

func rule(w io.Writer, widths []int, left, mid, right string) {
	parts := make([]string, len(widths))
	for i, n := range widths {
		parts[i] = strings.Repeat("─", n+2)
	}
	fmt.Fprintln(w, left+strings.Join(parts, mid)+right)
}
