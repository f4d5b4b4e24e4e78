//go:build chaos

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/step"
)

// try gives a node an order, once, and returns what it says.
func (w *walk) try(ctx context.Context, m *member, tool string, words ...string) (string, error) {
	args := append([]string{"15", w.binary, tool, "--data", m.data()}, words...)
	out, err := exec.CommandContext(ctx, "timeout", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s at %s: %w: %s", strings.Join(words, " "), m.name(), err, out)
	}
	return string(out), nil
}

// insist gives an order to any of some nodes until it is carried out. What is not
// there to be cleared any more was, by one that was interrupted before it had said so.
func (w *walk) insist(ctx context.Context, ms func() []*member, tool string, words ...string) {
	var err error
	interrupted := false
	done := until(ctx, func() bool {
		for _, m := range ms() {
			if m.running() {
				if _, err = w.try(ctx, m, tool, words...); err == nil || interrupted && strings.Contains(err.Error(), "does not exist") {
					return true
				}
				interrupted = true
			}
		}
		return false
	})
	if !done {
		w.t.Errorf("not carried out: %v", err)
	}
}

// ballast publishes so much that a round of checkpoints is due, and the log behind
// it is dropped.
func (w *walk) ballast(ctx context.Context) {
	const bytesOfAll, size = 14 << 20, 64 << 10
	left := bytesOfAll / size
	body := bytes.Repeat([]byte("x"), size)
	until(ctx, func() bool {
		ms := slices.DeleteFunc(w.members(), func(m *member) bool { return !m.running() })
		if len(ms) == 0 {
			return false
		}
		m := ms[left%len(ms)]
		conn, err := w.l.w.Dial(m.number)
		if err != nil {
			return false
		}
		defer conn.CloseDeadline(time.Now().Add(time.Second))
		ch, err := conn.Channel()
		if err == nil {
			err = ch.Confirm(false)
		}
		if err != nil {
			return false
		}
		for _, q := range []string{"ballast-0", "ballast-1", "ballast-2"} {
			if _, err = ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-max-length": int64(4)}); err != nil {
				return false
			}
		}
		for left > 0 && ctx.Err() == nil {
			var waits []*amqp.DeferredConfirmation
			for range min(left, 8) {
				d, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", fmt.Sprintf("ballast-%d", left%3), false, false, amqp.Publishing{DeliveryMode: 2, Body: body})
				if err != nil {
					return false
				}
				waits = append(waits, d)
			}
			for _, d := range waits {
				wait, cancel := context.WithTimeout(ctx, 5*time.Second)
				ok, err := d.WaitContext(wait)
				cancel()
				if err != nil || !ok {
					return false
				}
				left--
			}
		}
		return true
	})
}

// checkpoints are due when much was logged.
func checkpoints(w *walk, _ step.Name) func(context.Context) { return w.ballast }

// snapshots has a node be away until its log can not be followed any more.
func snapshots(w *walk, s step.Name) func(context.Context) {
	f := w.any()
	for l := w.leader(queueName(plain)); f == l; {
		f = w.any()
	}
	back := func(ctx context.Context) {
		if !f.running() {
			f.launch()
		}
		until(ctx, func() bool { return w.hitYet() || f.serves() && w.missing(len(w.members())) == "" })
	}
	switch s {
	case step.SnapshotWanted: // what there is knows nothing of the new member
		return func(ctx context.Context) {
			w.insist(ctx, w.shuffled, "rabbitmq-queues", "delete_member", queueName(plain), f.name())
			until(ctx, func() bool { return w.hitYet() || w.replicas(ctx, queueName(plain)) == len(w.members())-1 })
			w.insist(ctx, w.shuffled, "rabbitmq-queues", "add_member", queueName(plain), f.name())
			until(ctx, func() bool { return w.replicas(ctx, queueName(plain)) == len(w.members()) })
		}
	case step.SnapshotResumed: // it was killed between the reset of its log and the switch
		ctx, cancel := context.WithTimeout(context.Background(), wholeLimit)
		defer cancel()
		f.kill()
		w.ballast(ctx)
		f.take(fmt.Sprintf("%s 1 %s", step.SnapshotReset, step.Die))
		f.launch()
		f.mean()
		if !until(ctx, func() bool { return !f.running() }) {
			w.t.Errorf("%s takes no snapshot", f.name())
		}
		return back
	}
	return func(ctx context.Context) {
		f.kill()
		w.ballast(ctx)
		back(ctx)
	}
}

