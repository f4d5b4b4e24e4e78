//go:build chaos

package cluster

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// repairLimit is how long a damaged node has to become whole from the others.
const repairLimit = 60 * time.Second

// damage changes bits of files of a node that was stopped or killed, or cuts the
// end off one, and starts it again: what it can not vouch for it gets from the
// others. Nobody is told anything that was not published, and nothing is lost.
//
// One node has damaged files at a time. What nobody reads may be found late: as long
// as a file of the state is there that was damaged, it is that node's turn again.
func damage(r *round, d time.Duration) {
	m := r.spare()
	ms := r.members()
	if i := slices.IndexFunc(ms, (*member).sick); i >= 0 {
		m = ms[i]
	}
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
	for _, text := range st.Limiting {
		if strings.Contains(text, "damaged") {
			return text
		}
	}
	for _, s := range st.Shards {
		if s.Refused != "" {
			return fmt.Sprintf("shard %d: %s", s.ID, s.Refused)
		}
	}
	return ""
}

// A spoilt file is one that was damaged.
type spoilt struct {
	path string
	info os.FileInfo
}

// sick reports whether the node still has a damaged file in its state.
func (m *member) sick() bool {
	return slices.ContainsFunc(m.spoilt, func(s spoilt) bool {
		info, err := os.Stat(s.path)
		return err == nil && os.SameFile(info, s.info)
	})
}

// spoil changes a bit of one file, or cuts off its end.
func (r *round) spoil(m *member) {
	files := []string{}
	_ = filepath.WalkDir(m.data(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(path, ".damaged-") {
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
	if info, err := os.Stat(path); err == nil && strings.HasSuffix(path, ".sst") {
		m.spoilt = append(m.spoilt, spoilt{path, info})
	}
	r.t.Logf("  %s %s at %d of %d", what, strings.TrimPrefix(path, m.data()), at, len(text))
}
