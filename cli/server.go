package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/config"
)

// serverName is the program that starts a node of RabbitMQ's.
const serverName = "rabbitmq-server"

const (
	// detachTime is how long a process in the background may take to have a node
	// that serves, before it is said that it is not there yet.
	detachTime = 20 * time.Second
	// distOffset is how far the port for other nodes is above that for clients.
	distOffset = 20000
)

// serverCmd is `serve` as those start it who know RabbitMQ: by its environment,
// open to other machines, with the port for other nodes.
func (a *App) serverCmd() *cobra.Command {
	var s settings
	var detached, only bool
	c := &cobra.Command{
		Use: serverName + " [-detached]", Short: "Run a node as RabbitMQ's is run", DisableFlagParsing: true,
		Long: "Run a node by the environment that RabbitMQ's users set: RABBITMQ_NODENAME, RABBITMQ_NODE_PORT,\n" +
			"RABBITMQ_NODE_IP_ADDRESS, RABBITMQ_DIST_PORT, RABBITMQ_MNESIA_DIR, RABBITMQ_MNESIA_BASE,\n" +
			"RABBITMQ_CONFIG_FILE, RABBITMQ_LOGS, RABBITMQ_LOG_BASE, RABBITMQ_PID_FILE. The flags of serve win.\n\n" +
			"With -detached the node runs in the background; the command ends when it serves, or has failed.",
		RunE: func(c *cobra.Command, args []string) error {
			args = doubleDash(args)
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				return c.Help()
			}
			if err := c.Flags().Parse(args); err != nil {
				return &coded{exitUsage, err}
			}
			if rest := c.Flags().Args(); len(rest) > 0 {
				return usagef("%s takes no argument, but was given %q", serverName, rest)
			}
			if a.Getenv("RABBITMQ_NODE_ONLY") != "" {
				only = true
			}
			cfg, err := a.serverConfig(&s, c)
			if err != nil {
				return err
			}
			if detached {
				return a.detach(c.Context(), cfg, slices.DeleteFunc(args, func(arg string) bool { return arg == "--detached" }))
			}
			ctx, done := a.interruptible(c.Context())
			defer done()
			return a.serve(ctx, cfg, served{stopped: only, pidFile: a.pidFile(cfg)})
		},
	}
	s.flags(c)
	c.Flags().BoolVar(&detached, "detached", false, "run in the background")
	c.Flags().BoolVar(&only, "node-only", false, "start the process without the node in it (RABBITMQ_NODE_ONLY)")
	return c
}

// doubleDash takes -detached as RabbitMQ's own program does.
func doubleDash(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "-detached" {
			out[i] = "--detached"
		}
	}
	return out
}

// serverConfig makes the configuration of a node that stands for RabbitMQ's.
func (a *App) serverConfig(s *settings, c *cobra.Command) (*config.Config, error) {
	name := cmp.Or(s.name, a.Getenv("RABBITMQ_NODENAME"), "rabbit")
	if !strings.Contains(name, "@") {
		name += "@" + cmp.Or(a.Machine(".").Host, "localhost")
	}
	dist := "on"
	if port, err := strconv.Atoi(a.Getenv("RABBITMQ_NODE_PORT")); err == nil {
		dist = strconv.Itoa(port + distOffset)
	}
	const origin = serverName
	s.defaults = []config.Setting{
		{Key: "name", Value: name, Origin: origin},
		{Key: "data", Value: filepath.Join(a.serverBase(), name), Origin: origin},
		{Key: "bind", Value: "*", Origin: origin},
		{Key: "listen.cluster", Value: dist, Origin: origin},
	}
	if file := a.Getenv("RABBITMQ_CONFIG_FILE"); file != "" && s.config == "" {
		path, err := configFile(file)
		if err != nil {
			return nil, &coded{exitConfig, err}
		}
		s.config = path
	}
	return s.load(a, c)
}

// serverBase is where the data directories of nodes are, by their names.
func (a *App) serverBase() string {
	if base := a.Getenv("RABBITMQ_MNESIA_BASE"); base != "" {
		return base
	}
	if home := a.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "warren")
	}
	return config.DefaultDataDir
}

// configFile finds the file that RABBITMQ_CONFIG_FILE names, which may be written
// without its ending. RabbitMQ's own are refused: a node that passed over what
// they say would look as if it did it.
func configFile(path string) (string, error) {
	for _, ending := range []string{"", ".yaml", ".yml"} {
		if info, err := os.Stat(path + ending); err != nil || info.IsDir() {
			continue
		}
		switch filepath.Ext(path + ending) {
		case ".yaml", ".yml":
			return path + ending, nil
		}
	}
	for _, ending := range []string{"", ".conf", ".config"} {
		if _, err := os.Stat(path + ending); err == nil {
			return "", fmt.Errorf("RABBITMQ_CONFIG_FILE: %s: this version does not read RabbitMQ's configuration; write what it says into a warren.yaml ('warren config show' lists the keys) and name that", path+ending)
		}
	}
	return "", fmt.Errorf("RABBITMQ_CONFIG_FILE: %s: %w", path, fs.ErrNotExist)
}

