package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// maxLocalNodes bounds a cluster on one machine.
const maxLocalNodes = 9

// clusterWait bounds the start of one node of a local cluster.
const clusterWait = 60 * time.Second

func (a *App) clusterCmd() *cobra.Command {
	c := &cobra.Command{Use: "cluster", Short: "Run a cluster on this machine"}
	c.AddCommand(a.clusterUpCmd())
	return c
}

func (a *App) clusterUpCmd() *cobra.Command {
	var n int
	var data string
	c := &cobra.Command{
		Use: "up", Short: "Start a cluster of several nodes on this machine", Args: noArgs,
		Long: "Start several nodes on this machine, on free ports and open to it only, and have them\n" +
			"make one cluster. They stop with Ctrl-C. With --data their data stays, and the next\n" +
			"start goes on with it.",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if n < 1 || n > maxLocalNodes {
				return usagef("-n %d: must be 1 to %d", n, maxLocalNodes)
			}
			ctx, done := a.interruptible(c.Context())
			defer done()
			l := &localCluster{app: a, dir: data}
			if data == "" {
				if l.dir, err = os.MkdirTemp("", "warren-cluster-"); err != nil {
					return fmt.Errorf("make a directory for the cluster: %w", err)
				}
				defer func() {
					if rerr := os.RemoveAll(l.dir); rerr != nil {
						err = errors.Join(err, fmt.Errorf("remove the cluster's data: %w", rerr))
					}
				}()
			}
			err = l.run(ctx, n)
			if ctx.Err() != nil {
				err = nil // told to stop
			}
			return errors.Join(err, l.stop())
		},
	}
	c.Flags().IntVarP(&n, "nodes", "n", 3, "how many nodes")
	c.Flags().StringVar(&data, "data", "", "`DIR`ectory for the nodes' data (default: one that is removed at the end)")
	return c
}

// A localCluster is nodes of this machine, each a process.
type localCluster struct {
	app   *App
	dir   string
	nodes []localNode
}

type localNode struct {
	name, dir string
	p         *process
	addrs     map[string]string
}

func (l *localCluster) run(ctx context.Context, n int) error {
	cookie, err := l.cookie()
	if err != nil {
		return err
	}
	for i := range n {
		if err := l.start(ctx, i+1, cookie); err != nil {
			return err
		}
	}
	l.show()
	return l.watch(ctx)
}

// cookie makes the secret that the nodes let each other in by, or finds it.
func (l *localCluster) cookie() (string, error) {
	path := filepath.Join(l.dir, "cookie")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return "", fmt.Errorf("make the cluster's directory: %w", err)
	}
	if err := os.WriteFile(path, []byte(l.app.NewID()+"\n"), 0o400); err != nil {
		return "", fmt.Errorf("write the cluster's cookie: %w", err)
	}
	return path, nil
}

// start starts the k-th node. All but the first join through it. Ports that a
// node had are asked for again: its clients and the others know them.
func (l *localCluster) start(ctx context.Context, k int, cookie string) error {
	nd := localNode{name: "warren-" + strconv.Itoa(k) + "@localhost", dir: filepath.Join(l.dir, "node-"+strconv.Itoa(k))}
	had, err := l.ports(nd.dir)
	if err != nil {
		return err
	}
	args := []string{
		"serve", "--until-stdin-closes", "--data", nd.dir, "--name", nd.name, "--cookie-file", cookie,
		"--listen", "amqp=" + had["amqp"], "--listen", "cluster=" + had["cluster"],
	}
	if k > 1 {
		args = append(args, "--join", l.nodes[0].addrs["cluster"])
	}
	if nd.p, err = startProcess(l.app, args...); err != nil {
		return err
	}
	l.nodes = append(l.nodes, nd)
	me := &l.nodes[len(l.nodes)-1]
	t := time.NewTimer(clusterWait)
	defer t.Stop()
	select {
	case <-me.p.ready:
	case <-me.p.ended:
		return fmt.Errorf("%s did not start: %w", me.name, me.p.failure())
	case <-t.C:
		return fmt.Errorf("%s was not ready within %s:\n%s", me.name, clusterWait, me.p.log.String())
	case <-ctx.Done():
		return ctx.Err()
	}
	if me.addrs, err = readPorts(me.dir); err != nil {
		return err
	}
	return l.keepPorts(me)
}

const keptPorts = "kept-ports.json"

func (l *localCluster) ports(dir string) (map[string]string, error) {
	addrs := map[string]string{"amqp": "127.0.0.1:0", "cluster": "127.0.0.1:0"}
	had, err := readAddrs(filepath.Join(dir, keptPorts))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return addrs, nil
	case err != nil:
		return nil, err
	}
	return had, nil
}

func (l *localCluster) keepPorts(nd *localNode) error {
	return writeAddrs(filepath.Join(nd.dir, keptPorts), nd.addrs)
}

// show draws the cluster.
func (l *localCluster) show() {
	a := l.app
	fmt.Fprintf(a.Stdout, "a cluster of %d nodes, data in %s\n\n", len(l.nodes), l.dir)
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NODE\tPROCESS\tAMQP\tCLUSTER\tDATA")
	var uris []string
	for i := range l.nodes {
		nd := &l.nodes[i]
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", nd.name, nd.p.pid(), nd.addrs["amqp"], nd.addrs["cluster"], nd.dir)
		uris = append(uris, "amqp://"+nd.addrs["amqp"])
	}
	_ = t.Flush() // as every other line to standard output
	fmt.Fprintf(a.Stdout, "\n    warren producer --brokerUrl %s --destination queue://test --count 10\n", strings.Join(uris, ","))
	fmt.Fprintf(a.Stdout, "    warren ctl cluster_status --data %s\n\n", l.nodes[0].dir)
	fmt.Fprintf(a.Stdout, "Kill one of the processes and see the others go on. Press Ctrl-C to stop the cluster.\n")
}

// watch says when a node ends, and returns when all have, or ctx does.
func (l *localCluster) watch(ctx context.Context) error {
	ended := make(chan int, len(l.nodes))
	for i := range l.nodes {
		go func() { // ends with its process, for which stop waits
			<-l.nodes[i].p.ended
			ended <- i
		}()
	}
	for range l.nodes {
		select {
		case i := <-ended:
			fmt.Fprintf(l.app.Stdout, "%s has ended\n", l.nodes[i].name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// stop stops all nodes, together: none waits for one that is gone.
func (l *localCluster) stop() error {
	errs := make([]error, len(l.nodes))
	done := make(chan struct{})
	for i := range l.nodes {
		go func() { // received from below
			errs[i] = l.nodes[i].p.stop()
			done <- struct{}{}
		}()
	}
	for range l.nodes {
		<-done
	}
	return errors.Join(errs...)
}
