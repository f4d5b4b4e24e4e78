package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A spec is the table, read.
type spec struct {
	frames  []constant
	replies []constant
	classes []*class
}

type constant struct {
	name  string
	value int
	kind  string // of a reply: channel, connection or none
}

type class struct {
	name       string
	id         int
	methods    []method
	properties []field
}

type method struct {
	name                string
	id                  int
	sync, content, view bool
	fields              []field
}

type field struct{ name, typ string }

// types holds the types a field may have.
func knownType(t string) bool {
	switch t {
	case "octet", "short", "long", "longlong", "timestamp", "bit", "shortstr", "longstr", "secret", "table":
		return true
	}
	return false
}

func parse(text string) (*spec, error) {
	s := &spec{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := s.line(words, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return s, nil
}

func (s *spec) line(words []string, line string) error {
	switch words[0] {
	case "frame":
		return s.constant(&s.frames, words, 3)
	case "reply":
		return s.constant(&s.replies, words, 4)
	case "class":
		return s.class(words)
	case "method", "property":
		if len(s.classes) == 0 {
			return fmt.Errorf("a %s before any class", words[0])
		}
		c := s.classes[len(s.classes)-1]
		if words[0] == "property" {
			return c.property(words)
		}
		return c.method(line)
	}
	return fmt.Errorf("unknown word %q", words[0])
}

func (s *spec) constant(list *[]constant, words []string, want int) error {
	if len(words) != want {
		return fmt.Errorf("%s takes %d words", words[0], want-1)
	}
	v, err := strconv.Atoi(words[2])
	if err != nil {
		return fmt.Errorf("value of %s: %w", words[1], err)
	}
	c := constant{name: words[1], value: v}
	if want == 4 {
		c.kind = words[3]
		if c.kind != "channel" && c.kind != "connection" && c.kind != "none" {
			return fmt.Errorf("%s closes %q", c.name, c.kind)
		}
	}
	*list = append(*list, c)
	return nil
}

func (s *spec) class(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("class takes a name and an id")
	}
	id, err := strconv.ParseUint(words[2], 10, 16)
	if err != nil {
		return fmt.Errorf("id of class %s: %w", words[1], err)
	}
	s.classes = append(s.classes, &class{name: words[1], id: int(id)})
	return nil
}

func (c *class) property(words []string) error {
	if len(words) != 3 || !knownType(words[2]) {
		return fmt.Errorf("property takes a name and a known type")
	}
	if len(c.properties) == 14 {
		return fmt.Errorf("class %s has more properties than one flag word", c.name)
	}
	c.properties = append(c.properties, field{words[1], words[2]})
	return nil
}

func (c *class) method(line string) error {
	head, tail, ok := strings.Cut(line, ":")
	words := strings.Fields(head)
	if !ok || len(words) < 3 {
		return fmt.Errorf("method takes a name, an id and, after ':', its fields")
	}
	id, err := strconv.ParseUint(words[2], 10, 16)
	if err != nil {
		return fmt.Errorf("id of method %s: %w", words[1], err)
	}
	m := method{name: words[1], id: int(id)}
	for _, flag := range words[3:] {
		switch flag {
		case "sync":
			m.sync = true
		case "content":
			m.content = true
		case "view":
			m.view = true
		default:
			return fmt.Errorf("method %s has unknown flag %q", m.name, flag)
		}
	}
	if strings.TrimSpace(tail) != "" {
		for _, part := range strings.Split(tail, ",") {
			f := strings.Fields(part)
			if len(f) != 2 || !knownType(f[1]) {
				return fmt.Errorf("method %s: field %q wants a name and a known type", m.name, strings.TrimSpace(part))
			}
			m.fields = append(m.fields, field{f[0], f[1]})
		}
	}
	c.methods = append(c.methods, m)
	return nil
}
