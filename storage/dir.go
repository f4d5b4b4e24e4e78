package storage

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DirFormat is the version of the directory's layout that this code reads and
// writes.
const DirFormat = 1

// ErrInUse is returned, wrapped with the directory and its holder, when
// another process holds the data directory.
var ErrInUse = errors.New("storage: data directory is in use")

// An ID is a random number that names a node or a cluster, never zero. Its
// text is 16 hexadecimal digits.
type ID uint64

// String returns the ID's text.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText returns the ID's text.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the ID's text.
func (id *ID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 || n == 0 {
		return fmt.Errorf("storage: %q is not an id", text)
	}
	*id = ID(n)
	return nil
}

// Node is what a node knows of itself before anything else is read. It stands
// in node.json.
type Node struct {
	Format int `json:"format"`
	// Node names this directory's content for all time: a node that must not
	// vote with what it holds takes a new one.
	Node ID `json:"node"`
	// Cluster is the cluster it belongs to; alone, it is one of its own.
	Cluster ID `json:"cluster"`
	// Generation counts the cluster's restarts without majority.
	Generation uint64 `json:"generation"`
	// Recovering says that Generation begins here, with this node alone, and that
	// what is held is still to be made that of this node alone.
	Recovering bool `json:"recovering,omitempty"`
	// Epoch is which of the epoch directories is in use.
	Epoch uint64 `json:"epoch"`
	// Began is how it came to its cluster; empty: it has none yet.
	Began Began `json:"began,omitempty"`
}

// Began says how a node came to its cluster.
type Began string

// The ways.
const (
	Founded Began = "founded" // it is the first of its nodes
	Joined  Began = "joined"  // others let it in
)

// DirOptions of OpenDir.
type DirOptions struct {
	// Rand gives the ids of a new directory. Required.
	Rand io.Reader
	// PID is shown to whoever finds the directory in use.
	PID int
}

// Dir is an open data directory:
//
//	lock        held while a process uses the directory
//	lock.pid    the process that does, for people
//	node.json   see Node
//	e1/log      the log of all shards   (e1: epoch 1)
//	e1/state    everything else
//
// Directories are made for their owner alone; on a real disk, use a PrivateFS
// for files. All methods belong to one goroutine.
type Dir struct {
	fs    vfs.FS
	path  string
	lock  io.Closer
	node  Node
	fresh bool
}

// OpenDir locks the data directory at path and reads or makes what it needs.
// A directory that another process holds, of another format, or with data but
// without a node.json is refused untouched.
func OpenDir(fs vfs.FS, path string, o DirOptions) (*Dir, error) {
	if err := makeDir(fs, path); err != nil {
		return nil, fmt.Errorf("storage: make data directory %s: %w", path, err)
	}
	d := &Dir{fs: fs, path: path}
	if err := d.acquire(o.PID); err != nil {
		return nil, err
	}
	if err := d.load(o.Rand); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// Unused reports whether log and state hold nothing.
func (d *Dir) Unused() bool {
	for _, p := range []string{d.LogPath(), d.StatePath()} {
		if names, err := d.fs.List(p); err != nil || len(names) > 0 {
			return false
		}
	}
	return true
}

// Node returns what node.json says.
func (d *Dir) Node() Node { return d.node }

// Fresh reports whether this OpenDir made the node.
func (d *Dir) Fresh() bool { return d.fresh }

// Path returns the directory's path.
func (d *Dir) Path() string { return d.path }

// LogPath returns the directory of the log in the current epoch.
func (d *Dir) LogPath() string { return d.sub("log") }

// StatePath returns the directory of the state in the current epoch.
func (d *Dir) StatePath() string { return d.sub("state") }

func (d *Dir) sub(name string) string {
	return d.fs.PathJoin(d.path, "e"+strconv.FormatUint(d.node.Epoch, 10), name)
}

// SetNode replaces node.json, durably and whole.
func (d *Dir) SetNode(n Node) error {
	if n.Format != DirFormat || n.Node == 0 || n.Cluster == 0 || n.Epoch == 0 {
		return fmt.Errorf("storage: incomplete node %+v", n)
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("storage: encode node.json: %w", err)
	}
	if err := d.replace("node.json", append(text, '\n')); err != nil {
		return fmt.Errorf("storage: write node.json in %s: %w", d.path, err)
	}
	d.node = n
	return nil
}

// Close gives the directory up.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("storage: unlock %s: %w", d.path, err)
	}
	return nil
}

