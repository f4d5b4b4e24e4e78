package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/storage"
)

// files reads every file of a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" { // the lock is taken
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	}))
	return all
}

// quiet are the options of a stopped node with a log that nobody reads.
func quiet(r *running) Options {
	o := r.o
	o.Logger = nil
	return o
}

// keepOn sets a policy that keeps queues of a name on nodes.
func keepOn(t *testing.T, r *running, pattern string, nodes ...string) {
	t.Helper()
	_, err := r.SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "keep " + pattern, Pattern: pattern,
		Definition: []byte(`{"ha-mode": "nodes", "ha-params": ["` + strings.Join(nodes, `", "`) + `"]}`),
	}})
	must(t, err)
}

// homeOf are the nodes that hold a queue.
func homeOf(r *running, queue string) []string {
	v := r.catalog.View()
	return namesOf(v, v.Shard(v.Queue("/", queue).Shard).Replicas)
}

// lostMajority fills a cluster of three and stops it for good but for the third
// node: "here" is on all of them, "there" on the first two, "empty" as well; late
// is a delayed exchange.
func lostMajority(t *testing.T) []*running {
	t.Helper()
	rs := startPatient(t, 3)
	keepOn(t, rs[0], "^(there|empty)$", rs[0].o.Name, rs[1].o.Name)
	ch := rs[0].channel()
	must(t, ch.Confirm(false))
	for _, name := range []string{"here", "there", "empty", "bound"} {
		declare(t, ch, name)
	}
	must(t, ch.QueueBind("there", "key", "amq.topic", false, nil))
	publish(t, ch, "here", 0, 200)
	publish(t, ch, "there", 0, 30)
	declareDelayed(t, ch, "late", "direct", "bound")
	publishLate(t, ch, "late", "bound", "tomorrow", int32(24*3600*1000))
	if got := homeOf(rs[0], "there"); len(got) != 2 {
		t.Fatalf("there is on %v", got)
	}
	rs[2].eventually("the third node has all of it", 20*time.Second, func() bool {
		s := rs[2].shards.Load().open[rs[2].catalog.View().Queue("/", "here").Shard]
		return s != nil && rs[2].catalog.View().Revision() == rs[0].catalog.View().Revision() &&
			s.Totals().Messages >= 200
	})
	for _, r := range rs {
		r.cancel()
	}
	for _, r := range rs {
		_ = r.wait() // without a majority it may not stop in time
		r.cancel = nil
	}
	return rs
}

// One of three goes on without the others: the trial says what there is and what
// not and changes nothing, then everything it had is served, what it had nothing of
// is declared and empty, others can join, and the old ones can not come back.
func TestRecover(t *testing.T) {
	rs := lostMajority(t)
	last := rs[2]
	o := quiet(last)
	before := files(t, o.DataDir)
	plan, err := PlanRecovery(t.Context(), o)
	must(t, err)
	for path, text := range files(t, o.DataDir) {
		if before[path] != text {
			t.Errorf("the trial changed %s", path)
		}
		delete(before, path)
	}
	if len(before) > 0 {
		t.Errorf("the trial removed %d files", len(before))
	}
	if plan.Node != last.o.Name || plan.Generation != 0 || !plan.Authority || plan.Catalog.Voters != 3 || !plan.Catalog.Voter {
		t.Fatalf("%+v", plan)
	}
	if got := strings.Join(plan.cutNames(), " "); got != rs[0].o.Name+" "+rs[1].o.Name || plan.Cut[0].Answers {
		t.Fatalf("cut out: %+v", plan.Cut)
	}
	kept := map[string]uint64{}
	for _, k := range plan.Kept {
		if k.Damaged != "" || k.Complete() || len(k.Queues) > 0 && k.Newest.IsZero() || !k.Newest.IsZero() && time.Since(k.Newest) > time.Hour {
			t.Errorf("%+v", k)
		}
		for _, q := range k.Queues {
			kept[q.Name] = q.Messages
		}
	}
	lost := ""
	for _, l := range plan.Lost {
		for _, q := range l.Queues {
			lost += q.Name + " on " + strings.Join(l.Others, " ") + ";"
		}
	}
	if kept["here"] != 200 || kept["delayed messages of exchange late"] != 1 || strings.Count(lost, "on "+rs[0].o.Name+" "+rs[1].o.Name) != 2 {
		t.Fatalf("kept %v, lost %s", kept, lost)
	}

	for _, names := range [][]string{nil, {rs[0].o.Name}, {rs[0].o.Name, rs[1].o.Name, "x@y"}} {
		if _, err := Recover(t.Context(), o, names); !errors.Is(err, ErrRecovery) {
			t.Fatalf("without %v: %v", names, err)
		}
	}
	if _, err := Recover(t.Context(), o, plan.cutNames()); err != nil {
		t.Fatal(err)
	}
	if _, err := PlanRecovery(t.Context(), o); !errors.Is(err, ErrRecovery) || !strings.Contains(err.Error(), "is alone") {
		t.Fatalf("a second time: %v", err)
	}

	r := start(t, o)
	recovered(t, r)
	old := launch(t, rs[0].o)
	if err := old.wait(); !errors.Is(err, ErrForgotten) {
		t.Errorf("one that was cut out ended with %v\n%s", err, old.log)
	}
	dir := t.TempDir()
	grown := []*running{r}
	for k := range 2 {
		j := clusterOptions(t, dir, 4+k, r.Addrs()["cluster"])
		j.Cluster.Lease, j.Cluster.Silence = o.Cluster.Lease, o.Cluster.Silence
		grown = append(grown, start(t, j))
	}
	r.eventually("replicas grow", 60*time.Second, func() bool { return len(homeOf(r, "here")) == 3 })
	same(t, grown)
	want(t, grown[2].channel(), "here", 200, 210)
}

