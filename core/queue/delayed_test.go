package queue

import (
	"testing"

	"pgregory.net/rapid"
)

func TestRest(t *testing.T) {
	all := RetryFailed | RetryReturned
	failed, returned := RaiseAcquired|RaiseFailed, RaiseAcquired
	for _, tc := range []struct {
		r                Retry
		raise            Raise
		acquired, failed uint16
		want             int64
	}{
		{Retry{}, failed, 1, 1, 0},
		{Retry{all, 100, 0}, failed, 5, 3, 300},
		{Retry{all, 100, 250}, failed, 5, 3, 250},
		{Retry{all, 100, 0}, returned, 5, 3, 500},
		{Retry{RetryFailed, 100, 0}, returned, 5, 3, 0},
		{Retry{RetryReturned, 100, 0}, failed, 5, 3, 0},
		{Retry{all, 100, 0}, 0, 5, 3, 0},
		{Retry{all, 1<<32 - 1, 0}, failed, 65535, 65535, (1<<32 - 1) * 65535},
	} {
		if got := tc.r.rest(tc.raise, exception{acquired: tc.acquired, failed: tc.failed}); got != tc.want {
			t.Errorf("%+v, raise %d after %d and %d: %d, want %d", tc.r, tc.raise, tc.acquired, tc.failed, got, tc.want)
		}
	}
}

// TestRestModel holds a queue whose messages rest against a list, over changes
// of the leader and of the settings.
func TestRestModel(t *testing.T) {
	type msg struct {
		seq              uint64
		acquired, failed uint16
		until            int64
		h                Holding
		held, declined   bool
	}
	rapid.Check(t, func(t *rapid.T) {
		set := Settings{Memory: true, Retry: Retry{RetryFailed | RetryReturned, 10, 35}}
		l := NewLedger(set)
		term := uint64(1)
		d := NewDispatcher(l, Life{Term: term})
		now := int64(1000)
		var ms []*msg
		draw := func(held bool, t *rapid.T) *msg {
			var some []*msg
			for _, m := range ms {
				if m.held == held {
					some = append(some, m)
				}
			}
			if len(some) == 0 {
				t.Skip("none")
			}
			return some[rapid.IntRange(0, len(some)-1).Draw(t, "m")]
		}
		check := func(t *rapid.T) {
			var first *msg
			ready, held := uint64(0), uint64(0)
			for _, m := range ms {
				switch {
				case m.held:
					held++
				case m.until <= now:
					if ready++; first == nil {
						first = m
					}
				}
			}
			_, _ = d.Expired(now, 10, nil) // it looks who may rise
			if r := d.Ready(); r.Messages != ready || r.Bytes != 7*ready || d.Held().Messages != held {
				t.Fatalf("%+v ready and %+v held at %d, want %d and %d", r, d.Held(), now, ready, held)
			}
			if at := d.NextRetry(); at != 0 && at <= now {
				t.Fatalf("asks to be called at %d, it is %d", at, now)
			}
			if first == nil {
				return
			}
			x, p := d.Get(SessionID{Number: 1}, 0, now)
			if p.Why != NotPaused || x.Seq != first.seq || x.Record.Acquired != first.acquired || x.Record.Failed != first.failed {
				t.Fatalf("got %d (%+v), want %d", x.Seq, p, first.seq)
			}
			first.held, first.declined, first.h = true, false, x.Holding
		}
		t.Repeat(map[string]func(*rapid.T){
			"enqueue": func(*rapid.T) { ms = append(ms, &msg{seq: l.Enqueue(Record{Size: 7})}) },
			"get":     check,
			"return": func(t *rapid.T) {
				m := draw(true, t)
				raise := rapid.SampledFrom([]Raise{0, RaiseAcquired, RaiseAcquired | RaiseFailed}).Draw(t, "raise")
				size, v := d.Return(m.seq, m.h, raise)
				if v != Return {
					t.Fatalf("verdict %d", v)
				}
				l.Return(AppendRun(nil, m.seq, size)[0], raise, now)
				n := int64(0)
				m.held, m.until = false, 0
				if raise&RaiseAcquired != 0 {
					m.acquired++
					n = int64(m.acquired)
				}
				if raise&RaiseFailed != 0 {
					m.failed++
					n = int64(m.failed)
				}
				when := l.Settings().Retry.When
				if raise == 0 || raise&RaiseFailed != 0 && when&RetryFailed == 0 || raise&RaiseFailed == 0 && when&RetryReturned == 0 {
					return
				}
				m.until = now + min(10*n, 35)
			},
			"decline": func(t *rapid.T) {
				m := draw(true, t)
				if d.Decline(m.seq, Holding{}, now+50) || !d.Decline(m.seq, m.h, now+50) || d.Decline(m.seq, m.h, now+50) {
					t.Fatal("declined by another holding, or not by its own")
				}
				m.held, m.until, m.declined = false, now+50, true
			},
			"settle": func(t *rapid.T) {
				m := draw(true, t)
				size, ok := d.Settle(m.seq, m.h)
				if !ok || l.Settle(AppendRun(nil, m.seq, size)[0]) != 1 {
					t.Fatal("not settled")
				}
				for i := range ms {
					if ms[i] == m {
						ms = append(ms[:i], ms[i+1:]...)
						break
					}
				}
			},
			"time": func(t *rapid.T) { now += rapid.Int64Range(1, 30).Draw(t, "ms") },
			"set": func(t *rapid.T) {
				set.Retry.When = RetryWhen(rapid.IntRange(0, 3).Draw(t, "when"))
				l.SetSettings(set)
			},
			"leader": func(*rapid.T) {
				term++
				d = NewDispatcher(l, Life{Term: term})
				for _, m := range ms {
					m.held = false
					if m.declined { // only the dispatcher knew
						m.declined, m.until = false, 0
					}
				}
			},
		})
	})
}
