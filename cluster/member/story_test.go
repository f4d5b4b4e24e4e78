package member

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestStories runs the stories of testdata/stories against one machine: each
// line is something that happens to it, and under it stands what it does. Its
// beats are only told when they are asked for.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		var s *story
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "node" {
				var self uint64
				d.ScanArgs(t, "self", &self)
				m, err := New(Options{Self: self})
				if err != nil {
					t.Fatal(err)
				}
				s = &story{m: m, now: time.Minute}
				return ""
			}
			if d.Cmd != "run" {
				d.Fatalf(t, "unknown directive %q", d.Cmd)
			}
			s.out.Reset()
			for line := range strings.SplitSeq(d.Input, "\n") {
				s.line(t, line)
			}
			return s.out.String()
		})
	})
}

type story struct {
	m     *Machine
	now   time.Duration
	beats bool
	fx    Effects
	out   strings.Builder
}

// args are a line's words: flags, and name=value.
type args map[string]string

func (a args) num(name string) uint64 { n, _ := strconv.ParseUint(a[name], 10, 64); return n }

func (a args) has(name string) bool { _, ok := a[name]; return ok }

func (a args) list(name string) (out []uint64) {
	for s := range strings.SplitSeq(a[name], ",") {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func (a args) duration(t *testing.T, name string) time.Duration {
	if !a.has(name) {
		return 0
	}
	d, err := time.ParseDuration(a[name])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (a args) conf() Conf {
	return Conf{Index: a.num("conf"), Voters: a.list("voters"), Outgoing: a.list("outgoing"), Learners: a.list("learners")}
}

func (s *story) line(t *testing.T, line string) {
	word, rest, _ := strings.Cut(line, " ")
	a := args{}
	for f := range strings.FieldsSeq(rest) {
		name, value, _ := strings.Cut(f, "=")
		a[name] = value
	}
	m := &Message{
		Incarnation: a.num("of"), Seq: a.num("seq"), Conf: a.conf(), Over: a.has("over"), Yes: a.has("yes") || a.has("again"),
		Witness: a.num("witness"), Term: a.num("term"), Round: a.num("round"),
	}
	if s.m != nil && a.num("conf") == s.m.roster.Conf.Index {
		m.Set = s.m.set // of those voters
	}
	if a.has("gone") {
		m.Why = Gone
	}
	fmt.Fprintln(&s.out, line)
	switch word {
	case "stopped": // for so long, and no tick comes
		d, err := time.ParseDuration(rest)
		if err != nil {
			t.Fatal(err)
		}
		s.now += d
	case "at":
		s.until(t, rest)
		return
	case "roster":
		s.m.Roster(s.now, roster(a))
	case "begin":
		s.m.Begin(s.now, a.num("number"))
	case "leader":
		s.m.Leader(s.now, Leader{Node: a.num("node"), Term: a.num("term")})
	case "gone":
		s.m.Gone(s.now, a.num("node"), s.now-a.duration(t, "ago"))
	case "drain":
		s.m.Drain(s.now, !a.has("off"))
	case "giveup":
		s.m.GiveUp(s.now)
	case "beats":
		s.beats = !a.has("off")
	case "state":
		st := s.m.Status()
		fmt.Fprintf(&s.out, "  %v: %s; lease valid %v\n", st.State, st.Text, s.m.Lease().Valid(s.now))
	default:
		kind, ok := map[string]Kind{"beat": Beat, "answer": Answer, "report": Report, "calloff": CallOff}[word]
		if !ok {
			t.Fatalf("unknown word %q", word)
		}
		m.Kind = kind
		s.m.Receive(s.now, a.num("from"), m)
	}
	s.tell("")
}

func roster(a args) Roster {
	r := Roster{Conf: a.conf()}
	for id := uint64(1); id < 10; id++ {
		if name := strconv.FormatUint(id, 10); a.has(name) {
			r.Members = append(r.Members, Member{Node: id, Name: "rabbit@" + string(rune('a'+id-1)), Incarnation: a.num(name)})
		}
	}
	return r
}

// until lets time pass, tick by tick, to a time after the start.
func (s *story) until(t *testing.T, at string) {
	d, err := time.ParseDuration(at)
	if err != nil {
		t.Fatal(err)
	}
	same, last := 0, time.Duration(0)
	for end := time.Minute + d; ; {
		next := s.m.Next()
		if next > end {
			s.now = end
			return
		}
		s.now = max(next, s.now)
		s.m.Tick(s.now)
		s.tell(fmt.Sprintf("%v ", s.now-time.Minute))
		if same++; next != last {
			same, last = 0, next
		}
		if same > 2 {
			t.Fatalf("ticks at %v and time stands still", next)
		}
	}
}

func (s *story) tell(at string) {
	s.m.Take(&s.fx)
	say := func(format string, v ...any) { fmt.Fprintf(&s.out, "  "+at+format+"\n", v...) }
	for _, e := range s.fx.Sends {
		switch m := e.Message; m.Kind {
		case Beat:
			if s.beats {
				say("to %d: beat of %d seq %d over=%v", e.To, m.Incarnation, m.Seq, m.Over)
			}
		case Answer:
			say("to %d: answer of %d seq %d yes=%v voters %v", e.To, m.Incarnation, m.Seq, m.Yes, m.Conf.Voters)
		case Report:
			say("to %d: report of %d, %v, witness %d term %d round %d conf %d again=%v", e.To, m.Incarnation, m.Why, m.Witness, m.Term, m.Round, s.m.roster.Conf.Index, m.Yes)
		case CallOff:
			say("to %d: call off %d, witness %d term %d round %d", e.To, m.Incarnation, m.Witness, m.Term, m.Round)
		}
	}
	for _, e := range s.fx.Ends {
		say("end %d, %v, witnesses %v term %d", e.Number, e.Why, e.Witnesses, e.Term)
	}
	if s.fx.Changed {
		say("%v: %s", s.m.Status().State, s.m.Status().Text)
	}
	if s.fx.Over {
		say("over")
	}
}
