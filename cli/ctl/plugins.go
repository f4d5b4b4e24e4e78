package ctl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

func pluginVerbs() []verb {
	const group, health = "Plugin Management", "Monitoring, observability and health checks"
	short := func(o option, letter string) option { o.short = letter; return o }
	online := []option{own("offline", ""), own("online", ""), own("all", "")}
	changing := func(name, what string, min int) verb {
		return verb{
			name: name, tools: plugins, group: group, short: what, min: 0, max: -1, options: online,
			usage: "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
			check: func(c *call) error {
				if len(c.args) < min && !c.is("all") {
					return c.invalid(exitUsage, "not enough arguments.")
				}
				return nil
			},
			run: (*call).changePlugins,
		}
	}
	return []verb{
		{
			name: "list", tools: plugins, group: group, short: "Lists plugins and their state", max: 1, timeout: listTime,
			usage: "[<pattern>] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]",
			options: []option{
				short(own("verbose", ""), "v"), short(own("minimal", ""), "m"), short(own("enabled", ""), "E"), short(own("implicitly-enabled", ""), "e"),
			},
			check: func(c *call) error {
				if _, err := regexp.Compile(c.pluginPattern()); err != nil {
					return c.invalid(exitData, "Bad argument: %v", err)
				}
				return nil
			},
			banner: func(c *call) string { return fmt.Sprintf("Listing plugins with pattern \"%s\" ...", c.pluginPattern()) },
			run:    (*call).listPlugins,
		},
		changing("enable", "Enables one or more plugins", 1),
		changing("disable", "Disables one or more plugins", 1),
		changing("set", "Enables one or more plugins, disables the rest", 0),
		{
			name: "is_enabled", tools: plugins, group: health, min: 1, max: -1, usage: "<plugin1> [ <plugin2>]",
			short: "Health check that exits with a non-zero code if provided plugins are not enabled on target node",
			banner: func(c *call) string {
				noun, verb := pluralOf(c.args)
				return fmt.Sprintf("Asking node %s if %s %s %s enabled...", c.self.Node, noun, strings.Join(c.args, ", "), verb)
			},
			run: (*call).pluginsEnabled,
		},
		{
			name: "directories", tools: plugins, group: health, short: "Displays plugin directory and enabled plugin file paths",
			banner: func(c *call) string { return fmt.Sprintf("Listing plugin directories used by node %s", c.self.Node) },
			run: func(c *call) error {
				const none = "(none: everything is built in)"
				fmt.Fprintf(c.w.Stdout, "Plugin archives directory: %s\nPlugin expansion directory: %s\nEnabled plugins file: %s\n", none, none, none)
				return nil
			},
		},
	}
}

func pluralOf(of []string) (noun, verb string) {
	if len(of) == 1 {
		return "plugin", "is"
	}
	return "plugins", "are"
}

func (c *call) pluginPattern() string {
	if len(c.args) > 0 {
		return c.args[0]
	}
	return ".*"
}

// allPlugins returns the plugins that are known, and the names of those built.
func (c *call) allPlugins() (all []client.Plugin, built []string, err error) {
	for p, err := range c.node.Plugins(c.ctx, client.PluginsQuery{}) {
		if err != nil {
			return nil, nil, err
		}
		all = append(all, p)
		if p.Built {
			built = append(built, p.Name)
		}
	}
	return all, built, nil
}

func (c *call) listPlugins() error {
	all, _, err := c.allPlugins()
	if err != nil {
		return err
	}
	pattern := regexp.MustCompile(c.pluginPattern())
	all = slices.DeleteFunc(all, func(p client.Plugin) bool {
		return !pattern.MatchString(p.Name) || !p.Built && (c.is("enabled") || c.is("implicitly-enabled"))
	})
	switch {
	case c.machine():
		c.pluginsForPrograms(all)
	case c.is("minimal") || c.silent:
		for _, p := range all {
			fmt.Fprintln(c.w.Stdout, p.Name)
		}
	default:
		c.pluginTable(all)
	}
	return nil
}

