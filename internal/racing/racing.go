// Package racing tells tests whether the race detector watches them: it looks
// for other things than repetition does, and makes everything ten times slower.
// It is for tests only.
package racing

import "time"

// Less returns n, or under the race detector a tenth of it, but at least one.
func Less(n int) int {
	if enabled {
		return max(1, n/10)
	}
	return n
}

// Longer returns d, or under the race detector ten times as much: for times that
// a test's subject keeps only on a machine that is not overloaded.
func Longer(d time.Duration) time.Duration {
	if enabled {
		return 10 * d
	}
	return d
}
