package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// TestStories runs the stories of testdata/stories: each line a command or question,
// each answered with a line. Names default to vhost /.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{m: New(), store: map[string][]byte{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "run" {
				d.Fatalf(t, "unknown directive %q", d.Cmd)
			}
			var out strings.Builder
			for line := range strings.SplitSeq(d.Input, "\n") {
				fmt.Fprintln(&out, s.line(t, line))
			}
			return out.String()
		})
	})
}

type story struct {
	m     *Machine
	store map[string][]byte
	stamp int64
}

// words are a line's words: name=value, or a flag.
type words []string

func (w words) at(i int) string {
	for _, word := range w {
		if !strings.Contains(word, "=") {
			if i == 0 {
				return word
			}
			i--
		}
	}
	return ""
}

func (w words) get(name string) string {
	for _, word := range w {
		if k, v, ok := strings.Cut(word, "="); ok && k == name {
			return v
		}
	}
	return ""
}

func (w words) flag(name string) bool { return slices.Contains(w, name) }

func (w words) num(name string) uint64 {
	n, _ := strconv.ParseUint(w.get(name), 10, 64)
	return n
}

func (w words) nums(name string) (out []uint64) {
	if text := w.get(name); text != "" {
		for n := range strings.SplitSeq(text, ",") {
			out = append(out, number(n))
		}
	}
	return out
}

// recovered are the shards that are kept, and those that are known not to be.
func (w words) recovered() (out []Recovered) {
	for _, id := range w.nums("kept") {
		out = append(out, Recovered{ID: id, Kept: true, Attrs: w.table("args")})
	}
	for _, id := range w.nums("lost") {
		out = append(out, Recovered{ID: id, Attrs: w.table("args")})
	}
	return out
}

func intentKind(name string) IntentKind {
	for k := range intentKinds {
		if k.String() == name {
			return k
		}
	}
	return intentKinds
}

func (w words) vhost() string {
	if v := w.get("vhost"); v != "" {
		return v
	}
	return "/"
}

func (w words) session(name string) Session {
	inc, num, _ := strings.Cut(w.get(name), ".")
	i, _ := strconv.ParseUint(inc, 10, 64)
	n, _ := strconv.ParseUint(num, 10, 64)
	return Session{Incarnation: i, Number: n}
}

// table reads name:value,name:value; a number is an int32, an empty value Null.
func (w words) table(name string) (t message.Table) {
	text := w.get(name)
	if text == "" {
		return nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(pair, ":")
		value := message.StringOf(v)
		if n, err := strconv.ParseInt(v, 10, 32); err == nil {
			value = message.IntOf(message.Int32, n)
		} else if v == "" {
			value = message.Value{}
		}
		t = message.AppendField(t, k, value)
	}
	return t
}

func (w words) link() Link {
	l := Link{VHost: w.vhost(), Source: exchangeName(w.at(1)), Destination: w.at(2), Key: w.get("key"), Args: w.table("args")}
	if w.flag("exchange") {
		l.Kind, l.Destination = exchange.Exchange, exchangeName(l.Destination)
	}
	return l
}