// recovered checks what is served of lostMajority, and leaves ten messages.
func recovered(t *testing.T, r *running) {
	t.Helper()
	v := r.catalog.View()
	if v.Cluster().Generation != 1 || nodes(v) != 1 {
		t.Fatalf("generation %d, %d nodes", v.Cluster().Generation, nodes(v))
	}
	ch := r.channel()
	want(t, ch, "here", 0, 200)
	must(t, ch.Confirm(false))
	publish(t, ch, "here", 200, 210)
	for _, name := range []string{"there", "empty"} {
		if q := declare(t, ch, name); q.Messages != 0 {
			t.Errorf("%s has %d messages", name, q.Messages)
		}
	}
	must(t, ch.Publish("amq.topic", "key", true, false, amqp.Publishing{Body: []byte("bound still")}))
	eventually(t, ch, "there", 1)
	if n := r.delayed("late"); n != 1 {
		t.Errorf("%d delayed messages", n)
	}
	home := v.VHost("/").Home
	if v.Shard(home) == nil {
		t.Errorf("the home of / is shard %d, which is not there", home)
	}
}

// Who is killed in the middle goes on with it, and nobody finds half of it: the
// directory as it is at every sync is opened, and is that of before or that of
// behind.
func TestRecoverInterrupted(t *testing.T) {
	rs := lostMajority(t)
	o := quiet(rs[2])
	plan, err := PlanRecovery(t.Context(), o)
	must(t, err)
	mem := memoryOf(t, o.DataDir)
	c := &crashFS{FS: mem}
	o.FS = c
	if _, err := Recover(t.Context(), o, plan.cutNames()); err != nil {
		t.Fatal(err)
	}
	before, behind := 0, 0
	points := append(c.points, mem)
	for k, point := range points {
		o.FS = point
		if _, err := PlanRecovery(t.Context(), o); err == nil {
			p, err := PlanRecovery(t.Context(), o)
			must(t, err)
			if !p.Begun {
				before++
				if queues, messages := p.Messages(); messages != 201 || len(p.Cut) != 2 {
					t.Fatalf("point %d: %d queues with %d messages", k, queues, messages)
				}
				continue
			}
		}
		behind++
		// Who goes on is in a cluster, whose files have modes.
		disk := o
		disk.FS, disk.DataDir = nil, filepath.Join(t.TempDir(), "node")
		if ok, err := vfs.Clone(point, storage.PrivateFS(), o.DataDir, disk.DataDir); err != nil || !ok {
			t.Fatal(ok, err)
		}
		n, err := New(disk)
		if err != nil {
			t.Fatalf("point %d: %v", k, err)
		}
		id := n.dir.Node()
		n.Close()
		if id.Generation != 1 || id.Recovering {
			t.Fatalf("point %d: %+v", k, id)
		}
		if _, err := PlanRecovery(t.Context(), disk); !errors.Is(err, ErrRecovery) {
			t.Fatalf("point %d: %v", k, err)
		}
		if k%5 == 0 || k == len(points)-1 { // starting takes a while
			r := start(t, disk)
			recovered(t, r)
			r.stop()
		}
	}
	if before < 2 || behind < 4 {
		t.Errorf("%d points before, %d behind: the test looks at too little", before, behind)
	}
}

// Nothing is done for a directory that holds no cluster, a node that is alone, and
// one in use.
func TestRecoverRefuses(t *testing.T) {
	o := testOptions(t, t.TempDir(), nil)
	refuses := func(what, text string, kind error) {
		t.Helper()
		if _, err := PlanRecovery(t.Context(), o); !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refuses("nothing", "no node that was ever", ErrRecovery)
	if names, err := os.ReadDir(o.DataDir); err != nil || len(names) > 0 {
		t.Errorf("it left %v, %v", names, err)
	}
	r := start(t, o)
	refuses("in use", "in use", ErrLocked)
	r.stop()
	refuses("alone", "alone", ErrRecovery)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := PlanRecovery(ctx, o); err == nil {
		t.Error("it does not end with its context")
	}
}

// memoryOf copies a directory into a file system that can lose what is not synced.
func memoryOf(t *testing.T, dir string) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	if ok, err := vfs.Clone(vfs.Default, mem, dir, dir, vfs.CloneSync); err != nil || !ok {
		t.Fatal(ok, err)
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		for p := path; err == nil && d.IsDir(); p = mem.PathDir(p) {
			var f vfs.File
			if f, err = mem.OpenDir(p); err == nil {
				err = errors.Join(f.Sync(), f.Close())
			}
			if p == mem.PathDir(p) {
				break
			}
		}
		return err
	}))
	return mem
}
