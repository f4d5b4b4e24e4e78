package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Names is a directory of the user's in which the processes of this machine say
// which node they are and where: what lets `rabbitmqctl -n rabbit@node-01` find a
// node without a daemon. A process is in it as long as it lives, also while its
// node is stopped.
type Names struct {
	// Dir is the directory; it is made when the first process enters. Empty:
	// there are no names.
	Dir string
	// Alive reports whether a process runs. Entries of others are stale.
	Alive func(pid int) bool
}

// A Named is a process and its node.
type Named struct {
	Name string `json:"name"` // full, as rabbit@host
	Data string `json:"data"` // its data directory
	PID  int    `json:"pid"`
	// Cluster is where other nodes reach it; empty if they do not, or not now.
	Cluster string `json:"cluster,omitempty"`
}

const (
	nameSuffix = ".json"
	maxNamed   = 1024
	namedBytes = 64 << 10
)

// ErrNameTaken is returned, wrapped, if another process that lives has the name.
var ErrNameTaken = errors.New("another process has the name")

// NamesDir is where the names of a user's nodes are, unless they can not be
// anywhere: then it is empty.
func NamesDir(getenv func(string) string) string {
	if dir := getenv("WARREN_NODES"); dir != "" {
		return dir
	}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "warren", "nodes")
	}
	if dir := getenv("HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, ".warren", "nodes")
	}
	return ""
}

// Enter says where a node is. It replaces what the same process said, or one
// that is gone.
func (n *Names) Enter(x Named) error {
	if n.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of nodes' names: %w", err)
	}
	if have, ok := n.read(x.Name + nameSuffix); ok && have.PID != x.PID && n.Alive(have.PID) {
		return fmt.Errorf("%w: %s is process %d with data directory %s", ErrNameTaken, x.Name, have.PID, have.Data)
	}
	text, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("write the name of a node: %w", err)
	}
	// Whole or not at all: others read at the same time.
	tmp := filepath.Join(n.Dir, "."+strconv.Itoa(x.PID)+"."+x.Name+".new")
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the name of a node: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(n.Dir, x.Name+nameSuffix)); err != nil {
		return fmt.Errorf("write the name of a node: %w", err)
	}
	return nil
}

// Leave takes the entry of a process out, if it is still its own.
func (n *Names) Leave(x Named) error {
	if n.Dir == "" {
		return nil
	}
	have, ok := n.read(x.Name + nameSuffix)
	if !ok || have.PID != x.PID || have.Data != x.Data {
		return nil
	}
	if err := os.Remove(filepath.Join(n.Dir, x.Name+nameSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the name of a node: %w", err)
	}
	return nil
}

// Find returns the process of a node. The full name goes first; without a host,
// or with the first part of one, it finds the only node that is meant by it.
func (n *Names) Find(name string) (Named, bool) {
	var near []Named
	first, host, _ := strings.Cut(name, "@")
	for _, x := range n.List() {
		if x.Name == name {
			return x, true
		}
		is, at, _ := strings.Cut(x.Name, "@")
		short, _, _ := strings.Cut(at, ".")
		if is == first && (host == "" || host == short) {
			near = append(near, x)
		}
	}
	if len(near) == 1 {
		return near[0], true
	}
	return Named{}, false
}

// List returns the processes that live, by name. What can not be read is left
// out: it is of nobody who could be asked.
func (n *Names) List() (all []Named) {
	if n.Dir == "" {
		return nil
	}
	files, err := os.ReadDir(n.Dir)
	if err != nil || !private(n.Dir) {
		return nil
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), nameSuffix) || len(all) == maxNamed {
			continue
		}
		if x, ok := n.read(f.Name()); ok && n.Alive(x.PID) {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// private reports whether nobody else can write into a directory: they could
// send operators to a node of theirs.
func private(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir() && info.Mode().Perm()&0o022 == 0
}

func (n *Names) read(file string) (x Named, ok bool) {
	path := filepath.Join(n.Dir, file)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > namedBytes {
		return x, false
	}
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &x) != nil {
		return Named{}, false
	}
	return x, x.Name+nameSuffix == file && x.PID > 0 && x.Data != ""
}
