package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/node"
)

// How long the steps of an order may take.
const (
	reachTime = 5 * time.Second  // to connect to a member
	joinTime  = 30 * time.Second // to be let in
	quietTime = time.Minute      // for a node that is started for an order
	leaveTime = 30 * time.Minute // to leave: what it holds goes to others
)

// clusterPort is where nodes are reached by others unless they say otherwise.
const clusterPort = "25672"

// join makes the stopped node a member of another's cluster: what it holds goes,
// and it is another node from then on. It does not start it.
func (p *Process) join(ctx context.Context, x admin.JoinCluster) (string, error) {
	if p.o.Node.Cluster.Addr == "" {
		return "", admin.Invalidf("this node has no port for other nodes: start it with --listen cluster=on")
	}
	name := p.fullName(x.Member)
	if name == p.o.Node.Name {
		return "", &admin.Error{Kind: admin.Internal, Text: "cannot cluster node with itself: " + name}
	}
	rest, err := node.Look(p.o.Node)
	if err != nil {
		return "", err
	}
	if !x.Force {
		if slices.Contains(rest.Members, name) {
			return "The node is already a member of this cluster", nil
		}
		if err := p.mayLose(ctx, rest, "join_cluster --force"); err != nil {
			return "", err
		}
	}
	addrs, err := p.reach(ctx, x.Member, name)
	if err != nil {
		return "", err
	}
	if err := p.wipe(addrs...); err != nil {
		return "", err
	}
	p.held = nil
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	o := p.o.Node
	o.Cluster.Join = addrs
	if err := p.o.Join(ctx, o); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return "", err // the process ends: the next one joins
		}
		return "", errors.Join(err, p.note(journal{}))
	}
	text := ""
	if others := p.others(rest); x.Force && len(others) > 0 {
		text = p.stillCounted(others)
	}
	return text, p.note(journal{})
}

// joinAsNode is how a node is let in that is not run.
func joinAsNode(ctx context.Context, o node.Options) error {
	n, err := node.New(o) //nolint:contextcheck // it is not run
	if err != nil {
		return err
	}
	return n.Join(ctx)
}

// fullName gives a name without a host this node's own.
func (p *Process) fullName(name string) string {
	if strings.ContainsAny(name, "@:") {
		return name
	}
	_, host, _ := strings.Cut(p.o.Node.Name, "@")
	return name + "@" + host
}

// others are the members of the node's cluster beside itself.
func (p *Process) others(r node.Rest) []string {
	return slices.DeleteFunc(slices.Clone(r.Members), func(name string) bool { return name == p.o.Node.Name })
}

// mayLose refuses to remove a node that holds anything. with is what the order is
// called that would.
func (p *Process) mayLose(ctx context.Context, rest node.Rest, with string) error {
	if rest.Fresh {
		return nil
	}
	if others := p.others(rest); len(others) > 0 {
		return admin.Invalidf("node %s is a member of a cluster with %s: leave it first with 'rabbitmqctl reset'. With '%s' it goes without leaving, and loses what it holds",
			p.o.Node.Name, strings.Join(others, ", "), with)
	}
	h, err := p.holds(ctx)
	if err != nil {
		return err
	}
	if h.yes {
		return admin.Invalidf("node %s holds %s, which joining a cluster would delete. Keep it with 'warren backup', and delete it with '%s'", p.o.Node.Name, h.what, with)
	}
	return nil
}

// holds says what the stopped node has. If it was not noted when it was stopped,
// the node is started for it, without clients.
func (p *Process) holds(ctx context.Context) (held, error) {
	if p.held != nil {
		return *p.held, nil
	}
	h := held{"something that is not known", true}
	err := p.quietly(ctx, func(_ context.Context, l *life) error {
		if known := l.holds(); known != nil {
			h = *known
		}
		return nil
	})
	if err != nil {
		return h, fmt.Errorf("look what the node holds: %w", err)
	}
	p.held = &h
	return h, nil
}

