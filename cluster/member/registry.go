package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Registry is a directory of the user's in which the nodes that run on this
// machine say where they are, one small file each: what lets `rabbit@host` be
// found without a daemon. Only the user may look into it.
type Registry struct {
	// FS is the disk; on a real one it makes private files. Required.
	FS vfs.FS
	// Dir is the directory; it is made when the first node registers.
	Dir string
	// Alive reports whether a process runs. Entries of others are stale.
	Alive func(pid int) bool
}

// An Entry says where a node is.
type Entry struct {
	Name string `json:"name"` // full, as rabbit@host
	Node uint64 `json:"node,string"`
	Host string `json:"host"` // an address of this machine on which the cluster's listener is
	Port uint16 `json:"port"`
	PID  int    `json:"pid"`
}

// Addr returns the address of the cluster's listener.
func (e *Entry) Addr() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

func (e *Entry) valid() bool {
	ip, err := netip.ParseAddr(e.Host)
	return validName(e.Name) && err == nil && ip.IsValid() && e.Port != 0 && e.PID > 0 && e.Node != 0
}

const (
	entrySuffix  = ".node"
	maxEntrySize = 4 << 10
	maxName      = 255
)

// ErrNameInUse is returned, wrapped, when another process that runs has the name.
var ErrNameInUse = errors.New("member: a node of this name runs already")

// validName reports whether a node may be called so: it becomes a file's name.
func validName(name string) bool {
	if name == "" || len(name) > maxName-len(entrySuffix) || name[0] == '.' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == '/' || r == '\\' || r == 0x7f || r == 0xfffd
	})
}

// Register enters this node. It replaces an entry of its own or of a process
// that is no more, and takes the place of no other.
func (r *Registry) Register(e Entry) error {
	if !e.valid() {
		return fmt.Errorf("member: %+v cannot be registered", e)
	}
	if err := r.FS.MkdirAll(r.Dir, 0o700); err != nil {
		return fmt.Errorf("member: make the registry of nodes %s: %w", r.Dir, err)
	}
	if err := r.private(); err != nil {
		return err
	}
	have, ok, err := r.read(e.Name + entrySuffix)
	if err != nil {
		return err
	}
	if ok && have.PID != e.PID && r.Alive(have.PID) {
		return fmt.Errorf("%w: %s, process %d, on %s", ErrNameInUse, e.Name, have.PID, have.Addr())
	}
	if err := r.write(&e); err != nil {
		return fmt.Errorf("member: register %s in %s: %w", e.Name, r.Dir, err)
	}
	return nil
}

// write replaces an entry whole: who reads at the same time finds the old one or
// the new one.
func (r *Registry) write(e *Entry) (err error) {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the entry: %w", err)
	}
	tmp := r.FS.PathJoin(r.Dir, fmt.Sprintf(".%d-%x.new", e.PID, e.Node)) // a process may have several nodes
	f, err := r.FS.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, r.FS.Remove(tmp))
	}
	return r.FS.Rename(tmp, r.FS.PathJoin(r.Dir, e.Name+entrySuffix))
}

// Leave takes this node's entry out, if it is still its own.
func (r *Registry) Leave(name string, pid int) error {
	have, ok, err := r.read(name + entrySuffix)
	if err != nil || !ok || have.PID != pid {
		return err
	}
	if err := r.FS.Remove(r.FS.PathJoin(r.Dir, name+entrySuffix)); err != nil {
		return fmt.Errorf("member: take %s out of the registry: %w", name, err)
	}
	return nil
}

// Find returns the running node with a name. The full name goes first; a name
// without @ finds the only node whose name begins so.
func (r *Registry) Find(name string) (e Entry, ok bool, err error) {
	all, err := r.List()
	if err != nil {
		return Entry{}, false, err
	}
	var short []Entry
	for _, e := range all {
		if e.Name == name {
			return e, true, nil
		}
		if first, _, _ := strings.Cut(e.Name, "@"); first == name {
			short = append(short, e)
		}
	}
	if len(short) == 1 {
		return short[0], true, nil
	}
	return Entry{}, false, nil
}

// List returns the running nodes by name. Entries that cannot be read, and those
// of processes that are no more, are left out.
func (r *Registry) List() ([]Entry, error) {
	names, err := r.FS.List(r.Dir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("member: read the registry of nodes %s: %w", r.Dir, err)
	}
	if err := r.private(); err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []Entry
	for _, name := range names {
		if !strings.HasSuffix(name, entrySuffix) || len(out) == maxCandidates {
			continue
		}
		e, ok, err := r.read(name)
		if err != nil {
			return nil, err
		}
		if ok && r.Alive(e.PID) {
			out = append(out, e)
		}
	}
	return out, nil
}

// private refuses a directory into which others may write: they could send this
// node to an address of theirs.
func (r *Registry) private() error {
	info, err := r.FS.Stat(r.Dir)
	if err != nil {
		return fmt.Errorf("member: look at the registry of nodes: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("member: the registry of nodes %s has mode %04o and must have 0700: chmod 700 it", r.Dir, mode)
	}
	return nil
}

// read returns an entry; ok is false if there is none, or none that is whole.
func (r *Registry) read(file string) (e Entry, ok bool, err error) {
	f, err := r.FS.Open(r.FS.PathJoin(r.Dir, file))
	if errors.Is(err, iofs.ErrNotExist) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("member: open an entry of the registry: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxEntrySize+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return Entry{}, false, fmt.Errorf("member: read %s of the registry: %w", file, err)
	}
	if len(text) > maxEntrySize || json.Unmarshal(text, &e) != nil || !e.valid() || e.Name+entrySuffix != file {
		return Entry{}, false, nil
	}
	return e, true, nil
}
