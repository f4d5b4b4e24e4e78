//go:build chaos

package cluster

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// repairLimit is how long a damaged node has to become whole from the others.
const repairLimit = 60 * time.Second

// damage changes bits of files of a node that was stopped or killed, or cuts the
// end off one, and starts it again: what it can not vouch for it gets from the
// others. Nobody is told anything that was not published, and nothing is lost.
func damage(r *round, d time.Duration) {
	m := r.spare()
	healed := r.hurting("damaged:", m)
	if r.chance.IntN(2) == 0 {
		m.stop()
	} else {
		m.kill()
	}
	for range 1 + r.chance.IntN(5) {
		r.spoil(m)
	}
	<-time.After(d / 4)
	why := "it does not serve"
	for end := time.Now().Add(repairLimit); why != "" && time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		switch {
		case !m.running(): // not yet, or it met damage on its way
			m.launch()
			m.mean()
		case m.serves():
			why = r.refused(m)
		}
	}
	if why != "" {
		r.t.Errorf("%s was damaged and is not whole after %s: %s", m.name(), repairLimit, why)
	}
	healed()
	r.whole()
}

// refused says which shard a node refuses, if it refuses one.
func (r *round) refused(m *member) string {
	st, err := m.status()
	if err != nil {
		return err.Error()
	}
	for _, s := range st.Shards {
		if s.Refused != "" {
			return fmt.Sprintf("shard %d: %s", s.ID, s.Refused)
		}
	}
	return ""
}

// spoil changes a bit of one file, or cuts off its end.
func (r *round) spoil(m *member) {
	files := []string{}
	_ = filepath.WalkDir(m.data(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		// What holds messages: the log and the state.
		if strings.HasSuffix(path, ".seg") || strings.HasSuffix(path, ".sst") || strings.HasSuffix(path, ".log") {
			files = append(files, path)
		}
		return nil
	})
	if len(files) == 0 {
		return
	}
	path := files[r.chance.IntN(len(files))]
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return
	}
	what := "a bit of"
	used := len(bytes.TrimRight(text, "\x00")) // the log is longer than what is in it
	at := r.chance.IntN(max(used, 1))
	if r.chance.IntN(2) == 0 {
		at = max(0, used-1-r.chance.IntN(256<<10)) // what is new, and perhaps not consumed
	}
	at = min(at, len(text)-1)
	if r.chance.IntN(4) == 0 {
		what = "the end of"
		err = os.Truncate(path, int64(at))
	} else {
		text[at] ^= 1 << r.chance.IntN(8)
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("  %s %s at %d of %d", what, strings.TrimPrefix(path, m.data()), at, len(text))
}