// quietly runs the node without listeners for clients, does something with it,
// and stops it again.
func (p *Process) quietly(ctx context.Context, do func(ctx context.Context, l *life) error) error {
	o := p.o.Node
	o.Listen = nil
	o.Operators = func(admin.Operations) func() { return func() {} }
	n, err := p.o.New(o)
	if err != nil {
		return err
	}
	l := live(ctx, n)
	t := time.NewTimer(quietTime)
	defer t.Stop()
	select {
	case <-n.Ready():
		l.up = true
		err = do(ctx, l)
	case err := <-l.ended:
		if errors.Is(err, node.ErrAgain) && ctx.Err() == nil {
			return p.quietly(ctx, do)
		}
		return err
	case <-t.C:
		err = &admin.Error{Kind: admin.Timeout, Text: "the node did not start within " + quietTime.String() + ": " + waitsFor(n)}
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.cancel()
	if eerr := <-l.ended; err == nil && !errors.Is(eerr, node.ErrForgotten) {
		err = eerr
	}
	return err
}

func waitsFor(n Node) string {
	if w, ok := n.(waiter); ok {
		return cmp.Or(w.Waiting(), "it does not say why")
	}
	return "it does not say why"
}

// reach finds out where a member is, by its name or the address itself, and
// whether anybody answers there: the node loses what it holds only then.
func (p *Process) reach(ctx context.Context, given, name string) ([]string, error) {
	addrs := p.addrsOf(given, name)
	dial := p.o.Node.Cluster.Dial
	if dial == nil {
		d := net.Dialer{Timeout: reachTime}
		dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	var why []string
	for _, addr := range addrs {
		c, err := dial(ctx, addr)
		if err != nil {
			why = append(why, err.Error())
			continue
		}
		_ = c.Close() // it was only opened
		return []string{addr}, nil
	}
	return nil, &admin.Error{Kind: admin.Unavailable, Text: fmt.Sprintf(
		"The nodes provided are either offline or not running: %s is not reached (%s)", name, strings.Join(why, "; "))}
}

// addrsOf returns where a node may be reached by others.
func (p *Process) addrsOf(given, name string) []string {
	if _, _, err := net.SplitHostPort(given); err == nil {
		return []string{given}
	}
	if x, ok := p.o.Names.Find(name); ok && x.Cluster != "" {
		return []string{x.Cluster}
	}
	_, host, _ := strings.Cut(name, "@")
	return append([]string{net.JoinHostPort(host, clusterPort)}, p.o.Node.Cluster.Join...)
}

// reset has the stopped node begin anew, after it has left its cluster.
func (p *Process) reset(ctx context.Context, x admin.ResetApp) (text string, err error) {
	rest, err := node.Look(p.o.Node)
	if err != nil && !x.Force {
		return "", err
	}
	others := p.others(rest)
	switch {
	case x.Force && len(others) > 0:
		text = p.stillCounted(others)
	case !x.Force && len(others) > 0:
		if err := p.leaveCluster(ctx); err != nil {
			return "", err
		}
	}
	p.held = nil
	return text, p.wipe()
}

// leaveCluster has the node leave. One that its cluster has removed has left.
func (p *Process) leaveCluster(ctx context.Context) error {
	if err := p.note(journal{Leave: true}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	err := p.quietly(ctx, func(ctx context.Context, l *life) error {
		n, ok := l.node.(leaver)
		if !ok {
			return admin.Unsupportedf("this version can not leave a cluster. 'rabbitmqctl force_reset' begins anew without leaving")
		}
		return n.Leave(ctx)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, node.ErrForgotten):
		p.log.Info("the cluster had removed the node already")
		return nil
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return err // the process ends: what is noted is looked at by the next
	}
	return errors.Join(fmt.Errorf("the node could not leave its cluster, and keeps what it holds: %w. 'rabbitmqctl force_reset' begins anew without leaving", err), p.note(journal{}))
}

// stillCounted says what the others think of a node that went without leaving.
func (p *Process) stillCounted(others []string) string {
	return fmt.Sprintf("The cluster still counts %s as a member. Tell it at one of its nodes (%s): rabbitmqctl forget_cluster_node %s",
		p.o.Node.Name, strings.Join(others, ", "), p.o.Node.Name)
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
