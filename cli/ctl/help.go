package ctl

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

func helpVerbs() []verb {
	return []verb{
		{
			name: "help", tools: ctl | diagnostics | plugins | queuesTool | upgradeTool, group: "Help", local: true,
			short: "Displays usage information for a command", usage: "[<command>]", max: 1, run: (*call).runHelp,
		},
		{
			name: "version", tools: ctl | diagnostics | plugins | queuesTool | upgradeTool, group: "Help", local: true,
			short: "Displays CLI tools version", run: func(c *call) error {
				fmt.Fprintln(c.w.Stdout, c.w.Version)
				return nil
			},
		},
	}
}

func (c *call) runHelp() error {
	if len(c.args) == 0 {
		fmt.Fprint(c.w.Stdout, c.overview())
		return nil
	}
	name := c.args[0]
	if c.verb = find(c.tool, name); c.verb == nil {
		return c.unknown(name)
	}
	return c.help()
}

// help prints how the verb is used, or what verbs there are.
func (c *call) help() error {
	if c.verb == nil {
		fmt.Fprint(c.w.Stdout, c.overview())
		return &failure{exitOK, ""}
	}
	fmt.Fprintf(c.w.Stdout, "\nUsage\n\n%s\n\n%s\n", c.usage(), c.verb.short)
	return &failure{exitOK, ""}
}

// overview lists the verbs by their groups.
func (c *call) overview() string {
	t := ctl
	for _, p := range tools() {
		if p.name == c.tool {
			t = p.tool
		}
	}
	c.verb = nil
	var out strings.Builder
	fmt.Fprintf(&out, "\nUsage\n\n%s\n\nAvailable commands:\n", c.usage())
	var groups []string
	for _, v := range verbs() {
		if v.tools&t != 0 && !slices.Contains(groups, v.group) {
			groups = append(groups, v.group)
		}
	}
	w := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s:\n\n", g)
		for _, v := range verbs() {
			if v.tools&t != 0 && v.group == g {
				fmt.Fprintf(w, "   %s\t%s\n", v.name, v.short)
			}
		}
	}
	_ = w.Flush() // to memory
	fmt.Fprintf(&out, "\nUse '%s help <command>' to learn more about a specific command\n", c.tool)
	return out.String()
}

// noVerb is for a command line without one.
func (c *call) noVerb() error {
	return &failure{exitUsage, c.overview()}
}

// unknown says that there is no such verb, and which may be meant.
func (c *call) unknown(name string) error {
	text := fmt.Sprintf("\nCommand '%s' not found. \n", name)
	best, least := "", 4
	for _, v := range verbs() {
		if d := distance(name, v.name); d < least && find(c.tool, v.name) != nil {
			best, least = v.name, d
		}
	}
	if best != "" {
		return &failure{exitUsage, text + fmt.Sprintf("Did you mean '%s'? \n", best)}
	}
	return &failure{exitUsage, text + c.overview()}
}

// distance counts the letters to change from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
