package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/cli/ctl"
	"github.com/warrenmq/warren/config"
	"github.com/warrenmq/warren/node"
)

// settings are the flags of serve that end up in the configuration.
type settings struct {
	config, data, name, bind, cookie string
	portOffset                       int
	clusterName                      string
	listen, set, join, peers         []string
	// defaults are what a program that stands for another begins with.
	defaults []config.Setting
}

func (s *settings) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.config, "config", "", "read warren.yaml from `FILE`")
	f.StringVar(&s.data, "data", "", "data `DIR`ectory (default "+config.DefaultDataDir+")")
	f.StringVar(&s.name, "name", "", "node `NAME`, as rabbit@node-01 (default warren@ and the host's name)")
	f.StringVar(&s.bind, "bind", "", "`HOST` to listen on; * for all addresses (default 127.0.0.1)")
	f.IntVar(&s.portOffset, "port-offset", 0, "add `N` to every port that is not given")
	f.StringArrayVar(&s.listen, "listen", nil, "open `PROTO=ADDR`, or PROTO=off; port 0 takes a free one; repeatable")
	f.StringArrayVar(&s.set, "set", nil, "override `KEY=VALUE` of the configuration; repeatable")
	f.StringVar(&s.cookie, "cookie-file", "", "`FILE` with the secret that admits nodes to a cluster")
	f.StringSliceVar(&s.peers, "peers", nil, "all `NODES` of the cluster, this one too, as rabbit@node-01,rabbit@node-02 or HOST:PORT: fresh ones found it together")
	f.StringVar(&s.clusterName, "cluster-name", "", "`NAME` of a cluster whose nodes find each other by multicast; needs --set cluster.size=N")
	f.StringArrayVar(&s.join, "join", nil, "`ADDR` of a node whose cluster to join, as node-01:25672, or its name; repeatable")
}

// load makes the configuration that the flags ask for.
func (s *settings) load(a *App, c *cobra.Command) (*config.Config, error) {
	in := config.Input{Defaults: s.defaults, Env: config.Environment(a.Getenv), Sets: s.set}
	if s.config != "" {
		text, err := os.ReadFile(s.config)
		if err != nil {
			return nil, &coded{exitConfig, fmt.Errorf("read the configuration: %w", err)}
		}
		in.File, in.Text = s.config, text
	}
	given := map[string]string{"data": s.data, "name": s.name, "bind": s.bind, "cookie-file": s.cookie, "port-offset": strconv.Itoa(s.portOffset)}
	for flag, key := range map[string]string{"data": "data", "name": "name", "bind": "bind", "port-offset": "port_offset", "cookie-file": "cluster.cookie_file"} {
		if c.Flags().Changed(flag) {
			in.Flags = append(in.Flags, config.Setting{Key: key, Value: given[flag], Origin: "--" + flag})
		}
	}
	if len(s.peers) > 0 {
		in.Flags = append(in.Flags, config.Setting{Key: "cluster.peers", Value: strings.Join(s.peers, ","), Origin: "--peers"})
	}
	if s.clusterName != "" {
		in.Flags = append(in.Flags, config.Setting{Key: "cluster.name", Value: s.clusterName, Origin: "--cluster-name"})
	}
	if len(s.join) > 0 {
		in.Flags = append(in.Flags, config.Setting{Key: "cluster.join", Value: strings.Join(s.join, ","), Origin: "--join"})
	}
	for _, l := range s.listen {
		proto, addr, ok := strings.Cut(l, "=")
		if !ok || addr == "" {
			return nil, usagef("--listen %s: must be PROTO=ADDR or PROTO=off, as amqp=127.0.0.1:5672", l)
		}
		in.Flags = append(in.Flags, config.Setting{Key: "listen." + proto, Value: addr, Origin: "--listen"})
	}
	// The sizes follow the disk of the data directory, which the file may name:
	// read once without a machine to learn it.
	first, err := config.Load(in)
	if err != nil {
		return nil, &coded{exitConfig, err}
	}
	in.Machine = a.Machine(first.Node.DataDir)
	cfg, err := config.Load(in)
	if err != nil {
		return nil, &coded{exitConfig, err}
	}
	cfg.Node.Version = a.Version
	cfg.Node.Cluster.Home = a.Getenv("HOME")
	if dir := client.NamesDir(a.Getenv); dir != "" {
		cfg.Node.Cluster.Forming.Registry = node.Registry{Dir: filepath.Join(dir, "cluster"), Alive: ctl.Alive}
	}
	return cfg, nil
}
