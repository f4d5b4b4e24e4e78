package node

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/health"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
)

// startPatient starts a cluster whose nodes lose no lease by load: these tests are
// about something else, and are long.
func startPatient(t *testing.T, n int) (rs []*running) {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	for k := range n {
		var join []string
		if k > 0 {
			join = []string{rs[0].Addrs()["cluster"]}
		}
		o := clusterOptions(t, dir, k+1, join...)
		o.Cluster.Lease, o.Cluster.Silence = 20*time.Second, 30*time.Second
		rs = append(rs, start(t, o))
	}
	waitWhole(t, rs, n)
	return rs
}

// same waits until all replicas of all shards have the same content, and compares
// it to the byte.
func same(t *testing.T, rs []*running) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		differ := ""
		for s := range rs[0].catalog.View().Shards() {
			want := ""
			for _, r := range rs {
				o := r.shards.Load().open[s.ID]
				if o == nil {
					differ = fmt.Sprintf("shard %d is not open on %s", s.ID, r.o.Name)
					continue
				}
				got := digest(o)
				if want == "" {
					want = got
				} else if got != want {
					differ = fmt.Sprintf("shard %d on %s: %s, want %s", s.ID, r.o.Name, got, want)
				}
			}
		}
		if differ == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s\n%s", differ, rs[0].log)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func digest(s *replica.Shard) string {
	ch := make(chan string, 1)
	s.Run(func() { i, d := s.Digest(); ch <- fmt.Sprint(i, " ", d) })
	select {
	case d := <-ch:
		return d
	case <-time.After(5 * time.Second):
		return "no answer"
	}
}

// damageLog flips bits of some bytes of a stopped node's log that hold bodies of
// messages: what was acknowledged is lost.
func damageLog(t *testing.T, dir string, rng *rand.Rand, places int) (done int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "e1", "log", "*"))
	must(t, err)
	for range 200 * places {
		if done == places {
			return done
		}
		f, err := os.OpenFile(files[rng.IntN(len(files))], os.O_RDWR, 0)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		b := make([]byte, 64)
		at := rng.Int64N(max(1, info.Size()-int64(len(b))))
		if _, err := f.ReadAt(b, at); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if i := strings.Index(string(b), "payload"); i >= 0 {
			_, err := f.WriteAt([]byte{b[i] ^ 0x10}, at+int64(i))
			must(t, err)
			done++
		}
		must(t, f.Close())
	}
	return done
}

// full says that a run in numbers is wanted.
func full() bool { return os.Getenv("FULL") != "" }

// Data that a node had acknowledged is damaged on its disk: the others go on, the
// node starts, its replicas are made anew from theirs, and the same bytes are
// served when one of the others is gone (goal G6).
func TestDamageIsRepaired(t *testing.T) {
	rounds, most := 2, 5
	if full() {
		rounds, most = 60, 90
	}
	rng := rand.New(rand.NewPCG(7, 11))
	rs := startPatient(t, 3)
	const queues, each = 6, 40
	noticed, total := 0, 0
	for round := range rounds {
		ch := rs[round%3].channel()
		must(t, ch.Confirm(false))
		for q := range queues {
			name := fmt.Sprintf("q%d-%d", round, q)
			declare(t, ch, name)
			for k := range each {
				c, err := ch.PublishWithDeferredConfirm("", name, false, false, amqpMessage(fmt.Sprintf("payload %d of %s", k, name)))
				must(t, err)
				if k == each-1 && !c.Wait() {
					t.Fatal("not confirmed")
				}
			}
		}
		k := (round + 2) % 3
		o := rs[k].o
		rs[k].stop()
		places := damageLog(t, o.DataDir, rng, 1+rng.IntN(most))
		if places == 0 {
			t.Fatal("nothing was found to be damaged")
		}
		rs[k] = start(t, o)
		log := func() string { return rs[k].log.String() }
		if strings.Contains(log(), "shard refused") {
			noticed++ // else nobody needs what was damaged any more
		}
		rs[k].eventually("nothing is refused", time.Minute, func() bool { return len(rs[k].shards.Load().refused) == 0 })
		waitWhole(t, rs, 3)
		same(t, rs)
		total += places
		t.Logf("round %d: %d places damaged and repaired, %d in all", round, places, total)
	}
	if noticed == 0 {
		t.Fatal("no damage was noticed")
	}
	// With the first node gone a majority takes the last, which was damaged.
	rs[0].stop()
	ch := rs[2].channel()
	for round := range rounds {
		for q := range queues {
			name := fmt.Sprintf("q%d-%d", round, q)
			for k := range each {
				d, ok, err := ch.Get(name, true)
				if want := fmt.Sprintf("payload %d of %s", k, name); err != nil || !ok || string(d.Body) != want {
					t.Fatalf("%v %v %q, want %q", err, ok, d.Body, want)
				}
			}
		}
	}
}

