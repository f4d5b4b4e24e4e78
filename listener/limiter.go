package listener

import (
	"log/slog"
	"sync"
	"time"
)

// linesPerSecond bounds what peers that have not logged in can make us write.
const linesPerSecond = 10

// A limiter lets so many lines pass in each second and counts the rest, so that
// a flood of bad connections does not become a flood of log lines.
type limiter struct {
	clock Clock

	mu struct {
		sync.Mutex
		second     time.Time
		lines      int
		suppressed int64
	}
}

// allow tells whether a line may be written, and how many were not since the
// last one that was.
func (l *limiter) allow() (suppressed int64, ok bool) {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.mu.second) >= time.Second {
		l.mu.second, l.mu.lines = now, 0
	}
	if l.mu.lines >= linesPerSecond {
		l.mu.suppressed++
		return 0, false
	}
	l.mu.lines++
	suppressed, l.mu.suppressed = l.mu.suppressed, 0
	return suppressed, true
}

// loudly returns log for one line of a kind that peers can cause as often as they
// like, or one that writes nothing when there have been too many.
func (l *Listener) loudly(log *slog.Logger) *slog.Logger {
	suppressed, ok := l.loud.allow()
	switch {
	case !ok:
		return l.silent
	case suppressed > 0:
		return log.With("suppressed", suppressed)
	}
	return log
}
