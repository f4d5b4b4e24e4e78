package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// demoWait bounds each step of the demo.
const demoWait = 30 * time.Second

func (a *App) demoCmd() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use: "demo", Short: "See a broker keep its word, in a minute", Args: noArgs,
		Long: "Start a broker on free ports of this machine, publish a durable message, kill the\n" +
			"broker, start it again and consume the message. Then it goes on serving until Ctrl-C.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, done := a.interruptible(c.Context())
			defer done()
			dir, err := os.MkdirTemp("", "warren-demo-")
			if err != nil {
				return fmt.Errorf("make a directory for the demo: %w", err)
			}
			d := &demo{app: a, dir: dir, once: once}
			err = d.run(ctx)
			if ctx.Err() != nil {
				err = nil // the user has seen enough
			}
			if d.broker != nil {
				err = errors.Join(err, d.broker.stop())
			}
			if rerr := os.RemoveAll(dir); rerr != nil {
				err = errors.Join(err, fmt.Errorf("remove the demo's data: %w", rerr))
			}
			return err
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end when the message is back")
	return c
}

// A demo is one showing.
type demo struct {
	app    *App
	dir    string
	once   bool
	broker *process
	steps  int
}

const (
	demoQueue = "demo"
	demoText  = "hello from before the crash"
)

func (d *demo) say(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.app.Stdout, "%2d. %s\n", d.steps, fmt.Sprintf(format, args...))
}

func (d *demo) run(ctx context.Context) error {
	fmt.Fprintf(d.app.Stdout, "Warren %s demo, data in %s\n\n", d.app.Version, d.dir)
	addr, err := d.start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.say("started a broker: process %d, amqp %s", d.broker.pid(), addr)
	if err := d.publish(ctx, addr); err != nil {
		return err
	}
	d.say("published %q to the durable queue %q; the broker confirmed it", demoText, demoQueue)

	pid := d.broker.pid()
	if err := d.broker.kill(); err != nil {
		return err
	}
	d.say("killed the broker: process %d got SIGKILL and had no chance to tidy up", pid)
	began := d.app.Now()
	if addr, err = d.start(ctx, addr); err != nil {
		return err
	}
	d.say("started it again: process %d, amqp %s, ready after %d ms", d.broker.pid(), addr, d.app.Now().Sub(began).Milliseconds())
	text, err := d.consume(ctx, addr)
	if err != nil {
		return err
	}
	if text != demoText {
		return fmt.Errorf("the broker returned %q, not what was published", text)
	}
	d.say("consumed %q: the confirm was kept", text)
	if d.once {
		return nil
	}
	fmt.Fprintf(d.app.Stdout, "\nThe broker goes on serving: amqp://guest:guest@%s/\n\n", addr)
	fmt.Fprintf(d.app.Stdout, "    warren producer --brokerUrl amqp://%s --destination queue://test --count 10\n", addr)
	fmt.Fprintf(d.app.Stdout, "    warren consumer --brokerUrl amqp://%s --destination queue://test --count 10\n", addr)
	fmt.Fprintf(d.app.Stdout, "    warren perf --brokerUrl amqp://%s\n    warren status --data %s\n\n", addr, d.dir)
	fmt.Fprintln(d.app.Stdout, "Press Ctrl-C to stop it and remove its data.")
	select {
	case <-ctx.Done():
		return nil
	case <-d.broker.ended:
		return fmt.Errorf("the broker ended by itself: %w", d.broker.failure())
	}
}

// start runs the broker as a process of its own and returns its AMQP address.
func (d *demo) start(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	p, err := startProcess(d.app, "serve", "--data", d.dir, "--name", "warren@demo", "--listen", "amqp="+addr, "--until-stdin-closes")
	if err != nil {
		return "", err
	}
	d.broker = p
	select {
	case <-p.ready:
	case <-p.ended:
		return "", fmt.Errorf("the broker did not start: %w", p.failure())
	case <-ctx.Done():
		return "", fmt.Errorf("the broker did not get ready: %w", ctx.Err())
	}
	addrs, err := readPorts(d.dir)
	if err != nil {
		return "", err
	}
	return addrs["amqp"], nil
}

func (d *demo) link(ctx context.Context, addr string) (link, error) {
	l, err := d.app.Dial(ctx, broker{Addr: addr, VHost: "/"}, login{"guest", "guest"})
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if err := l.Declare(ctx, queueSpec{Name: demoQueue, Durable: true}); err != nil {
		return nil, errors.Join(err, closeLink(ctx, l))
	}
	return l, nil
}

func (d *demo) publish(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	l, err := d.link(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = closeLink(ctx, l) }() // the confirm is all that matters
	confirmed := make(chan bool, 1)
	if err := l.Confirms(ctx, func(_, _ uint64, ok bool) { confirmed <- ok }); err != nil {
		return err
	}
	if err := l.Publish(ctx, []outgoing{{Key: demoQueue, Persistent: true, Body: []byte(demoText)}}); err != nil {
		return err
	}
	select {
	case ok := <-confirmed:
		if !ok {
			return errors.New("the broker refused the message")
		}
		return nil
	case <-l.Done():
		return l.Err()
	case <-ctx.Done():
		return fmt.Errorf("the broker did not confirm: %w", ctx.Err())
	}
}

func (d *demo) consume(ctx context.Context, addr string) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	l, err := d.link(ctx, addr)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, closeLink(ctx, l)) }()
	got := make(chan string, 1)
	err = l.Consume(ctx, demoQueue, consumeOptions{Prefetch: 1}, func(msgs []incoming) {
		for _, m := range msgs {
			got <- string(m.Body)
			_ = l.Ack(m.Tag, false) // a broken link tells by Done
		}
	})
	if err != nil {
		return "", err
	}
	select {
	case text := <-got:
		return text, nil
	case <-l.Done():
		return "", l.Err()
	case <-ctx.Done():
		return "", fmt.Errorf("the message did not come back: %w", ctx.Err())
	}
}