// An older copy of a node's data is put in place of what it has: it lacks what it
// acknowledged. The node does not vote with it, and is repaired from the others.
func TestOlderCopyIsRepaired(t *testing.T) {
	rs := startPatient(t, 3)
	ch := rs[0].channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 50)
	o := rs[2].o
	rs[2].stop()
	older := t.TempDir()
	must(t, os.CopyFS(older, os.DirFS(filepath.Join(o.DataDir, "e1"))))
	rs[2] = start(t, o)
	waitWhole(t, rs, 3)
	same(t, rs)
	publish(t, ch, "q", 50, 150)
	waitWhole(t, rs, 3)
	same(t, rs)
	rs[2].stop()
	must(t, os.RemoveAll(filepath.Join(o.DataDir, "e1")))
	must(t, os.CopyFS(filepath.Join(o.DataDir, "e1"), os.DirFS(older)))
	rs[2] = again(t, o)
	rs[2].eventually("nothing is refused", time.Minute, func() bool { return len(rs[2].shards.Load().refused) == 0 })
	waitWhole(t, rs, 3)
	same(t, rs)
	drainAll(t, rs[2].channel(), "q", 150)
}

// again starts a node, anew if it says that it has to be.
func again(t *testing.T, o Options) *running {
	t.Helper()
	for range 3 {
		r := launch(t, o)
		select {
		case <-r.Ready():
			t.Cleanup(r.stop)
			return r
		case err := <-r.ended:
			if !errors.Is(err, ErrAgain) {
				t.Fatalf("the node ended: %v\n%s", err, r.log)
			}
		case <-time.After(time.Minute):
			t.Fatalf("it does not serve\n%s", r.log)
		}
	}
	t.Fatal("it starts again and again")
	return nil
}

// The catalog of a node is damaged, which names every shard and queue: the node
// gets it from the others, and serves with them (goal G6).
func TestDamagedCatalogIsRepaired(t *testing.T) {
	rs := startPatient(t, 3)
	ch := rs[1].channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 20)
	for _, k := range []int{2, 0} { // one that joined, and the founder
		o, name := rs[k].o, fmt.Sprintf("a name to be found in the log %d", k)
		must(t, ch.ExchangeDeclare(name, "fanout", true, false, false, false, nil))
		rs[k].eventually("it has the name", 10*time.Second, func() bool { return rs[k].catalog.View().Exchange("/", name) != nil })
		rs[k].stop()
		flip(t, vfs.Default, o.DataDir, name)
		declare(t, rs[1].channel(), fmt.Sprint("meanwhile", k))
		rs[k] = again(t, o)
		if !strings.Contains(rs[k].log.String(), "made anew from the other nodes") {
			t.Fatalf("nobody noticed\n%s", rs[k].log)
		}
		rs[k].eventually("it is done with", time.Minute, func() bool {
			_, err := os.Stat(filepath.Join(o.DataDir, clusterDir, lostFile))
			return err != nil
		})
		waitWhole(t, rs, 3)
		same(t, rs)
		declare(t, rs[k].channel(), fmt.Sprint("after", k))
	}
	rs[1].stop()
	drainAll(t, rs[0].channel(), "q", 20)
	for _, q := range []string{"meanwhile2", "meanwhile0", "after2", "after0"} {
		if _, err := rs[2].channel().QueueDeclarePassive(q, true, false, false, false, nil); err != nil {
			t.Error(err)
		}
	}
}

