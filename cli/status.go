package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/config"
)

// askTime bounds a question to a running node.
const askTime = 30 * time.Second

func (a *App) statusCmd() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Describe the running node", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askTime)
			defer cancel()
			node := client.New(dir)
			defer node.Close()
			s, err := node.Status(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.Stdout).Encode(s)
			}
			return printStatus(a.Stdout, s)
		},
	}
	c.Flags().StringVar(&dir, "data", config.DefaultDataDir, "data `DIR`ectory of the node")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printStatus(w io.Writer, s client.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("node", "%s", s.Node)
	row("version", "%s", s.Version)
	row("up", "%s", time.Duration(s.UptimeSeconds)*time.Second)
	row("data", "%s", s.DataDir)
	for _, proto := range slices.Sorted(maps.Keys(s.Addresses)) {
		row(proto, "%s%s", s.Addresses[proto], refusedText(s, proto))
	}
	c := s.Counts
	row("connections", "%d, with %d channels and %d consumers", c.Connections, c.Channels, c.Consumers)
	row("queues", "%d in %d vhosts, %d exchanges, %d bindings", c.Queues, c.VHosts, c.Exchanges, c.Bindings)
	row("messages", "%d ready, %d delivered and not acknowledged", c.Ready, c.Unacked)
	row("memory", "%s of a budget of %s; queues in memory %s of %s", bytesText(s.Memory.Used), bytesText(s.Memory.Budget), bytesText(s.Memory.Entries), bytesText(s.Memory.EntriesLimit))
	row("disk", "log %s in %d segments, state %s, free %s", bytesText(s.Disk.Log), s.Disk.Segments, bytesText(s.Disk.State), bytesText(s.Disk.Free))
	limiting := "nothing"
	if len(s.Limiting) > 0 {
		limiting = strings.Join(s.Limiting, "\n\t")
	}
	row("limiting", "%s", limiting)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "shard\tholds\tleader\treplicas\tterm\tcommitted\tapplied\tlog\tqueues\tmessages")
	for _, sh := range s.Shards {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%d\t%d\n", sh.ID, sh.Kind, leaderText(sh), strings.Join(sh.Replicas, ","),
			sh.Term, sh.Commit, sh.Applied, bytesText(sh.LogBytes), sh.Queues, sh.Messages)
	}
	return t.Flush()
}

// refusedText says how many connections a listener refused, and why.
func refusedText(s client.Status, listener string) string {
	var why []string
	for _, l := range s.Listeners {
		if l.Name == listener {
			for _, reason := range slices.Sorted(maps.Keys(l.Refused)) {
				why = append(why, fmt.Sprintf("%s %d", reason, l.Refused[reason]))
			}
		}
	}
	if len(why) == 0 {
		return ""
	}
	return ", refused: " + strings.Join(why, ", ")
}

// leaderText names the leader of a shard. What a refused one lost stands in
// what is limiting.
func leaderText(s client.Shard) string {
	switch {
	case s.Refused != "":
		return "refused"
	case s.Leader == "":
		return "none"
	}
	return s.Leader
}

// bytesText writes a size for people: three digits and a unit.
func bytesText(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			return trimZeros(v) + " " + unit
		}
		v /= 1024
	}
	return trimZeros(v) + " TiB"
}

func trimZeros(v float64) string {
	s := fmt.Sprintf("%.1f", v)
	return strings.TrimSuffix(s, ".0")
}
