package queue

import (
	"fmt"
	"strings"
)

var verbs = map[string]func(*story, *args) string{
	"queue":    (*story).open,
	"enqueue":  (*story).enqueue,
	"consume":  (*story).consume,
	"dispatch": (*story).dispatch,
	"get":      (*story).get,
	"settle":   (*story).settle,
	"return":   (*story).giveBack,
	"show":     (*story).show,

	"set": func(st *story, a *args) string {
		st.s = settings(a)
		st.r.l.SetSettings(st.s)
		return ""
	},
	"delay-log": func(st *story, _ *args) string { st.delay = true; return "" },
	"log": func(st *story, _ *args) string {
		var b strings.Builder
		for _, c := range st.queue {
			_, n := st.commit(c)
			fmt.Fprintf(&b, "%s of %d applied\n", c.kind, n)
		}
		st.queue, st.delay = nil, false
		return b.String()
	},
	"lose-log": func(st *story, _ *args) string { st.queue = nil; return "" },
	"again": func(st *story, _ *args) string { // the last command, twice
		c := st.log[len(st.log)-1]
		_, n := c.apply(st.r.l)
		return fmt.Sprintf("%d changed\n", n)
	},

	"cancel": func(st *story, a *args) string {
		return fmt.Sprintln(st.d.Cancel(st.consumers[a.words()[0]]))
	},
	"end-consumer": func(st *story, a *args) string {
		var out Outcome
		raise := raises(a.text("raise", "acquired"))
		st.d.EndConsumer(st.consumers[a.words()[0]], raise, &out)
		return st.outcome(out, raise)
	},
	"end-session": func(st *story, a *args) string {
		var out Outcome
		raise := raises(a.text("raise", "acquired"))
		st.d.EndSession(sessionOf(a.words()[0]), raise, &out)
		return st.outcome(out, raise)
	},
	"end-incarnation": func(st *story, a *args) string {
		var out Outcome
		st.d.EndIncarnation(incarnation(a.words()[0]), &out)
		return st.outcome(out, RaiseAcquired)
	},
	"credit": func(st *story, a *args) string {
		return fmt.Sprintln(st.d.SetCredit(st.consumers[a.words()[0]], uint32(a.num("n", 0))))
	},
	"channel": func(st *story, a *args) string {
		name := a.words()[0]
		if st.shared[name] == nil {
			st.shared[name] = &counter{}
		}
		st.shared[name].n = a.num("prefetch", 0)
		return ""
	},
	"wake": func(st *story, a *args) string {
		for _, name := range a.words() {
			st.d.Wake(st.consumers[name])
		}
		return ""
	},
	"active": func(st *story, _ *args) string {
		id, ok := st.d.Active()
		if !ok {
			return "nobody"
		}
		return st.refs[id]
	},
	"consumers": func(st *story, _ *args) string { return fmt.Sprintln(st.d.Consumers()) },

	"now": func(st *story, a *args) string {
		st.now += int64(a.num("plus", 0))
		return ""
	},
	"expire": func(st *story, a *args) string {
		runs, p := st.d.Expired(st.now, a.num("max", 100), nil)
		return st.decide("remove", Expired, 0, runs) + st.pause(p)
	},
	"next-expiry": func(st *story, _ *args) string {
		at, p := st.d.NextExpiry()
		if p.Why != NotPaused {
			return st.pause(p)
		}
		if at == 0 {
			return "never"
		}
		return fmt.Sprintf("in %d ms", at-st.now)
	},
	"due": func(st *story, a *args) string {
		runs, p := st.d.Due(st.now, a.num("max", 100), nil)
		return st.decide("post", Due, 0, runs) + st.pause(p)
	},
	"next-due": func(st *story, _ *args) string {
		at := st.d.NextDue()
		if at == 0 {
			return "never"
		}
		return fmt.Sprintf("not in %d ms", at-st.now)
	},
	"letters": func(st *story, _ *args) string {
		var out []string
		for x, ok := st.r.l.NextLetter(0); ok; x, ok = st.r.l.NextLetter(x.Number + 1) {
			out = append(out, fmt.Sprintf("%d:%s(%v)", x.Number, st.names[x.Seq], x.Why))
		}
		return strings.Join(out, " ")
	},
	"overflow": func(st *story, a *args) string {
		runs, p := st.d.Overflow(a.num("max", 100), nil)
		return st.decide("remove", Dropped, 0, runs) + st.pause(p)
	},
	"purge": func(st *story, _ *args) string {
		runs, p := st.d.Purge(nil)
		return st.decide("remove", Purged, 0, runs) + st.pause(p)
	},
	"admit": func(st *story, a *args) string {
		return fmt.Sprintln(st.d.Admit(uint8(a.num("priority", 0)), uint32(a.num("size", 10))))
	},
	"withdraw": func(st *story, a *args) string {
		st.d.Withdraw(uint8(a.num("priority", 0)), uint32(a.num("size", 10)))
		return ""
	},
	"clear-in-flight": func(st *story, _ *args) string { st.d.ClearInFlight(); return "" },
	"clear":           func(st *story, _ *args) string { st.r.l.Clear(); return "" },

	"want-horizon": func(st *story, a *args) string {
		p, seq, ok := st.d.WantHorizon()
		if a.has("get") {
			p, seq, ok = st.d.WantHorizonForGet()
		}
		if !ok {
			return "no"
		}
		if a.has("log") {
			st.commit(command{kind: "horizon", lane: p, horizon: seq})
		}
		return fmt.Sprintf("lane %d up to %d", p, seq&seqMask)
	},
	"marks": func(st *story, a *args) string {
		l, p := st.r.l, uint8(a.num("priority", 0))
		return fmt.Sprintf("next %d horizon %d lost %d", l.NextSeq(p)&seqMask, l.Horizon(p)&seqMask, l.LostMark(p)&seqMask)
	},
	"lost": func(st *story, _ *args) string { st.commit(command{kind: "lost"}); return "" },

	"lead": func(st *story, a *args) string {
		st.term++
		st.queue = nil
		life := Life{Term: st.term}
		for _, w := range a.words() {
			life.Waits = append(life.Waits, incarnation(w))
		}
		st.d = NewDispatcher(st.r.l, life)
		return st.attachState()
	},
	"detach": func(st *story, a *args) string { st.d.Detach(incarnation(a.words()[0])); return "" },
	"attach": (*story).attach,
	"state":  func(st *story, _ *args) string { return st.attachState() },

	"pages": func(st *story, _ *args) string {
		var b strings.Builder
		for p := range st.r.l.Pages() {
			fmt.Fprintf(&b, "page %d: %d live, %d bytes, hot %v, clean %v\n", p.ID, p.Live.Messages, p.Live.Bytes, p.Hot, p.Clean)
		}
		return b.String() + fmt.Sprintf("%d in memory\n", st.r.l.HotPages())
	},
	"evict":   func(st *story, a *args) string { return fmt.Sprintln(st.r.l.Evict(uint64(a.num("page", 0)))) },
	"install": func(st *story, a *args) string { return fmt.Sprintln(st.r.install(uint64(a.num("page", 0)))) },
	"trim":    func(st *story, _ *args) string { st.r.l.Trim(); return "" },
	"read-ahead": func(st *story, a *args) string {
		return fmt.Sprintln(st.d.ReadAhead(a.num("max", 2), nil))
	},
	"browse": func(st *story, _ *args) string {
		var out []string
		for seq, ok := st.r.l.Browse(0); ok; seq, ok = st.r.l.Browse(seq) {
			name := st.names[seq]
			if st.r.l.Redelivered(seq) {
				name += "*"
			}
			out = append(out, name)
		}
		return strings.Join(out, " ")
	},
	"counters": func(st *story, _ *args) string { return fmt.Sprintf("%+v", st.r.l.Counters()) },
	"cut":      (*story).cut,
	"restart": func(st *story, _ *args) string {
		before := st.r.l.Digest()
		if err := st.r.crash(st.s, st.log); err != nil {
			return err.Error()
		}
		st.term++
		st.d = NewDispatcher(st.r.l, Life{Term: st.term})
		return fmt.Sprintf("same content: %v", st.r.l.Digest() == before)
	},
}

