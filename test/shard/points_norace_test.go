//go:build !race

package shard_test

// crashPoints is how many crashes TestCrash goes through unless told otherwise.
const crashPoints = 5000
