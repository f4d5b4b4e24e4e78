// Package config is the shape of warren.yaml and nothing else. It reads the
// file, the --set overrides and the flags, puts defaults under them, derives the
// sizes from the machine, reports every fault at once, and builds the Options
// that node wants. No socket is opened before all of that is done.
//
// There is one table of keys (keys.go). The parser, the validation, the
// effective tree of `warren config show` and docs/configuration.md are all made
// from it. The package starts no goroutine and looks at no clock; what it needs
// of the machine is handed in as a Machine.
package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/node"
)

// DefaultDataDir is where data goes unless told.
const DefaultDataDir = "./warren-data"

// Config is everything that can be configured.
type Config struct {
	// Node are the options of the node that the keys fill in directly.
	Node node.Options
	// Bind is the host of every listener whose address names none.
	Bind string
	// PortOffset is added to the port of every listener whose address names none.
	PortOffset int
	// Listen is, for each protocol, an address, "on", "off" or "" (its default).
	Listen map[string]string
	// LogLevel is debug, info, warn or error; LogFormat text or json.
	LogLevel, LogFormat string

	// OtherType is what a declaration gets of a queue of another type: tolerated or
	// refused.
	OtherType string
	// ShortCookie is whether a cluster's secret may be guessed: refused or allowed.
	ShortCookie string

	// NotServed are the listeners that were asked for and come in a later version:
	// to be said once at start.
	NotServed []string

	machine Machine
	origins map[string]string // key to where its value came from
}

// A Setting is one value given by somebody.
type Setting struct {
	Key, Value string
	// Origin names where it was given, as "warren.yaml:3" or "--data".
	Origin string
}

// Input is what a configuration is made from. Later parts override earlier ones.
type Input struct {
	Machine Machine
	// Defaults are the settings of a program that stands for another: everything
	// else overrides them.
	Defaults []Setting
	// File and Text are the configuration file, if there is one.
	File string
	Text []byte
	// Env are the settings of Environment.
	Env []Setting
	// Sets are the KEY=VALUE of --set.
	Sets []string
	// Flags are the program's own flags.
	Flags []Setting
}

// Load makes a configuration, or reports all that is wrong with the input.
func Load(in Input) (*Config, error) {
	c := &Config{Listen: map[string]string{}, machine: in.Machine, origins: map[string]string{}}
	table := keys()
	var faults []error
	settings, err := parse(in.File, in.Text)
	if err != nil {
		faults = append(faults, err)
	}
	settings = slices.Concat(in.Defaults, settings, in.Env)
	for _, s := range in.Sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			faults = append(faults, fmt.Errorf("--set %s: must be KEY=VALUE", s))
			continue
		}
		settings = append(settings, Setting{strings.TrimSpace(key), strings.TrimSpace(value), "--set"})
	}
	var theirs formation
	for _, s := range append(settings, in.Flags...) {
		taken, err := theirs.set(s)
		if !taken {
			err = c.apply(table, s)
		}
		faults = append(faults, err)
	}
	faults = append(faults, theirs.settle(c, table))
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c.fill(table)
	c.derive()
	c.Node.StrictQueueType = c.OtherType == "refused"
	c.Node.Cluster.ShortCookie = c.ShortCookie == "allowed"
	if err := errors.Join(c.resolve(), c.Node.Validate()); err != nil {
		return nil, err
	}
	if len(c.Node.Listen) == 0 {
		return nil, errors.New("every listener is off: open at least one, as --listen amqp=127.0.0.1:5672")
	}
	return c, nil
}

// apply sets one key.
func (c *Config) apply(table []Key, s Setting) error {
	k, ok := find(table, s.Key)
	if !ok {
		err := fmt.Errorf("%s: unknown key %q", s.Origin, s.Key)
		if near := nearest(table, s.Key); near != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, near)
		}
		return err
	}
	if err := k.set(c, s.Value); err != nil {
		return fmt.Errorf("%s: %s: %w", s.Origin, s.Key, err)
	}
	c.origins[s.Key] = s.Origin
	return nil
}

// fill gives every key that nobody set its fixed default.
func (c *Config) fill(table []Key) {
	for _, k := range table {
		if c.origins[k.Name] != "" || k.Default == "" {
			continue
		}
		if err := k.set(c, k.Default); err != nil {
			panic(fmt.Sprintf("config: the default of %s: %v", k.Name, err)) // the table is wrong
		}
		c.origins[k.Name] = "default"
	}
}

// resolve turns the listen settings into addresses.
func (c *Config) resolve() error {
	var faults []error
	for _, p := range node.Protocols() {
		value := c.Listen[p.Name]
		explicit := value != "" && value != "off"
		if p.Name == protoCluster && c.origins["listen.cluster"] == "default" && c.clustered() {
			value = "" // what is to meet others needs it
		}
		switch {
		case value == "off" || !explicit && !p.ByDefault && !(p.Name == protoCluster && c.clustered()):
			c.Listen[p.Name] = "off"
			continue
		case !p.Serves && tolerated(p.Name):
			c.NotServed = append(c.NotServed, p.Name)
			continue
		}
		l, err := c.listen(p, value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: listen.%s: %w", c.origins["listen."+p.Name], p.Name, err))
			continue
		}
		c.Listen[p.Name] = listenText(l)
		if p.Name == protoCluster {
			c.Node.Cluster.Addr = l.Addr
			continue
		}
		c.Node.Listen = append(c.Node.Listen, l)
	}
	return errors.Join(faults...)
}

// protoCluster is the port for other nodes, which no client speaks to.
const protoCluster = "cluster"

// clustered tells whether anything says that the node is to meet others. That it
// has a cookie does not: there is one for tools, too.
func (c *Config) clustered() bool {
	x := &c.Node.Cluster
	return len(x.Join) > 0 || len(x.Forming.Peers) > 0 || x.Forming.DNS != "" || x.Forming.Name != "" || x.Advertise != ""
}

// tolerated names the protocols that scripts written for later versions open:
// the node starts without them.
func tolerated(protocol string) bool {
	switch protocol {
	case "mqtt", "stomp":
		return true
	}
	return false
}

// listen reads an address with its options behind a question mark.
func (c *Config) listen(p node.Protocol, value string) (l node.Listen, err error) {
	addr, options, _ := strings.Cut(value, "?")
	if l, err = parseListenOptions(options); err != nil {
		return l, err
	}
	l.Protocol = p.Name
	l.Addr, err = c.address(p, addr)
	return l, err
}

// address completes what a listen setting says.
func (c *Config) address(p node.Protocol, value string) (string, error) {
	if !p.Serves {
		return "", errors.New("this version does not serve it yet; it comes in a later release")
	}
	if value == "" || value == "on" {
		if p.Port == 0 {
			return "", errors.New("has no usual port: give an address, as 127.0.0.1:5670")
		}
		return join(c.Bind, p.Port+c.PortOffset)
	}
	if !strings.Contains(value, ":") {
		value = ":" + value // a bare port
	}
	a, err := node.SplitAddr(value)
	if err != nil {
		return "", err
	}
	if a.Host == "" {
		a.Host = c.Bind
	}
	if a.Host == "*" {
		a.Host = ""
	}
	return join(a.Host, int(a.Port))
}

// Beyond tells whether any listener can be reached from another machine.
func (c *Config) Beyond() bool {
	for _, l := range c.Node.Listen {
		if a, err := node.SplitAddr(l.Addr); err == nil && !a.Loopback() {
			return true
		}
	}
	return false
}
