package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/node"
)

// A journal is what was begun with the data directory and is not yet done. The
// next start of the process goes on with it.
type journal struct {
	// Leave: the node is leaving its cluster, to be wiped then.
	Leave bool `json:"leave,omitempty"`
	// Wipe: what the node holds is being removed.
	Wipe bool `json:"wipe,omitempty"`
	// Join are addresses of members of the cluster that it then joins.
	Join []string `json:"join,omitempty"`
}

func (j journal) empty() bool { return !j.Leave && !j.Wipe && len(j.Join) == 0 }

const (
	journalName  = "life.json"
	maxJournal   = 64 << 10
	journalSpare = journalName + ".new"
)

func readJournal(fs vfs.FS, dir string) (j journal, err error) {
	f, err := fs.Open(fs.PathJoin(dir, journalName))
	if errors.Is(err, iofs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return j, fmt.Errorf("%w: %w", node.ErrIO, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if err = errors.Join(err, f.Close()); err != nil {
		return j, fmt.Errorf("%w: %w", node.ErrIO, err)
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return j, fmt.Errorf("%w: %s: %w", node.ErrDataDir, journalName, err)
	}
	return j, nil
}

// note writes down what is begun, whole and durably; nothing: it is done.
func (p *Process) note(j journal) (err error) {
	fs, dir := p.o.Node.FS, p.o.Node.DataDir
	path := fs.PathJoin(dir, journalName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: write %s: %w", node.ErrIO, path, err)
			return
		}
		p.journal = j
	}()
	if j.empty() {
		if err := fs.Remove(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		return syncDir(fs, dir)
	}
	text, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	spare := fs.PathJoin(dir, journalSpare)
	f, err := fs.Create(spare, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(spare, path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, path string) error {
	d, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// forget notes that nothing is left to be done.
func (p *Process) forget() error {
	if p.journal.empty() {
		return nil
	}
	return p.note(journal{})
}

// resume goes on with what an earlier process had begun.
func (p *Process) resume() error {
	if p.journal.empty() {
		return nil
	}
	p.log.Info("an interrupted change of the node is finished", "text", fmt.Sprintf("%+v", p.journal))
	if p.journal.Wipe {
		return p.wipe(p.journal.Join...)
	}
	return nil
}

// wipe removes the node from its directory. The next one joins through the
// addresses, if there are any: that is noted until it has.
func (p *Process) wipe(join ...string) error {
	if err := p.note(journal{Wipe: true, Join: join}); err != nil {
		return err
	}
	if err := node.Wipe(p.o.Node); err != nil {
		return err
	}
	return p.note(journal{Join: join})
}