// acquire takes the lock. The holder's number stands in a file of its own:
// closing any other descriptor of a locked file would give up the lock.
func (d *Dir) acquire(pid int) error {
	lock, err := d.fs.Lock(d.fs.PathJoin(d.path, "lock"))
	if err != nil {
		if _, ok := errors.AsType[*iofs.PathError](err); ok {
			return fmt.Errorf("storage: lock data directory %s: %w", d.path, err)
		}
		return fmt.Errorf("%w: %s is held by %s", ErrInUse, d.path, d.holder())
	}
	d.lock = lock
	if err := d.write("lock.pid", []byte(strconv.Itoa(pid)+"\n")); err != nil {
		return errors.Join(fmt.Errorf("storage: lock data directory %s: %w", d.path, err), lock.Close())
	}
	return nil
}

func (d *Dir) holder() string {
	text, err := d.read("lock.pid")
	pid, errNum := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || errNum != nil {
		return "another process"
	}
	return "process " + strconv.Itoa(pid)
}

func (d *Dir) load(rand io.Reader) error {
	text, err := d.read("node.json")
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		if err := d.begin(rand); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("storage: read node.json in %s: %w", d.path, err)
	default:
		if d.node, err = parseNode(text); err != nil {
			return fmt.Errorf("storage: node.json in %s: %w", d.path, err)
		}
	}
	for _, p := range []string{d.LogPath(), d.StatePath()} {
		if err := makeDir(d.fs, p); err != nil {
			return fmt.Errorf("storage: make %s: %w", p, err)
		}
	}
	return nil
}

// begin makes a node where there was none.
func (d *Dir) begin(rand io.Reader) error {
	n := Node{Format: DirFormat, Epoch: 1}
	d.node = n
	for _, p := range []string{d.LogPath(), d.StatePath()} {
		if names, err := d.fs.List(p); err == nil && len(names) > 0 {
			return fmt.Errorf("storage: %s holds data, but its node.json is missing from %s", p, d.path)
		}
	}
	for _, id := range []*ID{&n.Node, &n.Cluster} {
		var err error
		if *id, err = newID(rand); err != nil {
			return err
		}
	}
	d.fresh = true
	return d.SetNode(n)
}

func newID(rand io.Reader) (ID, error) {
	for {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("storage: choose an id: %w", err)
		}
		if id := ID(binary.BigEndian.Uint64(b[:])); id != 0 {
			return id, nil
		}
	}
}

func parseNode(text []byte) (Node, error) {
	var n Node
	var version struct{ Format *int }
	if err := json.Unmarshal(text, &version); err != nil {
		return n, fmt.Errorf("not readable: %w", err)
	}
	if version.Format == nil {
		return n, errors.New("it names no format")
	}
	if f := *version.Format; f != DirFormat {
		return n, fmt.Errorf("the directory has format %d, this version knows format %d only", f, DirFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&n); err != nil {
		return n, fmt.Errorf("not readable: %w", err)
	}
	if n.Node == 0 || n.Cluster == 0 || n.Epoch == 0 {
		return n, errors.New("an id or the epoch is missing")
	}
	return n, nil
}

// maxSmallFile bounds what is read of node.json and lock.pid.
const maxSmallFile = 64 << 10

func (d *Dir) read(name string) (text []byte, err error) {
	f, err := d.fs.Open(d.fs.PathJoin(d.path, name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxSmallFile))
}

func (d *Dir) write(name string, text []byte) error {
	f, err := d.fs.Create(d.fs.PathJoin(d.path, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// replace writes a file beside the old one and renames it once it is durable.
func (d *Dir) replace(name string, text []byte) error {
	if err := d.write(name+".new", text); err != nil {
		return err
	}
	if err := d.fs.Rename(d.fs.PathJoin(d.path, name+".new"), d.fs.PathJoin(d.path, name)); err != nil {
		return err
	}
	return syncDir(d.fs, d.path)
}

// makeDir makes a directory and its missing parents, durably.
func makeDir(fs vfs.FS, path string) error {
	var within []string // the directories that get a new entry
	for p := path; ; p = fs.PathDir(p) {
		if _, err := fs.Stat(p); err == nil {
			break
		} else if !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		parent := fs.PathDir(p)
		if parent == p {
			break
		}
		within = append(within, parent)
	}
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, p := range within {
		if err := syncDir(fs, p); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
