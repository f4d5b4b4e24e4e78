package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/config"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/node"
)

func (a *App) serveCmd() *cobra.Command {
	var s settings
	var tied bool
	c := &cobra.Command{
		Use: "serve", Short: "Run a node", Args: noArgs,
		Long: "Run a node until SIGINT or SIGTERM; a second signal ends it at once.\n\n" +
			"Listeners are open to this machine only, unless --bind or an address says otherwise.\n" +
			"The bound addresses are in DIR/ports.json.",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := s.load(a, c)
			if err != nil {
				return err
			}
			ctx, done := a.interruptible(c.Context())
			defer done()
			if tied {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				defer cancel()
				go func() { // ends with the program, which its reader cannot be told
					_, _ = io.Copy(io.Discard, a.Stdin)
					cancel()
				}()
			}
			return a.serve(ctx, cfg)
		},
	}
	s.flags(c)
	c.Flags().BoolVar(&tied, "until-stdin-closes", false, "stop when standard input ends")
	_ = c.Flags().MarkHidden("until-stdin-closes") // fails only for a flag that is not there
	return c
}

// serve runs a node until ctx ends. One that lost the majority of its cluster
// starts again, and serves when it has found it.
func (a *App) serve(ctx context.Context, cfg *config.Config) error {
	for {
		err := a.serveLife(ctx, cfg)
		if !errors.Is(err, node.ErrMinority) || ctx.Err() != nil {
			return err
		}
	}
}

// serveLife runs one life of a node.
func (a *App) serveLife(ctx context.Context, cfg *config.Config) error {
	log := a.logger(cfg).With("node", cfg.Node.Name)
	for _, proto := range cfg.NotServed {
		log.Warn("listener is not opened, this version does not serve it yet", "proto", proto)
	}
	if a.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.GoMemoryLimit())
	}
	o := cfg.Node
	o.Logger = log
	o.Settings, o.ConfigFiles = shown(cfg)
	o.Announce = a.announce
	n, err := a.newNode(ctx, o)
	if err != nil {
		return err
	}
	// From here on the directory is ours: New holds its lock.
	if err := removePorts(o.DataDir); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-n.Ready():
	}
	pin(cfg, n.Addrs())
	if err := writePorts(o.DataDir, n.Addrs()); err != nil {
		cancel()
		return errors.Join(err, <-ended)
	}
	fmt.Fprintln(a.Stdout, readyLine(cfg, n.Addrs()))
	err = <-ended
	if rerr := removePorts(o.DataDir); err == nil {
		err = rerr
	}
	if err == nil {
		log.Info("node stopped")
	}
	return err
}

// pin keeps the ports that a node was given for its next life: its clients and
// the other nodes know them.
func pin(cfg *config.Config, addrs map[string]string) {
	for i := range cfg.Node.Listen {
		if a, ok := addrs[cfg.Node.Listen[i].Protocol]; ok && strings.HasSuffix(cfg.Node.Listen[i].Addr, ":0") {
			cfg.Node.Listen[i].Addr = a
		}
	}
	if a, ok := addrs["cluster"]; ok {
		cfg.Node.Cluster.Addr = a
	}
}

// announce tells the password of a user made just now. It is said nowhere else:
// what is logged is kept, and read by many.
func (a *App) announce(user string, password secret.String) {
	fmt.Fprintf(a.Stderr, "warren: made the user %q with the password %s\nwarren: this is the only time it is shown; change it once you have logged in\n", user, password.Reveal())
}

// newNode waits a moment for a directory that is in use: a node that was killed
// holds it until the system is done with its process.
func (a *App) newNode(ctx context.Context, o node.Options) (Node, error) {
	patience := time.NewTimer(a.LockPatience)
	defer patience.Stop()
	for {
		n, err := a.NewNode(o)
		if !errors.Is(err, node.ErrLocked) {
			return n, err
		}
		select {
		case <-time.After(firstPause):
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// readyLine is the one line that says everything.
func readyLine(cfg *config.Config, addrs map[string]string) string {
	var open []string
	for _, proto := range slices.Sorted(maps.Keys(addrs)) {
		open = append(open, proto+" "+addrs[proto])
	}
	reach := "this machine only; open it with --bind"
	if cfg.Beyond() {
		reach = "open to other machines"
	}
	return fmt.Sprintf("warren: %s is ready: %s (%s), data in %s", cfg.Node.Name, strings.Join(open, ", "), reach, cfg.Node.DataDir)
}

func (a *App) logger(cfg *config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // the configuration allows its four words only
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.Stderr, o))
}

// shown is the configuration as operators ask a running node for it.
func shown(cfg *config.Config) (all []node.Setting, files []string) {
	for _, e := range cfg.Entries() {
		all = append(all, node.Setting(e))
		file, line, ok := strings.Cut(e.Origin, ":")
		if _, err := strconv.Atoi(line); ok && err == nil && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return all, files
}
