package listener

import (
	"crypto/tls"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// updates is how many key updates a flood has.
const updates = 10_000

// hostile starts a TLS listener with a neighbour who is logged in and must not
// notice anything.
func hostile(t *testing.T, o Options) (r *running, neighbour *client) {
	t.Helper()
	o.TLS, _ = serverTLS(t)
	r = start(t, o)
	neighbour = r.dialTLS(&tls.Config{InsecureSkipVerify: true})
	neighbour.say("ECHO")
	neighbour.say("login")
	return r, neighbour
}

// alone checks that of all connections only the neighbour's is left, and works.
func alone(r *running, neighbour *client) {
	r.t.Helper()
	neighbour.say("still here")
	eventually(r.t, "the hostile connection is gone", func() bool { return r.Stats().Active == 1 })
	if s := r.o.Gate.Stats(); s.Connections != 1 || s.HalfOpen != 0 {
		r.t.Errorf("gate %+v", s)
	}
}

// login logs a forger in.
func (f *forger) login() {
	f.t.Helper()
	f.send(f.seal(recordData, []byte("ECHO\nlogin\n")))
	f.hear("ECHO\nlogin\n")
}

// A flood of key updates ends after a few, before login and after it (X8). Whether
// the client wants answers, and that it reads none of them, makes no difference.
func TestTLSKeyUpdateFlood(t *testing.T) {
	for _, tc := range []struct {
		name          string
		login, answer bool
	}{
		{"before login", false, false},
		{"before login, answered", false, true},
		{"after login", true, false},
		{"after login, answered", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, neighbour := hostile(t, Options{})
			f := forge(r, tls.VersionTLS13)
			if tc.login {
				f.login()
			}
			for i := 0; i < updates && f.send(f.keyUpdate(tc.answer)); i++ {
			}
			f.closed()
			alone(r, neighbour)
			if !strings.Contains(r.book.String(), "too many non-advancing records") {
				t.Errorf("not explained: %s", r.book)
			}
		})
	}
}

// Key updates in a number that a client has use for do no harm.
func TestTLSKeyUpdates(t *testing.T) {
	r, neighbour := hostile(t, Options{})
	f := forge(r, tls.VersionTLS13)
	f.login()
	for range 100 {
		f.send(f.keyUpdate(true), f.keyUpdate(false), f.seal(recordData, []byte("a line of some length\n")))
		f.hear("a line of some length\n")
	}
	_ = f.raw.Close()
	alone(r, neighbour)
}

// Renegotiation is refused at once (X8).
func TestTLSRenegotiation(t *testing.T) {
	for _, login := range []bool{false, true} {
		r, neighbour := hostile(t, Options{})
		f := forge(r, tls.VersionTLS12)
		if login {
			f.login()
		}
		hello := append([]byte{helloMessage, 0, 0, 41, 3, 3}, make([]byte, 32)...) // random
		f.send(f.seal(recordHandshake, append(hello, 0, 0, 2, 0xc0, 0x2b, 1, 0)))  // session, suites, compression
		f.closed()
		alone(r, neighbour)
		if !strings.Contains(r.book.String(), "unexpected") {
			t.Errorf("not explained: %s", r.book)
		}
	}
}

