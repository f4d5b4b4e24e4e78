// Package cli is the command line: one file per verb group, each verb a function
// from flags to the packages below. It owns flags, output and exit codes, and
// decides nothing about messages.
//
// Everything a verb touches outside its arguments (streams, environment, clock,
// brokers, nodes, the program's own file) is in an App, so that tests run the
// verbs as they are. Goroutines that a verb starts have ended when it returns.
package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/cli/ctl"
	"github.com/warrenmq/warren/config"
	"github.com/warrenmq/warren/node"
)

// A Node is what serve runs.
type Node interface {
	Run(ctx context.Context) error
	// Ready is closed when every listener is open.
	Ready() <-chan struct{}
	// Addrs are the bound addresses by protocol, once Ready.
	Addrs() map[string]string
}

// An App is the program and the world around it.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// Executable is the program's own file; demo starts it again.
	Executable func() (string, error)
	// Environ is what a started program gets.
	Environ func() []string
	// Machine describes the machine for a data directory.
	Machine func(dataDir string) config.Machine
	NewNode func(node.Options) (Node, error)
	// PlanRecovery and Recover are node's.
	PlanRecovery func(context.Context, node.Options) (*node.Recovery, error)
	Recover      func(context.Context, node.Options, []string) (*node.Recovery, error)
	// LockPatience is how long serve waits for a data directory in use.
	LockPatience time.Duration
	Dial         dialFunc
	// Interrupts delivers the user's wish to end, once per signal.
	Interrupts func() (signals <-chan os.Signal, stop func())
	Now        func() time.Time
	NewID      func() string // a text that nobody else makes
	Version    string
}

// System is the App of this machine.
func System() *App {
	return &App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ, Executable: os.Executable,
		Machine:      readMachine,
		NewNode:      func(o node.Options) (Node, error) { return node.New(o) },
		PlanRecovery: node.PlanRecovery, Recover: node.Recover,
		Dial: dialAMQP,

		LockPatience: 5 * time.Second,
		Interrupts: func() (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 2)
			signal.Notify(c, os.Interrupt, syscall.SIGTERM)
			return c, func() { signal.Stop(c) }
		},
		Now:     time.Now,
		NewID:   rand.Text,
		Version: buildVersion(),
	}
}

// Main runs the command line args, args[0] being the program's name, and returns
// the exit code.
func (a *App) Main(args []string) int {
	root, ok := a.personality(args[0])
	if !ok {
		root = a.root()
	}
	root.SetArgs(straightDashes(args[1:]))
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	err := root.ExecuteContext(context.Background())
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(a.Stderr, "%s: %s\n", root.Name(), strings.TrimSuffix(line, "\n"))
		}
		var c *coded
		if errors.As(err, &c) && c.code == exitUsage {
			fmt.Fprintf(a.Stderr, "%s: see %q\n", root.Name(), root.Name()+" help")
		}
	}
	return exitCode(err)
}

// personality returns the command that a name of the program stands for: an
// operator who types the name of a tool he knows gets that tool. A name that
// stands for none is warren itself.
func (a *App) personality(argv0 string) (*cobra.Command, bool) {
	verbs, ok := personalities()[strings.TrimSuffix(filepath.Base(argv0), ".exe")]
	if !ok {
		return nil, false
	}
	return verbs(a), true
}

// personalities are the names the program answers to besides its own.
func personalities() map[string]func(*App) *cobra.Command {
	names := map[string]func(*App) *cobra.Command{}
	for _, tool := range ctl.Tools() {
		names[tool] = func(a *App) *cobra.Command { return a.ctlCmd(tool, tool) }
	}
	names[serverName] = (*App).serverCmd
	return names
}

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:                        "warren",
		Short:                      "A clustered message broker",
		Long:                       "Warren is a clustered message broker in one binary.\n\nTry it:  warren demo\nUse it:  warren serve",
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		Args:                       noVerb,
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &coded{exitUsage, err} })
	root.AddCommand(a.ctlCmds()...)
	root.AddCommand(a.serveCmd(), a.serverCmd(), a.demoCmd(), a.clusterCmd(), a.producerCmd(), a.consumerCmd(), a.perfCmd(), a.statusCmd(), a.recoverCmd(), a.repairCmd(), a.backupCmd(), a.restoreCmd(), a.configCmd(), a.versionCmd())
	return root
}

// noVerb refuses arguments that are no verb, with the verb they may have meant.
func noVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	msg := fmt.Sprintf("unknown command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		msg += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usagef("%s", msg)
}

// noArgs is for verbs that take flags only.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, but was given %q", c.CommandPath(), args[0])
	}
	return nil
}

// interruptible returns a context that the first signal ends. The second ends
// the program.
func (a *App) interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals, stop := a.Interrupts()
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() { stop(); close(done); <-ended; cancel() }
}

// straightDashes undoes what word processors do to the dashes of a recipe:
// "–count", "—count" and "-—count" all mean "--count".
func straightDashes(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		name := strings.TrimLeft(arg, "-–—")
		if dashes := arg[:len(arg)-len(name)]; name != "" && strings.ContainsAny(dashes, "–—") {
			out[i] = "--" + name
		}
	}
	return out
}