// handover drains a leader and revives it: leads go and come back, and sessions
// attach. For some steps nodes are killed and come back before, until somebody comes
// to the step.
func handover(w *walk, s step.Name) func(context.Context) {
	l := w.leader(queueName(single))
	if l == nil {
		l = w.any()
	}
	kills := slices.Contains([]step.Name{step.ServeLogged, step.ServeApplied, step.GrantLogged, step.GrantApplied, step.AttachLost}, s)
	return func(ctx context.Context) {
		for _, m := range w.shuffled() {
			if !kills || w.hitYet() {
				break
			}
			m.kill() // its sessions end, among them perhaps the one that is active
			m.launch()
			until(ctx, func() bool { return w.hitYet() || m.serves() })
		}
		kills = true
		w.insist(ctx, w.shuffled, "rabbitmq-upgrade", "drain", "-n", l.name())
		w.insist(ctx, w.shuffled, "rabbitmq-upgrade", "revive", "-n", l.name())
		until(ctx, func() bool { return w.hitYet() || w.leader(queueName(single)) == l })
	}
}

// growAndShrink has a policy ask for a replica at every node, and takes that back.
func growAndShrink(w *walk, _ step.Name) func(context.Context) {
	return func(ctx context.Context) {
		w.insist(ctx, w.shuffled, "ctl", "set_policy", "wide", "^"+queueName(plain)+"$", `{"ha-mode":"all"}`)
		until(ctx, func() bool { return w.hitYet() || w.replicas(ctx, queueName(plain)) == len(w.members()) })
		w.insist(ctx, w.shuffled, "ctl", "clear_policy", "wide")
		until(ctx, func() bool { return w.replicas(ctx, queueName(plain)) == 3 })
	}
}

// hitYet reports whether a step was interrupted, and no order waits.
func (w *walk) hitYet() bool { return w.ordered.Load() == nil }

// replicas is how many members a queue has, as any node says.
func (w *walk) replicas(ctx context.Context, queue string) int {
	for _, m := range w.members() {
		if !m.running() {
			continue
		}
		out, err := w.try(ctx, m, "rabbitmq-queues", "-q", "quorum_status", queue)
		if err != nil {
			continue
		}
		n := 0
		for _, o := range w.members() {
			n += min(1, strings.Count(out, o.name()))
		}
		return n
	}
	return 0
}

// comeAndGo has a node join and leave, in order or because it is lost.
func comeAndGo(w *walk, s step.Name) func(context.Context) {
	x := w.place()
	return func(ctx context.Context) {
		if !x.running() && !w.hitYet() {
			x.launch()
		}
		if !until(ctx, func() bool { return x.running() && x.serves() }) {
			return
		}
		others := func() []*member {
			return slices.DeleteFunc(w.shuffled(), func(m *member) bool { return m == x })
		}
		if s == step.NodeForgot {
			x.kill()
			w.gone[x.number].Store(true)
			w.insist(ctx, others, "ctl", "forget_cluster_node", x.name())
			return
		}
		left := func() bool {
			for _, m := range others() {
				if out, err := w.try(ctx, m, "ctl", "cluster_status"); err == nil {
					return !strings.Contains(out, x.name())
				}
			}
			return false
		}
		var err error
		until(ctx, func() bool {
			x.mean()
			if x.running() {
				_, e := w.try(ctx, x, "ctl", "stop_app")
				_, f := w.try(ctx, x, "ctl", "reset")
				err = errors.Join(e, f)
			}
			return left()
		})
		if ctx.Err() != nil {
			w.t.Errorf("%s does not leave: %v", x.name(), err)
		}
		w.gone[x.number].Store(true)
		x.kill()
	}
}
