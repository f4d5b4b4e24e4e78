package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// perfResult is what a run found.
type perfResult struct {
	perfOptions
	SendSeconds      float64 `json:"send_seconds"`    // until the last message was sent
	ReceiveSeconds   float64 `json:"receive_seconds"` // until the last one was received
	Sent             int64   `json:"sent"`
	Confirmed        int64   `json:"confirmed"`
	Rejected         int64   `json:"rejected"`
	Received         int64   `json:"received"`
	SentPerSecond    float64 `json:"sent_per_s"`
	ReceivePerSecond float64 `json:"received_per_s"`
	Confirm          latency `json:"confirm_latency"`
	EndToEnd         latency `json:"latency"`
	Lost             int64   `json:"lost"`
	Duplicates       int64   `json:"duplicates"`
	Redelivered      int64   `json:"redelivered"`
	Reordered        int64   `json:"reordered"`
	Corrupt          int64   `json:"corrupt"`
	Foreign          int64   `json:"foreign"`
	OK               bool    `json:"ok"`
}

func (a *App) perfCmd() *cobra.Command {
	var f clientFlags
	var o perfOptions
	var asJSON bool
	c := &cobra.Command{
		Use: "perf", Short: "Measure a broker, and check every message of the run", Args: noArgs,
		Long: "Send and receive as fast as can be, or at a rate, and print throughput and latency.\n" +
			"Every message carries its number and a checksum: a loss, a duplicate, a change of\norder or a changed byte fails the run.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			conn, err := f.connector(a, c)
			if err != nil {
				return err
			}
			conn.log = io.Discard
			id := a.NewID()
			for i := range o.Queues {
				o.queues = append(o.queues, fmt.Sprintf("warren.perf.%s.%d", id, i))
			}
			r := &perfRun{o: o, conn: conn, ledger: newPerfLedger(runNumber(id), o.Producers), now: a.Now}
			ctx, done := a.interruptible(c.Context())
			defer done()
			fmt.Fprintf(a.Stderr, "%s\n", o)
			runErr := r.run(ctx, progressLine(a.Stderr, r.ledger))
			if runErr != nil && r.start.IsZero() {
				return runErr
			}
			return a.reportPerf(r.result(), runErr, asJSON)
		},
	}
	f.flags(c)
	flags := c.Flags()
	flags.IntVar(&o.Producers, "producers", 1, "`N` connections that send")
	flags.IntVar(&o.Consumers, "consumers", 1, "`N` connections that receive")
	flags.IntVar(&o.Queues, "queues", 1, "spread over `N` queues")
	flags.IntVar(&o.Size, "size", 1024, "`BYTES` of a body, at least 32")
	flags.BoolVar(&o.Transient, "transient", false, "queues and messages that need not survive a restart")
	flags.IntVar(&o.Window, "confirm-window", 1000, "at most `N` messages sent and not confirmed; 0 asks for no confirms")
	flags.IntVar(&o.Prefetch, "prefetch", 1000, "at most `N` messages delivered and not acknowledged; 0 acknowledges nothing")
	flags.IntVar(&o.Rate, "rate", 0, "send `N` messages a second in all; 0 as many as can be")
	flags.IntVar(&o.Count, "count", 0, "end after `N` messages; 0 when the time is over")
	flags.DurationVar(&o.time, "time", 10*time.Second, "how long to send; 0 until --count is reached")
	flags.DurationVar(&o.drain, "drain", 30*time.Second, "how long nothing may arrive before the rest counts as lost")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func (o perfOptions) check() error {
	switch {
	case o.Producers < 1 || o.Consumers < 0 || o.Queues < 1:
		return usagef("--producers and --queues must be at least 1, --consumers at least 0")
	case o.Size < payloadSize || o.Size > 128<<20:
		return usagef("--size must be %d to %d", payloadSize, 128<<20)
	case o.Window < 0 || o.Prefetch < 0 || o.Rate < 0 || o.Count < 0 || o.Prefetch > 65535:
		return usagef("--confirm-window, --prefetch, --rate and --count must not be negative, --prefetch at most 65535")
	case o.time <= 0 && o.Count == 0:
		return usagef("--time or --count must say when to end")
	case o.Consumers > 0 && o.Consumers < o.Queues:
		return usagef("--consumers must be at least --queues, or what the other queues hold counts as lost")
	}
	return nil
}

