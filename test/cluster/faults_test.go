//go:build chaos

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// scenarios are all there are; CI runs those of the share.
var scenarios = []scenario{
	{name: "halves", nodes: 5, hurt: halves},
	{name: "leader-alone", nodes: 3, hurt: leaderAlone, share: true},
	{name: "bridge", nodes: 5, hurt: bridge},
	{name: "ring", nodes: 5, hurt: ring},
	{name: "one-way", nodes: 3, hurt: oneWay, share: true},
	{name: "kill-leader", nodes: 3, hurt: killLeader},
	{name: "kill-minority", nodes: 5, hurt: killMinority},
	{name: "kill-all", nodes: 3, hurt: killAll},
	{name: "power", nodes: 3, hurt: powerCut, machine: machine{powered: true}, share: true},
	{name: "pause-kill", nodes: 3, hurt: pauseKill},
	{name: "slow-disk", nodes: 3, hurt: slowDisk},
	{name: "sync-fails", nodes: 3, hurt: syncFails},
	{name: "disk-full", nodes: 3, hurt: diskFull, machine: machine{disk: 96 << 20}},
	{name: "damage", nodes: 3, hurt: damage},
	{name: "membership", nodes: 3, hurt: membership},
	{name: "rolling-restart", nodes: 3, hurt: rolling},
	{name: "clock", nodes: 3, hurt: clocks},
	{name: "everything", nodes: 5, hurt: everything},
}

// shuffled returns the nodes in any order.
func (r *round) shuffled() []*member {
	ms := r.members()
	r.chance.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
	return ms
}

// any returns a node that runs.
func (r *round) any() *member { return r.shuffled()[0] }

// leading returns the leader of any queue, or any node if nobody knows.
func (r *round) leading() *member {
	if m := r.leader(queueName(r.chance.IntN(queueNum))); m != nil {
		return m
	}
	return r.any()
}

func numbers(ms []*member) (ns []int) {
	for _, m := range ms {
		ns = append(ns, m.number)
	}
	return ns
}

// within heals what begin hurt when the time is over.
func (r *round) within(d time.Duration, what string, hurt []*member, begin func()) {
	healed := r.hurting(what, hurt...)
	begin()
	<-time.After(d)
	r.net.mend()
	healed()
}

func halves(r *round, d time.Duration) {
	ms := r.shuffled()
	few := ms[:len(ms)/2]
	r.within(d, "cut off from the majority:", few, func() { r.net.split(numbers(few), numbers(ms[len(few):])) })
}

func leaderAlone(r *round, d time.Duration) {
	l := r.leading()
	r.within(d, "cut off, a leader:", []*member{l}, func() {
		for _, m := range r.members() {
			if m != l {
				r.net.cutBoth(l.number, m.number)
			}
		}
	})
}

// bridge leaves one node that hears all, of halves that do not hear each other.
func bridge(r *round, d time.Duration) {
	ms := r.shuffled()
	half := len(ms) / 2
	r.within(d, "halves with a bridge:", ms, func() { r.net.split(numbers(ms[:half]), numbers(ms[half+1:])) })
}

// ring lets every node hear its two neighbours: a majority, another one for each.
func ring(r *round, d time.Duration) {
	ms := r.shuffled()
	r.within(d, "ring of", ms, func() {
		for i := range ms {
			for j := i + 2; j < len(ms); j++ {
				if i != 0 || j != len(ms)-1 {
					r.net.cutBoth(ms[i].number, ms[j].number)
				}
			}
		}
	})
}

// oneWay makes a node deaf, or mute.
func oneWay(r *round, d time.Duration) {
	l := r.leading()
	deaf := r.chance.IntN(2) == 0
	what := "mute:"
	if deaf {
		what = "deaf:"
	}
	r.within(d, what, []*member{l}, func() {
		for _, m := range r.members() {
			switch {
			case m == l:
			case deaf:
				r.net.cut(m.number, l.number)
			default:
				r.net.cut(l.number, m.number)
			}
		}
	})
}

// down kills nodes, leaves them down for a while and starts them again.
func (r *round) down(what string, ms []*member, d time.Duration) {
	healed := r.hurting(what, ms...)
	for _, m := range ms {
		m.mean()
		m.signal(syscall.SIGKILL)
	}
	for _, m := range ms {
		<-m.ended
	}
	<-time.After(d)
	for _, m := range ms {
		m.launch()
	}
	for _, m := range ms {
		m.await()
	}
	healed()
}

func killLeader(r *round, d time.Duration) {
	r.down("killed, a leader:", []*member{r.leading()}, d*time.Duration(r.chance.IntN(3))/2)
}

// killMinority kills some of them, perhaps while they start.
func killMinority(r *round, d time.Duration) {
	ms := r.shuffled()[:1+r.chance.IntN((len(r.members())-1)/2)]
	for range 1 + r.chance.IntN(3) {
		healed := r.hurting("killed:", ms...)
		for _, m := range ms {
			m.kill()
		}
		for _, m := range ms {
			m.launch()
		}
		<-time.After(time.Duration(r.chance.IntN(300)) * time.Millisecond)
		healed()
	}
	r.down("killed:", ms, d)
}

// killAll ends all nodes at once, as when the power goes.
func killAll(r *round, d time.Duration) {
	r.down("killed, all:", r.shuffled(), d/4)
}

