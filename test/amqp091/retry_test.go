package amqp091_test

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func retryArgs(kind string, least, most int32) []wire.Field {
	return args(field("x-delayed-retry-type", wire.String(kind)), field("x-delayed-retry-min", wire.Int32(least)), field("x-delayed-retry-max", wire.Int32(most)))
}

// gotAfter waits for a message and returns how long that took, and its tag.
func (p *peer) gotAfter(queue, want string) (time.Duration, uint64) {
	p.t.Helper()
	for began := time.Now(); ; {
		body, tag := p.get(1, queue, false)
		switch {
		case body == want:
			return time.Since(began), tag
		case body != "-" || time.Since(began) > patience:
			p.t.Fatalf("got %s, want %s", body, want)
		}
	}
}

// A message that failed rests, the longer the more often it did; what did not
// fail, or another one behind it, does not wait.
func TestDelayedRetry(t *testing.T) {
	t.Parallel()
	const least = 300 * time.Millisecond
	eachKind(t, retryArgs("failed", 300, 500), func(t *testing.T, p *peer, q string) {
		p.to(1, q, "1", "2")
		_, tag := p.get(1, q, false)
		p.channel(2)
		p.get(2, q, false)
		p.closeChannel(2) // does not count as a failure
		began := time.Now()
		p.send(1, &wire.BasicNack{DeliveryTag: tag, Requeue: true})
		if n := p.ready(1, q); n != 1 {
			t.Errorf("%d are ready", n)
		}
		_, other := p.gotAfter(q, "2*")
		p.send(1, &wire.BasicAck{DeliveryTag: other})
		for _, rest := range []time.Duration{least, 500 * time.Millisecond} {
			_, tag := p.gotAfter(q, "1*")
			if took := time.Since(began); took < rest-2*time.Millisecond || took > rest+2*time.Second { // stamps are whole milliseconds
				t.Errorf("ready after %v, want %v", took, rest)
			}
			began = time.Now()
			p.send(1, &wire.BasicReject{DeliveryTag: tag, Requeue: true})
		}
		// To a consumer as well.
		p.consume(1, wire.BasicConsume{Queue: q, NoAck: true})
		if d := p.deliver(1); d.body != "1" || time.Since(began) < least-2*time.Millisecond {
			t.Errorf("%s after %v", d.body, time.Since(began))
		}
	})
}

// What a channel leaves behind rests where that is asked for.
func TestDelayedRetryReturned(t *testing.T) {
	t.Parallel()
	eachKind(t, retryArgs("returned", 1000, 4000), func(t *testing.T, p *peer, q string) {
		p.to(1, q, "1")
		_, tag := p.get(1, q, false)
		p.send(1, &wire.BasicNack{DeliveryTag: tag, Requeue: true})
		if took, _ := p.gotAfter(q, "1*"); took > 900*time.Millisecond {
			t.Errorf("a failure rested for %v", took)
		}
		p.closeChannel(1)
		p.channel(1)
		if took, _ := p.gotAfter(q, "1*"); took < 1500*time.Millisecond { // its second time
			t.Errorf("ready after %v", took)
		}
	})
}

// A restart does not wake what rests.
func TestDelayedRetryRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := run(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	p := session(t, r.addr())
	p.send(1, &wire.QueueDeclare{Queue: "q", Durable: true, Arguments: retryArgs("all", 4000, 4000)})
	expect[*wire.QueueDeclareOK](p, 1)
	p.to(1, "q", "1")
	_, tag := p.get(1, "q", false)
	began := time.Now()
	p.send(1, &wire.BasicNack{DeliveryTag: tag, Requeue: true})
	p.closeChannel(1)
	p.close()
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	if r, err = run(options(dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.halt(); err != nil {
			t.Error(err)
		}
	})
	session(t, r.addr()).gotAfter("q", "1*")
	if took := time.Since(began); took < 3900*time.Millisecond {
		t.Errorf("ready after %v", took)
	}
}
