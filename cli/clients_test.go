package cli

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The recipe's line prints what the recipe shows (estate F10, F11).
func TestProducerOutput(t *testing.T) {
	w := newWorld(t)
	code := w.run("producer", "--brokerUrl", "discovery:fabric:default", "--user", "admin", "--password", "admin",
		"--destination", "queue://summit.test", "--count", "10")
	w.wants(exitOK, code)
	golden(t, "producer.expected.txt", w.out.String())
	w.printed(w.errs.String(), "Successfully connected to tcp://127.0.0.1:5672")
}

// The recipe's own dashes, and a broker that dies twice meanwhile: numbers go
// on, and the end says that nothing was lost (estate F17).
func TestProducerThroughFailover(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	b.breakAt = []int{100, 500}
	w.Dial = b.dial
	code := w.run("producer", "--destination", "queue://summit.test", "--count", "1000", "-—sleep", "0", "–verify")
	w.wants(exitOK, code)
	w.printed(w.out.String(), lines("Sent: test message: %d", 0, 1000), "Produced: 1000\n",
		"produced 1000, confirmed 1000, unconfirmed 0, duplicates ", ", lost 0\n")
	if strings.Contains(w.out.String(), "duplicates 0,") {
		t.Error("what broke after storing and before confirming was sent again: a duplicate must be counted")
	}
	w.printed(w.errs.String(), "Transport (tcp://127.0.0.1:5672) failed, reason: EOF, attempting to automatically reconnect",
		"Successfully reconnected to tcp://127.0.0.1:5672")
}

// A confirmed message that never arrives is found, and fails the command.
func TestProducerFindsLoss(t *testing.T) {
	for _, dest := range []string{"queue://q", "topic://a.b", "exchange://logs/key"} {
		t.Run(dest, func(t *testing.T) {
			w := newWorld(t)
			b := newFakeBroker()
			b.loseAt = 7
			w.Dial = b.dial
			code := w.run("producer", "--destination", dest, "--verify", "--verify-wait", "50ms")
			w.wants(exitFailed, code)
			w.printed(w.out.String(), "produced 10, confirmed 10, unconfirmed 0, duplicates 0, lost 1\n")
		})
	}
}

func TestProducerRefused(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	b.rejectAt = 3
	w.Dial = b.dial
	w.wants(exitFailed, w.run("producer", "--count", "5"))
	w.printed(w.out.String(), "produced 5, confirmed 4, unconfirmed 1\n")
}

// Verifying takes nothing that belongs to others.
func TestVerifyLeavesOthersAlone(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	w.Dial = b.dial
	w.NewID = func() string { return "OTHER" }
	w.wants(exitOK, w.run("producer", "--destination", "queue://q", "--count", "4"))
	w.NewID = func() string { return "RUN" }
	w.wants(exitOK, w.run("producer", "--destination", "queue://q", "--count", "3", "--verify"))
	if n := len(b.queues["q"].ready); n != 4 {
		t.Errorf("%d messages are left, not 4", n)
	}
}

func TestProducerText(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	w.Dial = b.dial
	w.wants(exitOK, w.run("producer", "--text", "hi", "--size", "10", "--count", "1", "--destination", "queue://q"))
	if got := string(b.queues["q"].ready[0].Body); got != "hi........" {
		t.Errorf("body %q", got)
	}
}

func TestConsumerOutput(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	w.Dial = b.dial
	w.wants(exitOK, w.run("producer", "--destination", "queue://summit.test", "--count", "12"))
	w.out.buf.Reset()
	w.wants(exitOK, w.run("consumer", "--destination", "queue://summit.test", "--count", "10", "--prefetch", "3", "--verify"))
	golden(t, "consumer.expected.txt", w.out.String())
	if n := len(b.queues["summit.test"].ready); n != 2 {
		t.Errorf("%d messages are left, not 2", n)
	}
}

func TestConsumerCountsWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	b.loseAt, b.doubleAt = 3, 5
	w.Dial = b.dial
	w.wants(exitOK, w.run("producer", "--destination", "queue://q"))
	w.wants(exitFailed, w.run("consumer", "--destination", "queue://q", "--verify"))
	w.printed(w.out.String(), "consumed 10, duplicates 1, lost 1\n")
}

func TestConsumerGivesUpWhenIdle(t *testing.T) {
	w := newWorld(t)
	w.wants(exitFailed, w.run("consumer", "--timeout", "10ms"))
	w.printed(w.errs.String(), "0 of 10 messages arrived")
}

func TestConsumerIsInterrupted(t *testing.T) {
	w := newWorld(t)
	done := make(chan int)
	go func() { done <- w.run("consumer", "--count", "0") }()
	eventually(t, "consumer is connected", func() bool { return strings.Contains(w.errs.String(), "Successfully connected") })
	w.interrupted <- os.Interrupt
	w.wants(exitOK, <-done)
	w.printed(w.out.String(), "Consumer thread finished\nConsumed: 0\n")
}

func TestPrintableIsHarmless(t *testing.T) {
	for body, want := range map[string]string{
		"plain": "plain", "filled....": "filled", "\x1b[2J": `"\x1b[2J"`, "a\nb": `"a\nb"`, "\xff": `"\xff"`,
	} {
		if got := printable(body); body != "\xff" && got != want || strings.ContainsAny(got, "\x1b\n") {
			t.Errorf("%q is printed %q, want %q", body, got, want)
		}
	}
	if got := printable(strings.Repeat("x", 1000)); len(got) > 300 {
		t.Errorf("%d bytes are printed", len(got))
	}
}