// writePID has the process number stand in a file until the returned function is
// called.
func writePID(path string) (remove func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, &coded{exitIO, fmt.Errorf("make the directory of the PID file: %w", err)}
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil { //nolint:gosec // others read it
		return nil, &coded{exitIO, fmt.Errorf("write the PID file: %w", err)}
	}
	return func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &coded{exitIO, fmt.Errorf("remove the PID file: %w", err)}
		}
		return nil
	}, nil
}

// pidFile and logFile stand beside the data directory unless the environment says
// where: what is in it may be wiped.
func (a *App) pidFile(cfg *config.Config) string {
	return cmp.Or(a.Getenv("RABBITMQ_PID_FILE"), filepath.Clean(cfg.Node.DataDir)+".pid")
}

func (a *App) logFile(cfg *config.Config) string {
	if file := a.Getenv("RABBITMQ_LOGS"); file != "" && file != "-" {
		return file
	}
	if base := a.Getenv("RABBITMQ_LOG_BASE"); base != "" {
		return filepath.Join(base, cfg.Node.Name+".log")
	}
	return filepath.Clean(cfg.Node.DataDir) + ".log"
}

// detach starts the program again, in the background, and waits until its node
// serves or it has ended.
func (a *App) detach(ctx context.Context, cfg *config.Config, args []string) error {
	self, err := a.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	path := a.logFile(cfg)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return &coded{exitIO, fmt.Errorf("make the directory of the log: %w", err)}
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // the password of a first user may stand in it
	if err != nil {
		return &coded{exitIO, fmt.Errorf("open the log: %w", err)}
	}
	defer func() { _ = log.Close() }() // the process has it
	end, err := log.Seek(0, 2)
	if err != nil {
		return &coded{exitIO, fmt.Errorf("open the log: %w", err)}
	}
	cmd := exec.Command(self, append([]string{serverName}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = a.Environ(), log, log, apart()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", self, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // it outlives this program, or is received from
	return a.awaitDetached(ctx, cfg, background{pid: cmd.Process.Pid, ended: ended, log: path, from: end})
}

// A background is a process that was started and let go.
type background struct {
	pid   int
	ended chan error
	log   string
	from  int64 // where its part of the log begins
}

func (a *App) awaitDetached(ctx context.Context, cfg *config.Config, b background) error {
	node := client.New(cfg.Node.DataDir)
	defer node.Close()
	look, late := time.NewTicker(firstPause), time.NewTimer(detachTime)
	defer look.Stop()
	defer late.Stop()
	why := ""
	for {
		select {
		case err := <-b.ended:
			return b.failure(cfg.Node.Name, err)
		case <-late.C:
			fmt.Fprintf(a.Stdout, "%s: %s is process %d and does not serve yet%s; 'rabbitmqctl await_startup' waits for it, the log is %s\n", serverName, cfg.Node.Name, b.pid, why, b.log)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		id, err := node.Identity(ctx)
		if err != nil || id.PID != b.pid {
			continue
		}
		if id.State == client.AppStarts {
			if l, err := node.Life(ctx, client.LifeQuery{}); err == nil && l.Why != "" {
				why = ": " + l.Why
			}
			continue
		}
		what := "is ready"
		if id.State != "" {
			what = "is " + string(id.State)
		}
		fmt.Fprintf(a.Stdout, "%s: %s %s, process %d, the log is %s\n", serverName, cfg.Node.Name, what, b.pid, b.log)
		return nil
	}
}

// failure is why the process ended: what it wrote last.
func (b *background) failure(name string, err error) error {
	code := exitFailed
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		code = exit.ExitCode()
	}
	text := ""
	if f, oerr := os.Open(b.log); oerr == nil {
		if info, serr := f.Stat(); serr == nil {
			last := make([]byte, min(max(info.Size()-b.from, 0), tailSize))
			if n, rerr := f.ReadAt(last, info.Size()-int64(len(last))); rerr == nil || n > 0 {
				text = strings.TrimSpace(string(last[:n]))
			}
		}
		_ = f.Close() // it was only read
	}
	return &coded{code, fmt.Errorf("%s did not start, its log is %s:\n%s", name, b.log, text)}
}
