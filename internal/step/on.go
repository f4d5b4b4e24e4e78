//go:build steps && unix

package step

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// At does what was ordered for a step, if that has come.
func At(n Name) { one.at(n) }

const (
	holdTime = 20 * time.Second
	holdLook = 2 * time.Millisecond
)

var one steps //nolint:gochecknoglobals // of builds that are not shipped

type steps struct {
	mu    sync.Mutex
	order string
	left  int
}

func (s *steps) at(n Name) {
	dir := os.Getenv(Dir)
	if dir == "" {
		return
	}
	switch s.due(dir, n) {
	case Die:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case Stop:
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case Wait:
		for end := time.Now().Add(holdTime); time.Now().Before(end); <-time.After(holdLook) {
			if _, err := os.Stat(filepath.Join(dir, Hold)); err != nil {
				return
			}
		}
	}
}

// due returns what is to be done now, if anything.
func (s *steps) due(dir string, n Name) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(dir, Order)
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	words := strings.Fields(string(text))
	if len(words) != 3 || words[0] != string(n) {
		return ""
	}
	if s.order != string(text) {
		s.order = string(text)
		s.left, _ = strconv.Atoi(words[1]) // 0: the first time
	}
	if s.left--; s.left > 0 {
		return ""
	}
	s.order = ""
	if words[2] == Wait {
		_ = os.WriteFile(filepath.Join(dir, Hold), nil, 0o600)
	}
	if os.Rename(path, filepath.Join(dir, Done)) != nil {
		return "" // it was taken back
	}
	return words[2]
}
