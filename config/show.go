package config

import (
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// An Entry is one line of the effective configuration.
type Entry struct {
	Key, Value string
	// Origin tells where the value came from.
	Origin string
}

// Entries returns the effective configuration in the table's order.
func (c *Config) Entries() []Entry {
	var out []Entry
	for _, k := range keys() {
		origin := c.origins[k.Name]
		if origin == "" {
			origin = "default"
		}
		out = append(out, Entry{k.Name, k.get(c), origin})
	}
	return out
}

// Show writes the effective tree as a file that Load reads again, each value
// with where it came from.
func (c *Config) Show() string {
	var b strings.Builder
	section := ""
	for _, e := range c.Entries() {
		name, indent := e.Key, ""
		if s, rest, nested := strings.Cut(e.Key, "."); nested {
			if s != section {
				fmt.Fprintf(&b, "%s:\n", s)
			}
			section, name, indent = s, rest, "  "
		}
		line := fmt.Sprintf("%s%s: %s", indent, name, scalar(e.Value))
		fmt.Fprintf(&b, "%-44s # %s\n", line, e.Origin)
	}
	return b.String()
}

// scalar writes a value so that parse reads the same text: plainly if it can.
func scalar(v string) string {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte("k: "+v+" # comment"), &doc); err == nil {
		if m := doc.Content[0]; m.Kind == yaml.MappingNode && len(m.Content) == 2 {
			if n := m.Content[1]; n.Kind == yaml.ScalarNode && n.Tag != "!!null" && n.Value == v {
				return v
			}
		}
	}
	return strconv.Quote(v)
}

// Markdown is docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("\n| key | value | default | what it does |\n|---|---|---|---|\n")
	for _, k := range keys() {
		def := k.Derived
		switch {
		case k.Default != "":
			def = "`" + k.Default + "`"
		case def == "":
			def = "none"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Kind, def, k.Doc)
	}
	return b.String()
}

const head = `# Configuration

<!-- Made from the table in config/keys.go by: go test ./config -run TestDocument -rewrite -->

` + "`warren serve --config warren.yaml`" + ` reads a YAML file; a dot in a key is a section of
the file. Every key can be overridden with ` + "`--set KEY=VALUE`" + `, which is also how every limit
is raised. An unknown key, or one given twice, is an error that names the line.
` + "`warren config show`" + ` prints the effective values and where each came from.

` + "```yaml" + `
data: /var/lib/warren
listen:
  amqp: 0.0.0.0:5672
memory:
  budget: 2GiB
limits:
  max_connections: 20000
` + "```" + `

Sizes are written as 64KiB, 256MiB or 2GiB, durations as 500ms, 10s or 2m. The address of a
listener is HOST:PORT, a port alone (the host is then that of ` + "`bind`" + `), ` + "`on`" + ` or ` + "`off`" + `;
port 0 takes a free one, and ` + "`DIR/ports.json`" + ` tells which. Options of the listener may follow,
as ` + "`0.0.0.0:5672?maximumConnections=1000`" + ` ([listeners](listeners.md)).
`
