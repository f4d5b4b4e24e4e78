package cli

import (
	"io"

	"github.com/spf13/cobra"
)

func (a *App) configCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Look at the configuration", Args: noVerb,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var s settings
	show := &cobra.Command{
		Use: "show", Short: "Print the effective configuration and where each value came from", Args: noArgs,
		Long: "Print the configuration that serve would use with the same flags, as a file\nthat it reads, each value with where it came from.",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := s.load(a, c)
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.Stdout, cfg.Show())
			return err
		},
	}
	s.flags(show)
	c.AddCommand(show)
	return c
}
