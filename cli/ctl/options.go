package ctl

import (
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/internal/secret"
)

// options are what every verb takes, and what its own were given.
type options struct {
	data, nodeName, vhost, format string
	quiet, silent, noHeaders      bool
	hasData                       bool // the directory was given
	// timeout is 0 for none; hasTimeout says that it was given.
	timeout    time.Duration
	hasTimeout bool
	given      map[string]string // of the verb's own, by name; "true" for a switch
}

// is reports whether a switch of the verb's own was given.
func (o *options) is(name string) bool { return o.given[name] == "true" }

// opt returns the value of an option of the verb's own.
func (o *options) opt(name string) (value string, given bool) {
	value, given = o.given[name]
	return value, given
}

// An option is one that a verb takes.
type option struct {
	name  string
	short string // one letter, or empty
	takes string // what its value is called; empty for a switch
	set   func(o *options, value string) error
}

// own returns an option of a verb, which finds its value with opt or is.
func own(name, takes string) option {
	return option{name: name, takes: takes, set: func(o *options, value string) error {
		o.given[name] = value
		return nil
	}}
}

// globals are the options of all verbs. Those that ask something of Erlang are
// taken, and there is nothing to do.
func globals() []option {
	text := func(to func(o *options) *string) func(*options, string) error {
		return func(o *options, v string) error { *to(o) = v; return nil }
	}
	flag := func(to func(o *options) *bool) func(*options, string) error {
		return func(o *options, v string) (err error) { *to(o), err = strconv.ParseBool(v); return err }
	}
	ignored := func(*options, string) error { return nil }
	return []option{
		{"node", "n", "node", text(func(o *options) *string { return &o.nodeName })},
		{"data", "", "dir", func(o *options, v string) error { o.data, o.hasData = v, true; return nil }},
		{"vhost", "p", "vhost", text(func(o *options) *string { return &o.vhost })},
		{"formatter", "", "formatter", text(func(o *options) *string { return &o.format })},
		{"quiet", "q", "", flag(func(o *options) *bool { return &o.quiet })},
		{"silent", "s", "", flag(func(o *options) *bool { return &o.silent })},
		{"no-table-headers", "", "", flag(func(o *options) *bool { return &o.noHeaders })},
		{"timeout", "t", "timeout", (*options).setTimeout},
		{"longnames", "l", "", ignored},
		{"erlang-cookie", "", "cookie", ignored},
		{"print-stacktrace", "", "", ignored},
		{"script-name", "", "name", ignored},
	}
}

// setTimeout takes seconds, or "infinity".
func (o *options) setTimeout(v string) error {
	o.hasTimeout = true
	if v == "infinity" {
		o.timeout = 0
		return nil
	}
	n, err := strconv.ParseUint(v, 10, 31)
	o.timeout = time.Duration(n) * time.Second
	return err
}

// parse takes a command line apart: the first argument that is no option is the
// verb, and options may stand before and behind it.
func (c *call) parse(line []string) error {
	c.options = options{
		data: c.w.DataDir, nodeName: c.w.Getenv("RABBITMQ_NODENAME"), vhost: "/", format: "", given: map[string]string{},
	}
	if dir := c.w.Getenv("WARREN_DATA"); dir != "" {
		c.data, c.hasData = dir, true
	}
	rest, err := c.words(line)
	if err != nil {
		return err
	}
	if c.verb == nil {
		return c.noVerb()
	}
	c.args = rest
	if !c.hasTimeout {
		c.timeout = c.verb.timeout
	}
	return nil
}

// words returns the arguments that are no options, and sets those that are.
func (c *call) words(line []string) (rest []string, err error) {
	for len(line) > 0 {
		word := line[0]
		line = line[1:]
		switch {
		case word == "--":
			line, rest = nil, append(rest, line...)
		case len(word) > 1 && word[0] == '-' && !isNumber(word):
			if line, err = c.option(word, line); err != nil {
				return nil, err
			}
		case c.verb == nil:
			if c.verb = find(c.tool, word); c.verb == nil {
				return nil, c.unknown(word)
			}
		default:
			rest = append(rest, word)
		}
	}
	return rest, nil
}

func isNumber(word string) bool {
	_, err := strconv.ParseFloat(word, 64)
	return err == nil
}

// option sets one option, and returns what follows it and its value.
func (c *call) option(word string, line []string) ([]string, error) {
	name, value, hasValue := strings.Cut(word, "=")
	o, ok := c.lookup(name)
	if !ok {
		if c.verb == nil && (name == "--version" || name == "-V") {
			c.verb = find(c.tool, "version")
			return line, nil
		}
		if name == "--help" || name == "-h" {
			return nil, c.help()
		}
		if c.verb != nil && c.verb.loose {
			return line, nil
		}
		return nil, c.badOption(name, value)
	}
	switch {
	case o.takes == "" && !hasValue:
		value = "true"
	case o.takes != "" && !hasValue && len(line) == 0:
		return nil, c.badOption(name, "")
	case o.takes != "" && !hasValue:
		value, line = line[0], line[1:]
	}
	if o.set(&c.options, value) != nil {
		return nil, c.badOption(name, value)
	}
	return line, nil
}

func (c *call) lookup(word string) (option, bool) {
	all := globals()
	if c.verb != nil {
		all = append(c.verb.options, all...)
	}
	for _, o := range all {
		// RabbitMQ's tools take an underscore for a dash in a name.
		if strings.HasPrefix(word, "--") && strings.ReplaceAll(word[2:], "_", "-") == o.name || o.short != "" && word == "-"+o.short {
			return o, true
		}
	}
	return option{}, false
}

func (c *call) badOption(name, value string) error {
	if c.verb != nil && c.verb.secret && !c.isOption(name) {
		name, value = secret.Mask, "no option; what begins with a dash and is none stands behind --"
	}
	return c.invalid(exitUsage, "Invalid options for this command:\n%s : %s", name, value)
}
