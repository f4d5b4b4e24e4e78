//go:build chaos

package cluster

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shifted is what the code does that takes the place of the vDSO's clock_gettime:
// it asks the kernel, and adds a number of seconds to the clock of the wall. The
// number lies behind it.
//
//	mov eax, 228; syscall; test edi, edi; jnz end
//	mov rcx, [rip+7]; add [rsi], rcx; end: ret; nop…; seconds
func shifted() []byte {
	return []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 0x0a, // jnz end
		0x48, 0x8b, 0x0d, 0x06, 0, 0, 0, // mov rcx, [rip+6]
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3,       // end: ret
		0x90, 0x90, // so that the number is aligned
	}
}

// A clock is what a process takes for the time.
type clock struct {
	mem *os.File
	at  int64 // of the seconds
}

// clockOf makes the clock of a process one that can be set. The process must not
// have run for longer than it takes to come here, or sleep.
func clockOf(pid int) (*clock, error) {
	base, size, err := vdso(pid)
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the memory of a node: %w", err)
	}
	image := make([]byte, size)
	if _, err := mem.ReadAt(image, base); err != nil {
		return nil, errors.Join(fmt.Errorf("read the vDSO: %w", err), mem.Close())
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the vDSO: %w", err), mem.Close())
	}
	if f.Machine != elf.EM_X86_64 {
		return nil, errors.Join(fmt.Errorf("no clock can be set on %v", f.Machine), mem.Close())
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the vDSO: %w", err), mem.Close())
	}
	for _, s := range symbols {
		if s.Name != "__vdso_clock_gettime" {
			continue
		}
		at := base + int64(s.Value)
		code := append(shifted(), make([]byte, 8)...)
		if _, err := mem.WriteAt(code, at); err != nil {
			return nil, errors.Join(fmt.Errorf("write the vDSO: %w", err), mem.Close())
		}
		return &clock{mem: mem, at: at + int64(len(shifted()))}, nil
	}
	return nil, errors.Join(errors.New("the vDSO has no clock"), mem.Close())
}

// vdso says where a process has the kernel's code.
func vdso(pid int) (base, size int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the map of a node: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		var end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil {
			return 0, 0, fmt.Errorf("read the map of a node: %w", err)
		}
		return base, end - base, nil
	}
	return 0, 0, errors.New("the node has no vDSO")
}

// set puts the clock of the wall off by a while, in whole seconds.
func (c *clock) set(off time.Duration) error {
	if _, err := c.mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(off/time.Second)), c.at); err != nil {
		return fmt.Errorf("set a clock: %w", err)
	}
	return nil
}

// clocks has the clocks of some nodes jump, far and near, forth and back, and go
// right again, or has one jump to and fro all the time; meanwhile a leader may be
// killed. Messages with a time to live die in their time all the same.
func clocks(r *round, d time.Duration) {
	ms := r.shuffled()
	ms = ms[:1+r.chance.IntN(len(ms))]
	jumps := []time.Duration{time.Hour, -time.Hour, 30 * 24 * time.Hour, -30 * 24 * time.Hour, 3 * time.Second, -3 * time.Second}
	healed := r.hurting("whose clocks jump:")
	defer healed()
	wrong := []*clock{}
	for _, m := range ms {
		m.signal(syscall.SIGSTOP)
		c, err := clockOf(m.pid())
		m.signal(syscall.SIGCONT)
		if err != nil {
			r.t.Fatal(err) // where none can be set, nothing is shown
		}
		defer c.mem.Close()
		wrong = append(wrong, c)
	}
	jump := func(off func(int) time.Duration) {
		for i, c := range wrong {
			if ms[i].running() {
				if err := c.set(off(i)); err != nil {
					r.t.Error(err)
				}
			}
		}
	}
	strobe := r.chance.IntN(3) == 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		off := jumps[r.chance.IntN(len(jumps))]
		r.t.Logf("  by %v", off)
		jump(func(int) time.Duration { return off })
		if !strobe {
			<-time.After(d)
			break
		}
		<-time.After(200 * time.Millisecond)
	}
	jump(func(int) time.Duration { return 0 })
}

// TestClock shows that a clock that is set is what the node goes by: its log says
// another day.
func TestClock(t *testing.T) {
	c := newCluster(t, t.TempDir(), 1, machine{})
	m := c.nodes[0]
	m.signal(syscall.SIGSTOP)
	k, err := clockOf(m.pid())
	m.signal(syscall.SIGCONT)
	if err != nil {
		t.Fatal(err)
	}
	defer k.mem.Close()
	const off = 30 * 24 * time.Hour
	if err := k.set(off); err != nil {
		t.Fatal(err)
	}
	day := time.Now().UTC().Add(off).Format("time=2006-01-02T")
	l := newTraffic(c)
	r := &round{cluster: c, l: l}
	r.await("a line of another day: "+day, func() bool {
		conn, err := l.w.Dial(1)
		if err != nil {
			return false
		}
		return conn.Close() == nil && strings.Contains(m.tail(), day)
	})
}