// A handshake in records of one byte is a handshake as long as the budget lasts;
// a greeting six times the budget is not (X8).
func TestTLSShreddedHandshake(t *testing.T) {
	r, neighbour := hostile(t, Options{})
	shred := func(c *tls.Config) (*tls.Conn, error) {
		c.InsecureSkipVerify = true
		shredded := tls.Client(shredder{r.dial()}, c)
		return shredded, shredded.Handshake()
	}
	small, err := shred(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_ = small.Close()

	var names []string
	for range 60 { // a hello of 15 KiB, 90 KiB as sent
		names = append(names, strings.Repeat("n", 250))
	}
	if _, err := shred(&tls.Config{NextProtos: names}); err == nil {
		t.Error("a handshake beyond the budget got through")
	}
	eventually(t, "counted", func() bool { return r.Stats().Overspent == 1 })
	alone(r, neighbour)
}

// Data in records of one byte is data: it counts as sent before login, and is
// served after it (X8).
func TestTLSShreddedData(t *testing.T) {
	r, neighbour := hostile(t, Options{})
	f := forge(r, tls.VersionTLS13)
	f.login()
	line := strings.Repeat("x", 20_000) + "\n"
	go func() { // ended by what hear reads
		for i := range len(line) {
			f.send(f.seal(recordData, []byte(line[i:i+1])))
		}
	}()
	f.hear(line)
	_ = f.raw.Close()

	f = forge(r, tls.VersionTLS13)
	for range 10_000 {
		if !f.send(f.seal(recordData, []byte("x"))) {
			break
		}
	}
	f.closed()
	alone(r, neighbour)
	if got := r.Stats().Overspent; got != 1 {
		t.Errorf("%d budgets overspent", got)
	}
}

// Records that say nothing end the connection after a few (X8).
func TestTLSEmptyRecords(t *testing.T) {
	for name, record := range map[string]func(*forger) []byte{
		"no data":     func(f *forger) []byte { return f.seal(recordData, nil) },
		"a warning":   func(f *forger) []byte { return f.seal(recordAlert, []byte{1, 90}) },
		"a cipher":    func(*forger) []byte { return []byte{recordCCS, 3, 3, 0, 1, 1} },
		"no message":  func(f *forger) []byte { return f.seal(recordHandshake, nil) },
		"half a one":  func(f *forger) []byte { return f.seal(recordHandshake, []byte{keyUpdateMessage}) },
		"a large one": func(f *forger) []byte { return f.seal(recordHandshake, []byte{helloMessage, 255, 255, 255}) },
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				r, neighbour := hostile(t, Options{})
				f := forge(r, version)
				f.login()
				for range 100 {
					if !f.send(record(f)) {
						break
					}
				}
				f.closed()
				alone(r, neighbour)
			})
		}
	}
}

// A client hello that never ends ends with the time before login, however
// steadily it comes (X8).
func TestTLSEndlessHello(t *testing.T) {
	config, _ := serverTLS(t)
	r := start(t, Options{TLS: config, LoginTime: 50 * time.Millisecond})
	c := r.dial()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	gone := make(chan struct{})
	go func() { defer close(gone); c.closed() }()
	hello := append([]byte{recordHandshake, 3, 1, 0x3f, 0xff, helloMessage, 0, 0x3f, 0xfb, 3, 3}, make([]byte, 16<<10)...)
	for i := 0; ; i++ {
		select {
		case <-gone:
		case <-tick.C:
			_, _ = c.Write(hello[min(i, len(hello)-1):][:1])
			continue
		}
		break
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closed after %s", took)
	}
	eventually(t, "counted", func() bool { return r.Stats().Overspent == 1 })
}

// What hostile connections took is given back.
func TestTLSHostileLeavesNothing(t *testing.T) {
	r, neighbour := hostile(t, Options{})
	measure := func() (heap int64, goroutines int) {
		runtime.GC()
		runtime.GC() // what pools held is gone after the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), runtime.NumGoroutine()
	}
	before, goroutines := measure()
	var floods sync.WaitGroup
	for i := range 64 {
		f := forge(r, tls.VersionTLS13)
		if i%2 == 0 {
			f.login()
		}
		floods.Go(func() {
			for n := 0; n < updates/2 && f.send(f.keyUpdate(true)); n++ {
			}
			f.closed()
			_ = f.raw.Close()
		})
	}
	floods.Wait()
	alone(r, neighbour)
	eventually(t, "goroutines are back", func() bool { _, n := measure(); return n <= goroutines })
	if after, _ := measure(); after-before > 4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	runtime.KeepAlive(neighbour)
}
