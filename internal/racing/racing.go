// Package racing tells tests whether the race detector watches them: it looks
// for other things than repetition does, and makes everything ten times slower.
// It is for tests only.
package racing

// Less returns n, or under the race detector a tenth of it, but at least one.
func Less(n int) int {
	if enabled {
		return max(1, n/10)
	}
	return n
}
