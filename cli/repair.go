package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/config"
)

func (a *App) repairCmd() *cobra.Command {
	var dir string
	var accept, all bool
	c := &cobra.Command{
		Use: "repair", Short: "Show what damaged shards of the running node lost, and give them up", Args: noArgs,
		Long: "Repair shows the shards that the running node of a data directory refuses because they lost acknowledged\n" +
			"data, and that no majority of other replicas can make anew, with their queues. It changes nothing.\n" +
			"With --accept-loss those of which there is no other replica are given up: their queues begin empty.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askTime)
			defer cancel()
			node := client.New(dir)
			defer node.Close()
			d, err := node.DamagedShards(ctx, client.DamagedQuery{})
			if err != nil {
				return err
			}
			if !accept {
				return printDamaged(a.Stdout, d, dir, all)
			}
			var lost []uint64
			for _, s := range d.Shards {
				if len(s.Others) == 0 {
					lost = append(lost, s.Shard)
				}
			}
			if len(lost) > 0 {
				if _, err := node.GiveUpShards(ctx, client.GiveUpShards{Shards: lost}); err != nil {
					return err
				}
			}
			for _, s := range d.Shards {
				if len(s.Others) == 0 {
					fmt.Fprintf(a.Stdout, "shard %d is given up, its %d queues begin empty\n", s.Shard, len(s.Queues))
				} else {
					fmt.Fprintf(a.Stdout, "shard %d is left as it is: %s\n", s.Shard, alsoOn(s))
				}
			}
			if len(d.Shards) == 0 {
				fmt.Fprintln(a.Stdout, "nothing is damaged that the other replicas do not repair")
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "data", config.DefaultDataDir, "data `DIR`ectory of the node")
	c.Flags().BoolVar(&accept, "accept-loss", false, "give up what has no other replica; it can not be taken back")
	c.Flags().BoolVar(&all, "all", false, "print every queue, however many there are")
	return c
}

func printDamaged(out io.Writer, d client.DamagedShards, dir string, all bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	if len(d.Shards) == 0 {
		p("nothing is damaged on %s that the other replicas do not repair", d.Node)
		return flushed(w)
	}
	p("%s refuses %d shards. This is a trial: nothing was changed.", d.Node, len(d.Shards))
	p("\nSHARD\tOTHER REPLICAS\tDAMAGED")
	var rows []string
	lost := false
	for _, s := range d.Shards {
		p("%d\t%s\t%s", s.Shard, listText(s.Others), s.Why)
		lost = lost || len(s.Others) == 0
		for _, q := range s.Queues {
			fate := "all its messages are lost"
			if len(s.Others) > 0 {
				fate = alsoOn(s)
			}
			rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s", q.VHost, q.Queue, s.Shard, fate))
		}
	}
	printRows(p, "VHOST\tQUEUE\tSHARD\tTHEN", rows, all)
	if lost {
		p("\nWhat to do: restore a backup or a copy of the data directory, if there is one. Else, to have the queues of shards\n"+
			"without another replica begin anew, declared and bound as they are, and empty:\n"+
			"   warren repair --data %s --accept-loss", dir)
	}
	return flushed(w)
}

// alsoOn says what becomes of a shard that is not lost.
func alsoOn(s client.DamagedShard) string {
	return "not lost: " + listText(s.Others) + " has it, and can not go on without this node"
}

func flushed(w *tabwriter.Writer) error {
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
