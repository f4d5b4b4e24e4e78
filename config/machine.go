package config

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A Machine is what the sizes follow. A zero field is unknown.
type Machine struct {
	Host      string // its name, without the domain
	RAM       int64  // bytes
	Cgroup    int64  // memory limit of the control group, in bytes; 0 is none
	DiskFree  int64  // bytes free where the data directory lies
	OpenFiles int64  // how many files the process may open
	CPUs      int
}

// memory returns what may be used, and what says so.
func (m Machine) memory() (bytes int64, of string) {
	switch {
	case m.Cgroup > 0 && (m.RAM == 0 || m.Cgroup < m.RAM):
		return m.Cgroup, "the control group's memory limit of " + formatAbout(m.Cgroup)
	case m.RAM > 0:
		return m.RAM, formatAbout(m.RAM) + " of RAM"
	}
	return 1 << 30, "an assumed 1GiB of RAM"
}

func formatAbout(n int64) string {
	if n >= 10<<30 {
		return formatSize(roundDown(n, 1<<30))
	}
	return formatSize(roundDown(n, 1<<20))
}

// ReadMemory fills in RAM and Cgroup from the root of a Linux file system. What
// cannot be read stays unknown, as on other systems.
func (m *Machine) ReadMemory(root fs.FS) {
	if text, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		m.RAM = meminfo(text)
	}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		// "0::/path" is the unified hierarchy, "7:memory:/path" the older one.
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			m.limit(root, "sys/fs/cgroup", parts[2], "memory.max")
			m.limit(root, "sys/fs/cgroup/unified", parts[2], "memory.max")
		case strings.Contains(","+parts[1]+",", ",memory,"):
			m.limit(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
	}
}

// limit lowers Cgroup to the least limit from the group up to the root. Inside a
// container the group's path may not exist, but the root is its own.
func (m *Machine) limit(root fs.FS, mount, group, file string) {
	const none = 1 << 60 // the older hierarchy writes "no limit" as a huge number
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		if text, err := fs.ReadFile(root, path.Join(mount, dir, file)); err == nil {
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && n > 0 && n < none && (m.Cgroup == 0 || n < m.Cgroup) {
				m.Cgroup = n
			}
		}
		if dir == "/" {
			return
		}
	}
}

func meminfo(text []byte) int64 {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
