package queue

import (
	"pgregory.net/rapid"
)

func (m *model) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":        func(*rapid.T) { m.invariant() },
		"enqueue": func(t *rapid.T) { m.enqueue(rapid.IntRange(1, 20).Draw(t, "n")) },
		"bulk": func(t *rapid.T) {
			if rapid.IntRange(0, 19).Draw(t, "rarely") > 0 {
				t.Skip()
			}
			for range 4100 {
				m.body++
				m.commit(command{kind: "enqueue", record: Record{Body: Body{Index: uint64(len(m.log)), Off: m.body}, Size: 7}})
			}
		},
		"consume": func(t *rapid.T) {
			if len(m.clients) > 12 {
				t.Skip()
			}
			c := &client{spec: ConsumerSpec{
				ID: ConsumerID(len(m.clients) + 1), Ref: uint64(len(m.clients)), Session: m.session(),
				Prefetch: rapid.Uint32Range(0, 5).Draw(t, "prefetch"), NoAck: rapid.Bool().Draw(t, "noack"),
				Priority: rapid.Int32Range(-1, 1).Draw(t, "level"),
			}}
			m.check(m.d.Add(c.spec))
			m.clients = append(m.clients, c)
		},
		"dispatch": func(*rapid.T) { m.dispatch() },
		"get": func(t *rapid.T) {
			by := &client{spec: ConsumerSpec{Session: m.session()}, gone: true}
			for {
				d, p := m.d.Get(by.spec.Session, 0, m.now)
				if p.Why == NotPaused {
					m.clients = append(m.clients, by)
					m.delivered(d, len(m.clients)-1)
				}
				if !m.resolve(p, true) {
					return
				}
			}
		},
		"settle": func(t *rapid.T) {
			x := m.pick()
			size, ok := m.d.Settle(x.seq, x.holding)
			if !ok || size != x.rec.Size {
				t.Fatalf("settle of %+v: %d, %v", x, size, ok)
			}
			m.release(x)
			kind := rapid.SampledFrom([]string{"settle", "remove"}).Draw(t, "kind")
			m.decide(kind, Rejected, 0, AppendRun(nil, x.seq, size))
		},
		"settle many": func(*rapid.T) {
			var runs []Run
			for _, x := range m.sorted(isHeldNow) {
				m.d.Settle(x.seq, x.holding)
				m.release(x)
				runs = AppendRun(runs, x.seq, x.rec.Size)
			}
			m.decide("settle", 0, 0, runs)
		},
		"return": func(t *rapid.T) {
			x, raise := m.pick(), m.raise()
			size, v := m.d.Return(x.seq, x.holding, raise)
			m.release(x)
			limit, limited := m.s.DeliveryLimit.Set()
			if spend := raise&RaiseFailed != 0 && limited && uint64(x.rec.Failed)+1 > limit; spend != (v == Spend) || v == Stale {
				t.Fatalf("return of %+v: verdict %d", x, v)
			}
			if v == Spend {
				m.decide("remove", Spent, 0, AppendRun(nil, x.seq, size))
			} else {
				m.decide("return", 0, raise, AppendRun(nil, x.seq, size))
			}
		},
		"settle stale": func(t *rapid.T) {
			if len(m.stale) == 0 {
				t.Skip()
			}
			d := rapid.SampledFrom(m.stale).Draw(t, "delivery")
			if x := m.messages[d.Seq]; x != nil && x.where == isHeld && x.holding == d.Holding {
				t.Skip("still held")
			}
			if _, ok := m.d.Settle(d.Seq, d.Holding); ok {
				t.Fatalf("stale settle of %+v was taken", d)
			}
		},
		"cancel": func(t *rapid.T) {
			c := m.clients[m.someClient()]
			if !m.d.Cancel(c.spec.ID) {
				t.Fatal("not there")
			}
			c.gone = true
		},
		"end consumer": func(t *rapid.T) {
			i, raise := m.someClient(), m.raise()
			var out Outcome
			m.d.EndConsumer(m.clients[i].spec.ID, raise, &out)
			m.ended(func(c *client) bool { return c == m.clients[i] }, raise, out)
		},
		"end session": func(*rapid.T) {
			s, raise := m.session(), m.raise()
			var out Outcome
			m.d.EndSession(s, raise, &out)
			m.ended(func(c *client) bool { return c.spec.Session == s }, raise, out)
		},
		"log": func(t *rapid.T) {
			n := rapid.IntRange(0, len(m.pending)).Draw(t, "n")
			for _, c := range m.pending[:n] {
				m.commit(c)
			}
			m.pending = m.pending[n:]
		},
		"expire": func(t *rapid.T) {
			m.now += rapid.Int64Range(0, 10).Draw(t, "ms")
			m.expire()
		},
		"overflow": func(*rapid.T) {
			for {
				runs, p := m.d.Overflow(1000, nil)
				m.decide("remove", Dropped, 0, runs)
				if !m.resolve(p, false) && p.Why != LimitReached {
					break
				}
			}
			if n, ok := m.s.MaxLength.Set(); ok && m.d.Ready().Messages > n {
				m.t.Fatalf("%d are ready", m.d.Ready().Messages)
			}
		},
		"purge": func(t *rapid.T) {
			if rapid.IntRange(0, 5).Draw(t, "rarely") > 0 {
				t.Skip()
			}
			for {
				runs, p := m.d.Purge(nil)
				m.decide("remove", Purged, 0, runs)
				if !m.resolve(p, false) {
					break
				}
			}
			if n := len(m.ready()); n != 0 {
				t.Fatalf("%d are ready after a purge", n)
			}
		},
		"left": func(*rapid.T) { m.left() },
		"take": func(*rapid.T) { m.take() },
		"checkpoint": func(t *rapid.T) {
			m.check(m.replica().checkpoint(m.s, rapid.IntRange(0, 3).Draw(t, "abort") == 0))
		},
		"evict": func(t *rapid.T) {
			r := m.replica()
			for p := range r.l.Pages() {
				if ok := r.l.Evict(p.ID); ok && !p.Clean {
					t.Fatalf("evicted %+v", p)
				}
			}
		},
		"trim": func(*rapid.T) { m.replica().l.Trim() },
		"crash follower": func(t *rapid.T) {
			r := rapid.SampledFrom(m.others).Draw(t, "follower")
			m.check(r.crash(m.s, m.log))
		},
		"lead": func(t *rapid.T) {
			if rapid.Bool().Draw(t, "crash") {
				m.check(m.leader.crash(m.s, m.log))
			} else if rapid.Bool().Draw(t, "move") {
				m.d.Close()
				m.leader, m.others[0] = m.others[0], m.leader
			}
			m.lead(rapid.Bool().Draw(t, "ended"))
		},
		"reattach": func(*rapid.T) {
			m.d.Detach(m.node())
			if out, _ := m.d.Dispatch(m.now, 1, nil); len(out) > 0 {
				m.t.Fatalf("delivered to a detached node: %+v", out)
			}
			m.attach(isHeldNow)
		},
	}
}