func (c *call) pluginTable(all []client.Plugin) {
	width := 0
	for _, p := range all {
		width = max(width, len(p.Name))
	}
	if !c.quiet {
		fmt.Fprintf(c.w.Stdout, " Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running on %s\n |/\n", c.self.Node)
	}
	for _, p := range all {
		mark := "[  ]"
		if p.Built {
			mark = "[E*]"
		}
		if !c.is("verbose") {
			fmt.Fprintf(c.w.Stdout, "%s %-*s %s\n", mark, width, p.Name, c.self.Version)
			continue
		}
		fmt.Fprintf(c.w.Stdout, "%s %s\n     Version:     \t%s\n     Dependencies:\t[]\n     Description: \t%s\n", mark, p.Name, c.self.Version, p.Description)
		if !p.Built {
			fmt.Fprintf(c.w.Stdout, "     Not built:   \t%s\n", p.Why)
		}
	}
}

func (c *call) pluginsForPrograms(all []client.Plugin) {
	var out terms
	for _, p := range all {
		enabled, running := "not_enabled", any(nil)
		if p.Built {
			enabled, running = "enabled", c.self.Version
		}
		out = append(out, pairs{
			{"enabled", atom(enabled)}, {"name", atom(p.Name)}, {"running", p.Built}, {"running_version", running}, {"version", c.self.Version},
		})
	}
	c.form.value(pairs{{"format", atom("normal")}, {"plugins", out}, {"status", atom("running")}})
}

// changePlugins answers enable, disable and set. There is nothing to change:
// what is built is enabled, and stays so.
func (c *call) changePlugins() error {
	disabling := c.verb.name == "disable"
	doing := "Enabling"
	if disabling {
		doing = "Disabling"
	}
	if c.is("all") {
		c.banner("%s ALL plugins on node %s", doing, c.self.Node)
	} else {
		c.banner("%s plugins on node %s:", doing, c.self.Node)
		for _, name := range c.args {
			c.banner("%s", name)
		}
	}
	all, built, err := c.allPlugins()
	if err != nil {
		return err
	}
	if err := c.missingPlugins(all, built); err != nil && !disabling {
		return err
	}
	if !c.silent {
		fmt.Fprintf(c.w.Stdout, "The following plugins have been configured:\n  %s\nApplying plugin configuration to %s...\nPlugin configuration unchanged.\n",
			strings.Join(built, "\n  "), c.self.Node)
	}
	if disabling || c.verb.name == "set" {
		fmt.Fprintln(c.w.Stderr, "everything is built in: no plugin can be disabled")
	}
	return nil
}

// missingPlugins says which of the arguments this version does not have.
func (c *call) missingPlugins(all []client.Plugin, built []string) error {
	var missing, why []string
	for _, name := range c.args {
		if slices.Contains(built, name) {
			continue
		}
		missing = append(missing, ":"+name)
		for _, p := range all {
			if p.Name == name {
				why = append(why, fmt.Sprintf("%s: %s", name, p.Why))
			}
		}
	}
	if missing == nil {
		return nil
	}
	return c.failed(exitSoftware, "%s", strings.Join(append([]string{"{:plugins_not_found, [" + strings.Join(missing, ", ") + "]}"}, why...), "\n"))
}

func (c *call) pluginsEnabled() error {
	_, built, err := c.allPlugins()
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range c.args {
		if !slices.Contains(built, name) {
			missing = append(missing, name)
		}
	}
	upper := func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
	if len(missing) > 0 {
		noun, verb := pluralOf(missing)
		return c.failed(exitUnavailable, "%s %s %s not enabled on node %s. Enabled plugins and dependencies: %s",
			upper(noun), strings.Join(missing, ", "), verb, c.self.Node, strings.Join(built, ", "))
	}
	noun, verb := pluralOf(c.args)
	c.say("%s %s %s enabled on node %s", upper(noun), strings.Join(c.args, ", "), verb, c.self.Node)
	return nil
}