// The state store of a node is damaged, in any of its files: what it held is made
// anew from the others.
func TestDamagedStateIsRepaired(t *testing.T) {
	rounds := 3
	if full() {
		rounds = 60
	}
	rng := rand.New(rand.NewPCG(3, 5))
	rs := startPatient(t, 3)
	ch := rs[0].channel()
	const each = 30
	for round := range rounds {
		name := fmt.Sprint("q", round)
		declare(t, ch, name)
		publish(t, ch, name, 0, each)
		o := rs[2].o
		saved := make(chan struct{})
		rs[2].rounds.Force(func() { close(saved) })
		select {
		case <-saved:
		case <-time.After(time.Minute):
			t.Fatalf("a checkpoint does not end\n%s", rs[2].log)
		}
		rs[2].stop()
		files, err := filepath.Glob(filepath.Join(o.DataDir, "e1", "state", "*"))
		must(t, err)
		hit := files[rng.IntN(len(files))]
		b, err := os.ReadFile(hit)
		must(t, err)
		switch at := rng.IntN(max(1, len(b))); {
		case len(b) == 0:
			b = []byte("not empty any more")
		case round%3 == 0:
			b = b[:at]
		default:
			b[at] ^= 0x20
		}
		must(t, os.WriteFile(hit, b, 0o600))
		rs[2] = again(t, o)
		rs[2].eventually("nothing is refused", time.Minute, func() bool {
			_, err := os.Stat(filepath.Join(o.DataDir, clusterDir, lostFile))
			return len(rs[2].shards.Load().refused) == 0 && err != nil
		})
		waitWhole(t, rs, 3)
		same(t, rs)
		t.Logf("round %d: %s", round, filepath.Base(hit))
	}
	rs[1].stop()
	rs[2].awaitState(health.Serving)
	for round := range rounds {
		drainAll(t, rs[2].channel(), fmt.Sprint("q", round), each)
	}
}

// Damage of the state store that nobody needs yet, as a compaction meets it, is made
// good all the same: with the others whole, and not before.
func TestDamageNobodyNeedsIsRepaired(t *testing.T) {
	rs := startPatient(t, 3)
	ch := rs[0].channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 50)
	waitWhole(t, rs, 3)
	o, other, id := rs[2].o, rs[1].o, uint64(rs[1].dir.Node().Node)
	rs[1].stop()
	rs[2].eventually("the other is gone", time.Minute, func() bool { return rs[2].catalog.View().Node(id).Incarnation == 0 })
	met := fmt.Errorf("%w: a table", storage.ErrDamaged)
	rs[2].stateDamage.Store(&met)
	select {
	case err := <-rs[2].ended:
		t.Fatalf("it ended without the other: %v\n%s", err, rs[2].log)
	case <-time.After(5 * keepEvery):
	}
	st, err := rs[2].Status(t.Context())
	must(t, err)
	if text := strings.Join(st.Limiting, "\n"); !strings.Contains(text, "the state store is damaged, it is made anew when") {
		t.Errorf("limiting: %s", text)
	}
	rs[1] = start(t, other)
	if err := rs[2].wait(); !errors.Is(err, ErrAgain) {
		t.Fatalf("the node ended: %v\n%s", err, rs[2].log)
	}
	rs[2].cancel = nil // it has ended
	rs[2] = again(t, o)
	if _, err := os.Stat(filepath.Join(o.DataDir, "e1", "state.damaged-1")); err != nil {
		t.Error(err)
	}
	rs[2].eventually("nothing is refused", time.Minute, func() bool { return len(rs[2].shards.Load().refused) == 0 })
	waitWhole(t, rs, 3)
	same(t, rs)
	rs[0].stop()
	rs[2].awaitState(health.Serving)
	drainAll(t, rs[2].channel(), "q", 50)
}