func TestNoBroker(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	b.down = true
	w.Dial = b.dial
	w.wants(exitUnavailable, w.run("producer", "--reconnect-for", "20ms"))
	w.wants(exitUnavailable, w.run("consumer", "--reconnect-for", "20ms"))
	w.wants(exitUnavailable, w.run("perf", "--reconnect-for", "20ms"))
	w.printed(w.errs.String(), "no broker can be reached within 20ms")
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	b.denies = true
	w.Dial = b.dial
	w.wants(exitDenied, w.run("producer", "--user", "x", "--password", "hunter2", "--reconnect-for", "10m"))
	if strings.Contains(w.out.String()+w.errs.String(), "hunter2") {
		t.Error("the password was printed")
	}
}

// A broker that comes up late is waited for.
func TestConnectGoesOnTrying(t *testing.T) {
	w := newWorld(t)
	b := newFakeBroker()
	b.down = true
	w.Dial = b.dial
	up := time.AfterFunc(20*time.Millisecond, func() { b.mu.Lock(); b.down = false; b.mu.Unlock() })
	defer up.Stop()
	w.wants(exitOK, w.run("producer", "--brokerUrl", "failover:(tcp://a:1,tcp://b:2)"))
}

func TestBrokerURL(t *testing.T) {
	local := func() []string { return []string{"127.0.0.1:4711"} }
	for text, want := range map[string]string{
		"amqp://h":                           "tcp://h:5672 /",
		"amqps://h/":                         "ssl://h:5671 /",
		"amqp://u:p%40@h:1/a%2Fb":            "tcp://h:1 a/b u p@",
		"tcp://h:1":                          "tcp://h:1 /",
		"ssl://h:1":                          "ssl://h:1 /",
		"h":                                  "tcp://h:5672 /",
		"h:1,i:2":                            "tcp://h:1 / tcp://i:2 /",
		"amqps://h,i:2":                      "ssl://h:5671 / ssl://i:2 /",
		"failover:(tcp://a:1,tcp://b:2)?x=y": "tcp://a:1 / tcp://b:2 /",
		"failover:tcp://a:1":                 "tcp://a:1 /",
		"failover://(tcp://a:1)":             "tcp://a:1 /",
		"discovery:fabric:default":           "tcp://127.0.0.1:4711 /",
		"discovery:(fabric:x)":               "tcp://127.0.0.1:4711 /",
		"amqp://[::1]:3":                     "tcp://[::1]:3 /",
	} {
		u, err := parseBrokerURL(text, local)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, b := range u.brokers {
			got = append(got, b.String(), b.VHost)
		}
		if u.login.User != "" {
			got = append(got, u.login.User, u.login.Password)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"", "http://h", "amqp://", "failover:(tcp://a:1", "amqp://u:secret@h:port/"} {
		if _, err := parseBrokerURL(text, local); exitCode(err) != exitUsage || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDestination(t *testing.T) {
	for text, want := range map[string]destination{
		"queue://a/b":     {"queue://a/b", "", "a/b", "a/b"},
		"a":               {"queue://a", "", "a", "a"},
		"topic://a.*":     {"topic://a.*", "amq.topic", "a.*", ""},
		"exchange://x/k":  {"exchange://x/k", "x", "k", ""},
		"exchange://x":    {"exchange://x", "x", "", ""},
		"exchange://x//k": {"exchange://x//k", "x", "/k", ""},
	} {
		if got, err := parseDestination(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "queue://", "jms://x", "queue://" + strings.Repeat("x", 256)} {
		if _, err := parseDestination(text); exitCode(err) != exitUsage {
			t.Errorf("%.20s: %v", text, err)
		}
	}
}

// Dashes that a word processor has made long are understood (estate F17).
func TestStraightDashes(t *testing.T) {
	for in, want := range map[string]string{
		"--count": "--count", "-h": "-h", "–count": "--count", "—count=3": "--count=3", "-—sleep": "--sleep", "–-x": "--x",
		"–": "–", "-": "-", "a–b": "a–b", "-5": "-5", "": "",
	} {
		if got := straightDashes([]string{in})[0]; got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"},
		{"serve", "extra"},
		{"serve", "--nonsense"},
		{"serve", "--listen", "amqp"},
		{"producer", "--count", "x"},
		{"producer", "--count", "-1"},
		{"producer", "--sleep", "x"},
		{"producer", "--destination", "x://y"},
		{"consumer", "--prefetch", "0"},
		{"consumer", "--brokerUrl", "x://"},
		{"config", "nonsense"},
		{"perf", "--size", "31"},
		{"perf", "--queues", "2"},
		{"perf", "--time", "0"},
		{"perf", "--rate", "-1"},
		{"perf", "--producers", "0"},
	} {
		w := newWorld(t)
		if code := w.run(args...); code != exitUsage || !strings.Contains(w.errs.String(), `see "warren help"`) {
			t.Errorf("%v: exit code %d, %s", args, code, w.errs)
		}
	}
	w := newWorld(t)
	w.run("sevre")
	w.printed(w.errs.String(), `did you mean "serve"?`)
}