func (st *story) attachState() string {
	switch {
	case st.d.Open():
		return "open"
	case st.d.WantLost():
		return "wants lost"
	default:
		return fmt.Sprintf("waits for %v", st.d.Waits())
	}
}

// attach reads "attach 1/1 c1=s1 claim=(a,c1,s1) [more]".
func (st *story) attach(a *args) string {
	from := incarnation(a.words()[0])
	var specs []ConsumerSpec
	var claims []Claim
	for _, x := range a.td.CmdArgs {
		switch {
		case len(x.Vals) == 0, x.Key == "prefetch", x.Key == "shared":
		case x.Key == "claim":
			ds := st.deliveries[x.Vals[0]]
			d := ds[len(ds)-1]
			claims = append(claims, Claim{Seq: d.Seq, Holding: d.Holding, Size: d.Record.Size, Acquired: d.Record.Acquired, Session: sessionOf(x.Vals[2]), Consumer: st.consumers[x.Vals[1]]})
		default:
			spec := st.spec(x.Key, &args{td: a.td})
			spec.Session = sessionOf(x.Vals[0])
			specs = append(specs, spec)
		}
	}
	refused, err := st.d.Attach(from, specs, claims, !a.has("more"), nil)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, c := range refused {
		fmt.Fprintf(&b, "refused %s\n", st.names[c.Seq])
	}
	return b.String() + st.attachState()
}

// cut makes a checkpoint and tells what was written.
func (st *story) cut(a *args) string {
	var c Cut
	st.r.round++
	st.r.l.Cut(st.r.round, &c)
	var b strings.Builder
	if !c.Changed() {
		return "nothing changed"
	}
	for _, g := range c.Gone {
		refs, err := g.AppendDead(nil, st.r.disk.records[g.ID])
		fmt.Fprintf(&b, "gone %d: %d dead bodies, %v\n", g.ID, len(refs), err)
	}
	for i := range c.Pages {
		p := &c.Pages[i]
		dead, err := p.AppendDead(nil, st.r.disk.records[p.ID])
		fmt.Fprintf(&b, "page %d: records %v, needs stored %v, new bodies %d, dead %d, %v\n",
			p.ID, p.HasRecords(), p.NeedsStored(), len(p.AppendNew(nil)), len(dead), err)
	}
	if a.has("abort") {
		st.r.l.Abort(&c)
		return b.String() + "aborted"
	}
	if err := st.r.disk.write(&c, len(st.log)); err != nil {
		return err.Error()
	}
	st.r.l.Saved(&c)
	if err := st.r.checkDisk(st.s); err != nil {
		return err.Error()
	}
	return b.String()
}
