//go:build race

package shard_test

// crashPoints is less under the race detector, which looks for other things and
// is ten times slower.
const crashPoints = 500