// pauseKill has a minority sleep, kills one of the others, has the rest sleep, and
// wakes the first.
func pauseKill(r *round, d time.Duration) {
	ms := r.shuffled()
	healed := r.hurting("asleep and killed by turns:", ms...)
	ms[0].signal(syscall.SIGSTOP)
	<-time.After(d / 2)
	ms[1].kill()
	for _, m := range ms[2:] {
		m.signal(syscall.SIGSTOP)
	}
	ms[0].signal(syscall.SIGCONT)
	<-time.After(d / 2)
	for _, m := range ms[2:] {
		m.signal(syscall.SIGCONT)
	}
	ms[1].launch()
	for _, m := range ms {
		m.await()
	}
	healed()
}

// pause has a node sleep.
func pause(r *round, d time.Duration) {
	l := r.leading()
	healed := r.hurting("asleep:", l)
	l.signal(syscall.SIGSTOP)
	<-time.After(d)
	l.signal(syscall.SIGCONT)
	healed()
}

// inject has strace change what the calls of a node do.
func (r *round) inject(m *member, what ...string) (end func()) {
	r.t.Helper()
	args := []string{"-f", "-qq", "-o", "/dev/null", "-p", strconv.Itoa(m.pid()), "-e", "trace=fsync,fdatasync"}
	for _, w := range what {
		args = append(args, "-e", "inject="+w)
	}
	cmd := exec.Command("strace", args...)
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	var once sync.Once
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // end waits for it
	end = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGINT) // it ends with the process it traces
			<-done
		})
	}
	r.t.Cleanup(end)
	return end
}

// slowDisk has the syncs of a leader take long, and moves the lead while they do.
func slowDisk(r *round, d time.Duration) {
	l := r.leading()
	healed := r.hurting("syncs slowly, a leader:", l)
	delay := strconv.Itoa(20000 << r.chance.IntN(6))
	end := r.inject(l, "fdatasync:delay_exit="+delay, "fsync:delay_exit="+delay)
	<-time.After(d)
	if r.chance.IntN(2) == 0 {
		l.kill()
		l.launch()
		l.await()
	}
	end()
	healed()
}

// syncFails has the syncs of a node fail, which ends it.
func syncFails(r *round, d time.Duration) {
	m := r.any()
	healed := r.hurting("can not sync:", m)
	m.mean()
	end := r.inject(m, "fdatasync:error=EIO", "fsync:error=EIO")
	select {
	case <-m.ended:
		if code := m.cmd.ProcessState.ExitCode(); code != 74 {
			r.t.Errorf("%s ended with status %d after a sync that failed:\n%s", m.name(), code, m.tail())
		}
	case <-time.After(20 * time.Second):
		r.t.Errorf("%s lives 20 s after its syncs began to fail", m.name())
		m.kill()
	}
	end()
	<-time.After(d / 2)
	m.launch()
	m.await()
	healed()
}

// rolling stops and starts all nodes, one after the other, some after they were
// drained, and cuts one off at the end.
func rolling(r *round, d time.Duration) {
	for _, m := range r.shuffled() {
		healed := r.hurting("stopped:", m)
		drained := r.chance.IntN(2) == 0
		if drained {
			r.order(m, "rabbitmq-upgrade", "drain")
		}
		m.stop()
		m.launch()
		if drained { // it serves nobody until then
			r.await("a node to be revived", func() bool {
				return exec.Command("timeout", "20", r.binary, "rabbitmq-upgrade", "--data", m.data(), "revive").Run() == nil
			})
		}
		m.await()
		healed()
		<-time.After(d / 4)
	}
	leaderAlone(r, d)
}

// lossy has a node lose and delay what it sends and gets.
func lossy(r *round, d time.Duration) {
	m := r.any()
	healed := r.faulty(checker.Slow, "on a bad line:", m)
	r.net.lose(m.number)
	wide := r.net.narrow(m.number)
	<-time.After(d)
	wide()
	r.net.mend()
	healed()
}

// diskFull takes away the space of a node's disk, which is small, and gives it back.
func diskFull(r *round, d time.Duration) {
	m := r.any()
	healed := r.hurting("disk full:", m)
	m.mean() // it may end
	ballast := filepath.Join(m.dir, "disk", "ballast")
	fill(ballast, r.chance.IntN(3)*256<<10)
	<-time.After(d)
	_ = os.Remove(ballast) // nothing was written if nothing fitted
	if !m.running() {
		m.launch()
	}
	m.await()
	healed()
}

// fill writes a file until only so much is free.
func fill(path string, free int) {
	var st syscall.Statfs_t
	if syscall.Statfs(filepath.Dir(path), &st) != nil {
		return
	}
	size := int64(st.Bavail)*st.Bsize - int64(free)
	_ = os.WriteFile(path, make([]byte, max(size, 0)), 0o600) // as much as fits
}

// everything does any of the above.
func everything(r *round, d time.Duration) {
	all := []func(*round, time.Duration){
		halves, leaderAlone, bridge, ring, oneWay, killLeader, killMinority, killAll, pauseKill, pause, slowDisk, syncFails, rolling, lossy, damage, clocks,
	}
	all[r.chance.IntN(len(all))](r, d)
}
