package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func from(user, addr string) source {
	s := source{net: network(netip.MustParseAddr(addr))}
	copy(s.user[:], user)
	return s
}

func TestNetworks(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "192.0.3.1", false},
		{"192.0.2.1", "::ffff:192.0.2.7", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if got := from("u", c.a) == from("u", c.b); got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
	if network(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("no address is not one network")
	}
}

func TestDelays(t *testing.T) {
	want := []time.Duration{250, 500, 1000, 2000, 4000, 4000}
	for i, w := range want {
		if got := delay(i + 1); got != w*time.Millisecond {
			t.Errorf("after failure %d: %v", i+1, got)
		}
	}
}

func TestThrottle(t *testing.T) {
	var th throttle
	a, b := from("alice", "192.0.2.1"), from("alice", "198.51.100.1")
	now := time.Hour
	if d, ok := th.admit(a, now); d != 0 || !ok {
		t.Fatalf("first attempt: %v, %v", d, ok)
	}
	for range 4 {
		th.failed(a, now)
	}
	var waits []time.Duration
	for {
		d, ok := th.admit(a, now)
		if !ok {
			break
		}
		waits = append(waits, d)
	}
	if got := fmt.Sprint(waits); got != "[2s 4s 6s 8s]" {
		t.Fatalf("attempts at once wait %s", got)
	}
	if d, ok := th.admit(b, now); d != 0 || !ok {
		t.Fatalf("another network: %v, %v", d, ok)
	}
	th.succeeded(a)
	if d, ok := th.admit(a, now); d != 0 || !ok {
		t.Fatalf("after a success: %v, %v", d, ok)
	}
	th.failed(a, now)
	if d, _ := th.admit(a, now+forgiven+time.Second); d != 0 || th.len() != 0 {
		t.Fatalf("after %v: %v, %d remembered", forgiven, d, th.len())
	}
}

// TestThrottleBounds: however attempts come, no more get through in a time than
// the delays allow, and the table stays bounded.
func TestThrottleBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var th throttle
		s := from("u", "192.0.2.1")
		now, failures := time.Duration(0), 0
		var last time.Duration // when the last attempt was let through
		for range rapid.IntRange(1, 60).Draw(rt, "attempts") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond
			d, ok := th.admit(s, now)
			if !ok {
				continue
			}
			at := now + d
			if d > longestWait {
				rt.Fatalf("waits %v", d)
			}
			if failures > 0 && at < last+delay(failures) {
				rt.Fatalf("attempt at %v, %v after the one before, after %d failures", at, at-last, failures)
			}
			last = at
			now = at // whoever is let through is checked, and fails
			th.failed(s, at)
			failures++
		}
	})
	var th throttle
	for i := range throttleSize + 100 {
		th.failed(from(fmt.Sprint(i), "192.0.2.1"), time.Duration(i))
	}
	if th.len() != throttleSize {
		t.Fatalf("%d remembered", th.len())
	}
	if d, _ := th.admit(from("0", "192.0.2.1"), time.Second/10); d != 0 {
		t.Fatal("the oldest is still there")
	}
	if d, _ := th.admit(from(fmt.Sprint(throttleSize+99), "192.0.2.1"), time.Second/10); d == 0 {
		t.Fatal("the newest is not there")
	}
}

func TestVerifiedIsBounded(t *testing.T) {
	v := verified{size: 3, ttl: time.Minute}
	for i := range 10 {
		v.add(fmt.Sprint(i), fingerprint{byte(i)}, time.Duration(i))
	}
	if v.len() != 3 || !v.has("9", fingerprint{9}, 10) || v.has("0", fingerprint{0}, 10) {
		t.Fatalf("%d remembered", v.len())
	}
	if v.has("9", fingerprint{8}, 10) || v.has("9", fingerprint{9}, time.Minute+9) || v.len() != 2 {
		t.Fatal("wrong or old fingerprints count")
	}
}
