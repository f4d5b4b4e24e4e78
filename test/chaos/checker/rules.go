package checker

import (
	"fmt"
	"strings"
)

// A Rule is something that a broker may not do.
type Rule uint8

// The rules, with the numbers of the invariants in docs/reliability.md.
const (
	Lost      Rule = iota // I1: confirmed, and not delivered though its queue was drained
	Corrupted             // I2: other bytes than were sent
	Phantom               // I2, I9: never sent, or not to that queue
	Ghost                 // I3: refused for certain, and delivered
	Recanted              // I3: confirmed and refused
	Again                 // I4: delivered after its settlement was certain
	Unflagged             // I5: delivered again as if it were new
	Flagged               // I5: new, and marked, though nobody was lost
	Forgot                // I5: its count of deliveries went down
	Doubled               // I6, I7: delivered to somebody while a healthy consumer holds it
	TakenBack             // I6, I7: delivered again though a healthy consumer had settled it
	Reordered             // I8: a first delivery behind a later message of its publisher
	Torn                  // I10: a part of a transaction
	Left                  // I12: counted as held by a queue that was drained
	Early                 // I13: dead without a cause, or before its time
	Late                  // I13: delivered after its time
	Unburied              // I13: it died, and did not come where its queue sends such
	TwoActive             // I14: two active consumers where there may be one
	TwoOwners             // I14: two exclusive consumers
	Vanished              // I17: a name is gone that nobody deleted
	Revived               // I17: a name is there that was deleted
	Stuck                 // L1: a queue that does not confirm when all is healed
	rules
)

var ruleNames = [rules]string{
	"lost", "corrupted", "phantom", "ghost", "recanted", "again", "unflagged", "flagged", "forgot", "doubled", "taken back",
	"reordered", "torn", "left", "early", "late", "unburied", "two active", "two owners", "vanished", "revived", "stuck",
}

func (r Rule) String() string { return ruleNames[r] }

// Counts of a history.
type Counts struct {
	Sent, Confirmed, Refused, Received int
	// Marked counts deliveries marked as redelivered, Duplicates messages that came
	// again, with a cause or without.
	Marked, Duplicates int
	// Faults counts what was done to nodes, Under the confirms while it lasted,
	// Caught the messages that were on their way when it began.
	Faults, Under, Caught int
}

// A Report counts a history and what was wrong with it.
type Report struct {
	Counts
	Broken [rules]int
	// Examples are the first violations, in words.
	Examples []string
}

// maxExamples bounds the words of a report.
const maxExamples = 40

// Violations is how often a rule was broken.
func (r *Report) Violations() (n int) {
	for _, k := range r.Broken {
		n += k
	}
	return n
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sent %d, confirmed %d (%d under faults), refused %d, received %d (%d marked, %d again), faults %d, which caught %d",
		r.Sent, r.Confirmed, r.Under, r.Refused, r.Received, r.Marked, r.Duplicates, r.Faults, r.Caught)
	if r.Violations() == 0 {
		b.WriteString("; no violation")
	}
	for rule, n := range r.Broken {
		if n > 0 {
			fmt.Fprintf(&b, "; %s %d", Rule(rule), n)
		}
	}
	return b.String()
}

func (r *Report) broke(rule Rule, format string, args ...any) {
	r.Broken[rule]++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, rule.String()+": "+fmt.Sprintf(format, args...))
	}
}

// Verdicts of a run. A run that shows nothing does not pass.
const (
	Pass    = "pass"
	Fail    = "fail"
	Unknown = "unknown"
)

// Verdict judges a run that was drained, or was not: what broke a rule fails, what
// was not loaded, not hurt or not drained is unknown, and why says so.
func (r *Report) Verdict(drained bool) (verdict, why string) {
	switch {
	case r.Violations() > 0:
		return Fail, "rules were broken"
	case !drained:
		return Unknown, "the queues could not be drained"
	case r.Sent == 0 || r.Confirmed*2 < r.Sent:
		return Unknown, fmt.Sprintf("only %d of %d messages were confirmed", r.Confirmed, r.Sent)
	case r.Faults == 0:
		return Unknown, "nothing was hurt"
	case r.Under+r.Caught == 0:
		return Unknown, "nothing was on its way while something was hurt"
	}
	return Pass, ""
}
