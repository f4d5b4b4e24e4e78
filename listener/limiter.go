package listener

import (
	"context"
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

func (l *Listener) warn(msg string, args ...any) { l.limited(slog.LevelWarn, msg, args) }
func (l *Listener) info(msg string, args ...any) { l.limited(slog.LevelInfo, msg, args) }

func (l *Listener) limited(level slog.Level, msg string, args []any) {
	suppressed, ok := l.loud.allow()
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	l.log.Log(context.Background(), level, msg, args...)
}