func (o perfOptions) String() string {
	kind := "durable"
	if o.Transient {
		kind = "transient"
	}
	return fmt.Sprintf("producers %d, consumers %d, queues %d (%s), size %d, confirm window %d, prefetch %d, rate %d",
		o.Producers, o.Consumers, o.Queues, kind, o.Size, o.Window, o.Prefetch, o.Rate)
}

// progressLine returns what prints a line for each second.
func progressLine(w io.Writer, l *perfLedger) func(time.Duration) {
	var lastSent, lastConfirmed, lastReceived int64
	var last time.Duration
	return func(now time.Duration) {
		sent, confirmed, _ := l.totals()
		received := l.received.Load()
		per := func(n int64) float64 { return float64(n) / (now - last).Seconds() }
		fmt.Fprintf(w, "%4.0fs  sent %9.0f/s  confirmed %9.0f/s  received %9.0f/s  waiting %d\n",
			now.Seconds(), per(sent-lastSent), per(confirmed-lastConfirmed), per(received-lastReceived), sent-received)
		lastSent, lastConfirmed, lastReceived, last = sent, confirmed, received, now
	}
}

func (r *perfRun) result() perfResult {
	var confirm, end hist
	for i := range r.confirms {
		confirm.merge(&r.confirms[i])
	}
	for _, reader := range r.readers {
		end.merge(&reader.latency)
	}
	l := r.ledger
	res := perfResult{perfOptions: r.o, Confirm: confirm.summary(), EndToEnd: end.summary()}
	res.Sent, res.Confirmed, res.Rejected = l.totals()
	res.Received, res.Redelivered = l.received.Load(), l.redelivered.Load()
	res.Duplicates, res.Reordered, res.Corrupt, res.Foreign = l.duplicates.Load(), l.reordered.Load(), l.corrupt.Load(), l.foreign.Load()
	if r.o.Consumers > 0 {
		res.Lost = l.lost(r.o.Window > 0)
	}
	res.SendSeconds = max(r.sent, time.Millisecond).Seconds()
	res.ReceiveSeconds = max(time.Duration(r.activity.Load()), time.Millisecond).Seconds()
	res.SentPerSecond = float64(res.Sent) / res.SendSeconds
	res.ReceivePerSecond = float64(res.Received) / res.ReceiveSeconds
	res.OK = res.Lost+res.Duplicates+res.Reordered+res.Corrupt+res.Foreign+res.Rejected == 0 && (r.o.Window == 0 || res.Confirmed == res.Sent)
	return res
}

func (a *App) reportPerf(res perfResult, runErr error, asJSON bool) error {
	res.OK = res.OK && runErr == nil
	if asJSON {
		if err := json.NewEncoder(a.Stdout).Encode(res); err != nil {
			return err
		}
	} else {
		res.print(a.Stdout)
	}
	switch {
	case runErr != nil:
		return runErr
	case !res.OK:
		return fmt.Errorf("the run is not right: %s", res.faults())
	}
	return nil
}

func (res perfResult) faults() string {
	return fmt.Sprintf("lost %d, duplicates %d (redelivered %d), out of order %d, corrupt %d, foreign %d, rejected %d, unconfirmed %d",
		res.Lost, res.Duplicates, res.Redelivered, res.Reordered, res.Corrupt, res.Foreign, res.Rejected, res.unconfirmed())
}

func (res perfResult) unconfirmed() int64 {
	if res.Window == 0 {
		return 0
	}
	return res.Sent - res.Confirmed - res.Rejected
}

func (res perfResult) print(w io.Writer) {
	mib := func(perSecond float64) float64 { return perSecond * float64(res.Size) / (1 << 20) }
	fmt.Fprintf(w, "sent      %d in %.2f s: %.0f/s, %.1f MiB/s\n", res.Sent, res.SendSeconds, res.SentPerSecond, mib(res.SentPerSecond))
	fmt.Fprintf(w, "received  %d in %.2f s: %.0f/s, %.1f MiB/s\n", res.Received, res.ReceiveSeconds, res.ReceivePerSecond, mib(res.ReceivePerSecond))
	line := func(name string, l latency) {
		if l.N > 0 {
			fmt.Fprintf(w, "%s p50 %.3f, p95 %.3f, p99 %.3f, p99.9 %.3f, max %.3f ms\n", name, l.P50, l.P95, l.P99, l.P999, l.Max)
		}
	}
	line("confirm  ", res.Confirm)
	line("latency  ", res.EndToEnd)
	verdict := "every message checked: "
	if !res.OK {
		verdict = "NOT RIGHT: "
	}
	fmt.Fprintf(w, "%s%s\n", verdict, res.faults())
}