// exchangeName reads default as the empty name.
func exchangeName(s string) string {
	if s == "default" {
		return ""
	}
	return s
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func (s *story) line(t *testing.T, line string) string {
	w := words(strings.Fields(line))
	switch w.at(0) {
	case "route":
		return s.route(w)
	case "list":
		return s.list()
	case "nodes":
		return s.nodes()
	case "checkpoint":
		return s.checkpoint()
	case "restore":
		return s.restore(t)
	}
	cmd := parseCommand(t, w)
	s.stamp += 10
	// Every command takes the way of the log.
	p := Proposal{Stamp: s.stamp, Command: cmd}
	if m := w.session("mark"); m.Incarnation != 0 {
		p.Mark = Mark(m)
	}
	results, err := s.m.ApplyEntry(1, AppendProposal(nil, p), nil)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return s.result(results[0])
}

func parseCommand(t *testing.T, w words) Command {
	switch w.at(0) {
	case "cluster":
		return &SetCluster{Cluster{ID: w.get("id"), Generation: w.num("generation"), Feature: w.num("feature")}}
	case "add-node":
		return &AddNode{ID: w.num("id"), Name: w.at(1), Attrs: w.table("args")}
	case "remove-node":
		return &RemoveNode{ID: number(w.at(1))}
	case "register":
		return &Register{Node: number(w.at(1)), Nonce: w.num("nonce")}
	case "node-state":
		return &SetNodeState{ID: number(w.at(1)), State: NodeState(slices.Index([]string{"serving", "draining", "leaving"}, w.at(2)))}
	case "end-incarnation":
		return &EndIncarnation{Number: number(w.at(1)), Witnesses: w.nums("witnesses"), Term: w.num("term")}
	case "intend":
		return &AddIntent{Kind: intentKind(w.at(1)), Subject: number(w.at(2)), With: w.nums("with"), Attrs: w.table("args")}
	case "step":
		return &StepIntent{ID: number(w.at(1)), From: w.get("from"), To: w.get("to"), Attrs: w.table("args")}
	case "end-intent":
		return &EndIntent{ID: number(w.at(1))}
	case "refuse":
		return &Refuse{Text: w.at(1)}
	case "end-session":
		return &EndSession{w.session("session")}
	case "add-shard":
		return &AddShard{Replicas: append([]uint64{number(w.at(1))}, w.nums("and")...), Leader: w.num("leader")}
	case "set-shard":
		return &SetShard{ID: number(w.at(1)), ShardSpec: ShardSpec{Replicas: w.nums("on"), Leader: w.num("leader")}}
	case "members":
		return &NoteMembers{Shard: number(w.at(1)), Members: Members{Voters: w.nums("voters"), Others: w.nums("others"), At: w.num("at")}}
	case "recover":
		return &Recover{Node: number(w.at(1)), Generation: w.num("generation"), Shards: w.recovered()}
	case "give-up-shard":
		return &GiveUpShard{ID: number(w.at(1)), ShardSpec: ShardSpec{Replicas: w.nums("on")}}
	case "remove-shard":
		return &RemoveShard{ID: number(w.at(1))}
	case "add-vhost":
		return &AddVHost{Name: w.at(1)}
	case "remove-vhost":
		return &RemoveVHost{Name: w.at(1)}
	case "user":
		return &SetUser{Name: w.at(1), Password: []byte(w.get("password")), Tags: strings.Fields(w.get("tags"))}
	case "remove-user":
		return &RemoveUser{Name: w.at(1)}
	case "permit":
		return &SetPermission{User: w.at(1), VHost: w.vhost(), Configure: w.get("configure"), Write: w.get("write"), Read: w.get("read")}
	case "forbid":
		return &ClearPermission{User: w.at(1), VHost: w.vhost()}
	}
	return parseTopology(t, w)
}

func parseTopology(t *testing.T, w words) Command {
	switch w.at(0) {
	case "declare-exchange":
		name, delayed := strings.CutPrefix(w.get("type"), "delayed-")
		kind, ok := exchange.ParseType(name)
		if !ok {
			t.Fatalf("no type in %q", w)
		}
		return &DeclareExchange{VHost: w.vhost(), ExchangeSpec: ExchangeSpec{
			Name: w.at(1), Type: kind, Durable: w.flag("durable"), AutoDelete: w.flag("auto-delete"),
			Internal: w.flag("internal"), Delayed: delayed, Args: w.table("args"),
		}, Home: w.num("home")}
	case "delete-exchange":
		return &DeleteExchange{VHost: w.vhost(), Name: w.at(1), ID: w.num("id"), IfUnused: w.flag("if-unused")}
	case "declare-queue":
		return &DeclareQueue{VHost: w.vhost(), QueueSpec: QueueSpec{
			Name: w.at(1), Durable: w.flag("durable"), AutoDelete: w.flag("auto-delete"), Exclusive: w.flag("exclusive"),
			Owner: w.session("by"), Args: w.table("args"), Shard: w.num("shard"), Incarnation: w.num("in"), Node: w.num("node"),
		}, Strict: w.flag("strict")}
	case "delete-queue":
		return &DeleteQueue{VHost: w.vhost(), Name: w.at(1), ID: w.num("id"), By: w.session("by"), Force: w.flag("force")}
	case "move-queue":
		return &UpdateQueue{ID: number(w.at(1)), Epoch: w.num("epoch"), Raise: true, Shard: w.num("shard"), Incarnation: w.num("in")}
	case "bind":
		return &Bind{w.link()}
	case "unbind":
		return &Unbind{w.link()}
	case "policy":
		return &SetPolicy{VHost: w.vhost(), Name: w.at(1), Pattern: w.get("pattern"), Definition: w.table("args")}
	case "parameter":
		return &SetParameter{VHost: w.vhost(), Component: w.at(1), Name: w.at(2), Value: []byte(w.get("value"))}
	}
	t.Fatalf("unknown line %q", w)
	return nil
}

func text(v message.Value) string {
	if i, ok := v.Int(); ok {
		return strconv.FormatInt(i, 10)
	}
	if s, ok := v.Text(); ok {
		return s
	}
	return strconv.FormatBool(v.Bool())
}

func (s *story) result(r Result) string {
	out := r.Code.String()
	if r.Missing != NoThing {
		out += ": " + r.Missing.String()
	}
	if r.Text != "" {
		out += " " + r.Text
	}
	if r.ID != 0 && r.Code == Done {
		out += fmt.Sprintf(" id=%d", r.ID)
	}
	if m := r.Mismatch; m != nil {
		received, current := "none", "none"
		if m.HasReceived {
			received = text(m.Received)
		}
		if m.HasCurrent {
			current = text(m.Current)
		}
		out += fmt.Sprintf(": %s received %s but current is %s", m.Arg, received, current)
	}
	for _, i := range r.Removed.Incarnations {
		out += fmt.Sprintf(" -incarnation:%d", i.Number)
	}
	for _, q := range r.Removed.Queues {
		out += " -queue:" + q.Name
	}
	for _, e := range r.Removed.Exchanges {
		out += " -exchange:" + e.Name
	}
	for _, b := range r.Removed.Bindings {
		out += fmt.Sprintf(" -binding:%s->%v:%s", b.Source.Name, b.Dest, b.Key)
	}
	return out
}

func (s *story) route(w words) string {
	v := s.m.View()
	x := v.Exchange(w.vhost(), exchangeName(w.at(1)))
	if x == nil {
		return "no exchange"
	}
	r := Router{Random: w.num("random"), Node: w.num("node")}
	headers := w.table("headers")
	var dst []exchange.Dest
	for key := range strings.SplitSeq(w.get("key"), "+") { // several keys are one publish
		dst = v.Route(&r, x, []byte(key), &headers, dst)
	}
	var out []string
	for _, d := range dst {
		out = append(out, v.QueueByID(d.ID()).Name)
	}
	if slices.Sort(out); len(out) == 0 {
		out = []string{"nowhere"}
	}
	if !r.ByKey() {
		out = append(out, "(not by the key alone)")
	}
	return "-> " + strings.Join(out, " ")
}

func (s *story) list() string {
	var out []string
	v := s.m.View()
	for h := range v.VHosts() {
		for x := range h.Exchanges("") {
			if n := v.Bindings(x).Len(); !x.System || n > 0 {
				out = append(out, fmt.Sprintf("exchange %s%s bindings=%d", h.Name, x.Name, n))
			}
		}
		for q := range h.Queues("") {
			out = append(out, fmt.Sprintf("queue %s%s id=%d epoch=%d", h.Name, q.Name, q.ID, q.Epoch))
		}
		if h.Home != 0 {
			out = append(out, fmt.Sprintf("home %s shard=%d", h.Name, h.Home))
		}
	}
	for q := range v.Queues(0) {
		if q.Kind == Schedule {
			out = append(out, fmt.Sprintf("schedule %s id=%d shard=%d of %s", q.Name, q.ID, q.Shard, v.VHostByID(q.VHost).Name))
		}
	}
	return strings.Join(append(out, fmt.Sprintf("revision %d", v.Revision())), "\n")
}

func (s *story) nodes() string {
	var out []string
	for n := range s.m.View().Nodes() {
		out = append(out, fmt.Sprintf("node %d %s %s", n.ID, n.Name, n.State))
	}
	for i := range s.m.View().Intents() {
		out = append(out, fmt.Sprintf("intent %d %s %d with %v at %q", i.ID, i.Kind, i.Subject, i.With, i.State))
	}
	for x := range s.m.View().Shards() {
		line := fmt.Sprintf("shard %d on %v, leader %d, founded on %v", x.ID, x.Replicas, x.Leader, x.Founders)
		if m := x.Members; m.At != 0 {
			line += fmt.Sprintf(", voters %v and others %v at %d", m.Voters, m.Others, m.At)
		}
		out = append(out, line)
	}
	for _, f := range s.m.View().forgotten.All() {
		out = append(out, fmt.Sprintf("forgotten %d %s", f.ID, f.Name))
	}
	return strings.Join(out, "\n")
}

func (s *story) checkpoint() string {
	set, deleted := 0, 0
	s.m.TakeDirty(func(key, value []byte, gone bool) {
		if gone {
			delete(s.store, string(key))
			deleted++
			return
		}
		s.store[string(key)] = value
		set++
	})
	return fmt.Sprintf("%d written, %d deleted", set, deleted)
}

func (s *story) restore(t *testing.T) string {
	before := s.m.View().Digest()
	m, err := load(s.store)
	if err != nil {
		t.Fatal(err)
	}
	s.m = m
	if m.View().Digest() == before {
		return "the same"
	}
	return "another state"
}
