package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
)

// maxFile bounds the size of a configuration file.
const maxFile = 1 << 20

// parse reads the file into settings, each with its line. It knows nothing of
// keys.
func parse(file string, text []byte) ([]Setting, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: is %d bytes, at most %d are read", file, len(text), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil // nothing but comments
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &parser{file: file, seen: map[string]int{}}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		p.fault(0, "holds more than one document")
	}
	for _, n := range doc.Content {
		p.walk("", n)
	}
	return p.settings, errors.Join(p.faults...)
}

type parser struct {
	file     string
	settings []Setting
	faults   []error
	seen     map[string]int // key to line
}

func (p *parser) fault(line int, format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("%s: %s", p.place(line), fmt.Sprintf(format, args...)))
}

func (p *parser) place(line int) string {
	if line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, line)
}

// walk collects the leaves below n. Sections nest as deep as the keys do, so a
// file that nests without end stops at the first name that is no section.
func (p *parser) walk(path string, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			p.entry(path, n.Content[i], n.Content[i+1])
		}
	case yaml.ScalarNode:
		switch {
		case n.Tag == "!!null" && path == "":
		case n.Tag == "!!null":
			p.fault(n.Line, "%s has no value", path)
		case path == "":
			p.fault(n.Line, "must be KEY: VALUE lines")
		default:
			p.settings = append(p.settings, Setting{path, n.Value, p.place(n.Line)})
		}
	case yaml.SequenceNode:
		p.fault(n.Line, "%s is a list; no key takes one", orRoot(path))
	default:
		p.fault(n.Line, "%s uses an alias; write the value out", orRoot(path))
	}
}

func (p *parser) entry(path string, name, value *yaml.Node) {
	key := name.Value
	if path != "" {
		key = path + "." + name.Value
	}
	if first, twice := p.seen[key]; twice {
		p.fault(name.Line, "%s is given twice, first in line %d", key, first)
		return
	}
	p.seen[key] = name.Line
	if value.Kind == yaml.MappingNode && len(key) > 200 {
		p.fault(name.Line, "sections are nested too deep")
		return
	}
	p.walk(key, value)
}

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
