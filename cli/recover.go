package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/node"
)

func (a *App) recoverCmd() *cobra.Command {
	var s settings
	var force, asJSON, all bool
	var without []string
	c := &cobra.Command{
		Use: "recover", Short: "Have one node go on without a majority of its cluster that is gone for good", Args: noArgs,
		Long: "Recover says what would be left if the stopped node of a data directory went on without all other nodes of\n" +
			"its cluster, and changes nothing. With --force and the names of the others it does it: they are cut out for\n" +
			"ever, and what only they have is lost. It is for a majority that can not be started any more.",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case !force && len(without) > 0:
				return usagef("%s: --without names whom --force cuts out", c.CommandPath())
			case force && len(without) == 0:
				return usagef("%s --force wants the names of all nodes that are cut out, in --without. Run it without --force first: it shows them, and what would be lost", c.CommandPath())
			}
			cfg, err := s.load(a, c)
			if err != nil {
				return err
			}
			o := cfg.Node
			o.Logger = a.logger(cfg)
			ctx, stop := a.interruptible(c.Context())
			defer stop()
			var r *node.Recovery
			if force {
				r, err = a.Recover(ctx, o, without)
			} else {
				r, err = a.PlanRecovery(ctx, o)
			}
			switch {
			case err != nil:
				return err
			case asJSON:
				return json.NewEncoder(a.Stdout).Encode(r)
			case force:
				return printRecovered(a.Stdout, r)
			}
			return printRecovery(a.Stdout, r, all)
		},
	}
	f := c.Flags()
	f.StringVar(&s.config, "config", "", "read warren.yaml from `FILE`")
	f.StringVar(&s.data, "data", "", "data `DIR`ectory of the node that is to go on")
	f.StringArrayVar(&s.set, "set", nil, "override `KEY=VALUE` of the configuration; repeatable")
	f.BoolVar(&force, "force", false, "do it; it can not be taken back")
	f.StringSliceVar(&without, "without", nil, "`NODES` that are cut out for ever: all others")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&all, "all", false, "print every queue, however many there are")
	return c
}

// maxQueueRows bounds the rows of a table of queues, unless all are asked for.
const maxQueueRows = 50

// printRecovery says what would become of the cluster.
func printRecovery(out io.Writer, r *node.Recovery, all bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	if r.Begun {
		p("That %s goes on alone was decided before and interrupted: it is ended when the node starts.\n", r.Node)
	} else {
		p("%s can go on without the other nodes of its cluster. This is a trial: nothing was changed.\n", r.Node)
	}
	p("data\t%s", r.DataDir)
	p("cluster\t%s, generation %d now, %d then", r.Cluster, r.Generation, r.Generation+1)
	p("catalog\trevision %d, of %s; may lack %s", r.Revision, timeText(r.Catalog.Newest), lackText(&r.Catalog))
	queues, messages := r.Messages()
	p("kept\t%d messages in %d queues", messages, queues)
	lost := 0
	for _, l := range r.Lost {
		lost += len(l.Queues)
	}
	p("lost\tthe messages of %d queues; %d queues in memory and %d exchanges that are not durable end", lost, len(r.Ended), r.Exchanges)
	if !r.Authority {
		p("\nThis node does not have the key of the cluster's authority (cluster/cluster.key): no node can join it afterwards.\n" +
			"If one of those that do is left, let that one go on.")
	}
	p("\nCUT OUT FOR EVER\tADDRESS\tVOTED\tANSWERS")
	for _, c := range r.Cut {
		p("%s\t%s\t%s\t%s", c.Name, c.Addr, yesNo(c.Voter), answersText(c.Answers))
	}
	printKept(p, r, all)
	printLost(p, r, all)
	p("\n%s", howToRecover(r))
	return flushed(w)
}

func printKept(p func(string, ...any), r *node.Recovery, all bool) {
	p("\nKEPT: SHARD\tLOG ENDS AT\tTERM\tKNOWN COMMITTED\tNEWEST\tALSO ON\tMAY LACK")
	for i := range r.Kept {
		k := &r.Kept[i]
		p("%d\t%d\t%d\t%d\t%s\t%s\t%s", k.Shard, k.Last, k.Term, k.Commit, timeText(k.Newest), listText(k.Others), lackText(k))
	}
	var rows []string
	for _, k := range r.Kept {
		for _, q := range k.Queues {
			count := fmt.Sprint(q.Messages)
			if k.Damaged != "" {
				count = "unavailable"
			}
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d", q.VHost, q.Name, count, k.Shard))
		}
	}
	printRows(p, "KEPT: VHOST\tQUEUE\tMESSAGES\tSHARD", rows, all)
}

func printLost(p func(string, ...any), r *node.Recovery, all bool) {
	var rows []string
	for _, l := range r.Lost {
		for _, q := range l.Queues {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s", q.VHost, q.Name, l.Shard, listText(l.Others)))
		}
	}
	printRows(p, "LOST, BEGINS EMPTY: VHOST\tQUEUE\tSHARD\tWAS ON", rows, all)
	rows = nil
	for _, q := range r.Ended {
		rows = append(rows, fmt.Sprintf("%s\t%s", q.VHost, q.Name))
	}
	printRows(p, "ENDS, WAS IN MEMORY: VHOST\tQUEUE", rows, all)
}

func printRows(p func(string, ...any), head string, rows []string, all bool) {
	if len(rows) == 0 {
		return
	}
	p("\n%s", head)
	for i, row := range rows {
		if i == maxQueueRows && !all {
			p("and %d more: --all shows them", len(rows)-i)
			return
		}
		p("%s", row)
	}
}

// lackText says what may be missing in a replica.
func lackText(k *node.Kept) string {
	switch {
	case k.Damaged != "":
		return "damaged, stays unavailable: " + k.Damaged
	case k.Complete():
		return "nothing: nothing was confirmed without this node"
	case !k.Voter:
		return "anything: this node did not vote yet, and may have a part only"
	}
	return fmt.Sprintf("what others of its %d voters confirmed without this node", k.Voters)
}

func howToRecover(r *node.Recovery) string {
	names := make([]string, 0, len(r.Cut))
	for _, c := range r.Cut {
		names = append(names, c.Name)
	}
	b := "What to do:\n" +
		"1. If a majority can still be started, start it: nothing is lost by waiting.\n" +
		"2. See to it that those who are cut out do not run, and never start with what they have. As long as they do not\n" +
		"   reach this node they do not know of it, and enough of them would serve as the cluster that was.\n"
	if slices.ContainsFunc(r.Cut, func(c node.CutOut) bool { return c.Answers }) {
		b += "   SOMETHING ANSWERS AT THE ADDRESS OF ONE OF THEM.\n"
	}
	return b + "3. Copy the data directory, then:\n" +
		fmt.Sprintf("   warren recover --data %s --force --without %s\n", r.DataDir, strings.Join(names, ",")) +
		"4. Start the node; others join it with empty directories, and get replicas."
}

func printRecovered(out io.Writer, r *node.Recovery) error {
	queues, messages := r.Messages()
	_, err := fmt.Fprintf(out, "%s is alone in generation %d of its cluster, with %d messages in %d queues. Start it: warren serve --data %s\n"+
		"Nodes that were cut out join it with empty directories; with what they have they are refused.\n",
		r.Node, r.Generation+1, messages, queues, r.DataDir)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func listText(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func answersText(yes bool) string {
	if yes {
		return "YES: it may run"
	}
	return "no"
}
