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

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/app"
	"github.com/warrenmq/warren/cli/ctl"
	"github.com/warrenmq/warren/config"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/node"
)

func (a *App) serveCmd() *cobra.Command {
	var s settings
	var tied, only bool
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
			return a.serve(ctx, cfg, served{stopped: only})
		},
	}
	s.flags(c)
	c.Flags().BoolVar(&only, "node-only", false, "start the process without the node in it, for 'rabbitmqctl start_app' or join_cluster")
	c.Flags().BoolVar(&tied, "until-stdin-closes", false, "stop when standard input ends")
	_ = c.Flags().MarkHidden("until-stdin-closes") // fails only for a flag that is not there
	return c
}

// served is how a node is served besides its configuration.
type served struct {
	stopped bool   // for start_app to start it
	pidFile string // with the process number; may be empty
}

// serve keeps a process with a node until ctx ends, or an operator ends it.
func (a *App) serve(ctx context.Context, cfg *config.Config, how served) (err error) {
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
	p, err := a.newProcess(ctx, app.Options{
		Node: o, Stopped: how.stopped,
		New:   func(o node.Options) (app.Node, error) { return a.NewNode(o) },
		Names: client.Names{Dir: client.NamesDir(a.Getenv), Alive: ctl.Alive},
		Up: func(addrs map[string]string) error {
			if err := writePorts(o.DataDir, addrs); err != nil {
				return err
			}
			fmt.Fprintln(a.Stdout, readyLine(cfg, addrs))
			return nil
		},
		Down: func() error { return removePorts(o.DataDir) },
	})
	if err != nil {
		return err
	}
	// From here on the directory is ours: New holds its lock.
	if err := removePorts(o.DataDir); err != nil {
		return errors.Join(err, p.Close())
	}
	removePID, err := writePID(how.pidFile)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	defer func() { err = errors.Join(err, removePID()) }()
	if how.stopped {
		fmt.Fprintf(a.Stdout, "warren: %s is stopped in its process: start it with 'rabbitmqctl start_app', data in %s\n", o.Name, o.DataDir)
	}
	if err := p.Run(ctx); err != nil {
		return howToReturn(err)
	}
	log.Info("process stopped")
	return nil
}

// howToReturn adds what to do about a node that its cluster has removed.
func howToReturn(err error) error {
	if !errors.Is(err, node.ErrForgotten) {
		return err
	}
	return fmt.Errorf("%w\nStart it with --node-only. %s", err, app.HowToReturn)
}

// announce tells the password of a user made just now. It is said nowhere else:
// what is logged is kept, and read by many.
func (a *App) announce(user string, password secret.String) {
	fmt.Fprintf(a.Stderr, "warren: made the user %q with the password %s\nwarren: this is the only time it is shown; change it once you have logged in\n", user, password.Reveal())
}

// newProcess waits a moment for a directory that is in use: a node that was
// killed holds it until the system is done with its process.
func (a *App) newProcess(ctx context.Context, o app.Options) (*app.Process, error) {
	patience := time.NewTimer(a.LockPatience)
	defer patience.Stop()
	for {
		p, err := app.New(o)
		if !errors.Is(err, node.ErrLocked) {
			return p, err
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
