package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/cli/ctl"
	"github.com/warrenmq/warren/config"
)

// errSaid ends a command that has said itself what there is to say.
var errSaid = errors.New("")

// ctlCmd returns the operator's verbs as a command with a name. They take their
// command line apart themselves: as RabbitMQ's tools do, not as ours.
func (a *App) ctlCmd(name, tool string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: "Ask and order a running node, as rabbitmqctl does",
		DisableFlagParsing: true, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, args []string) error {
			code := ctl.Main(c.Context(), ctl.World{
				Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, Getenv: a.Getenv, Now: a.Now, Alive: ctl.Alive,
				Version: a.Version, DataDir: config.DefaultDataDir,
				Names: client.Names{Dir: client.NamesDir(a.Getenv), Alive: ctl.Alive},
			}, tool, args)
			if code != exitOK {
				return &coded{code, errSaid}
			}
			return nil
		},
	}
}

// ctlCmds are the verbs as they are known below warren.
func (a *App) ctlCmds() []*cobra.Command {
	cmds := []*cobra.Command{a.ctlCmd("ctl", "warren ctl")}
	for _, tool := range ctl.Tools() {
		c := a.ctlCmd(tool, tool)
		c.Hidden = true // "ctl" shows the way
		cmds = append(cmds, c)
	}
	return cmds
}
