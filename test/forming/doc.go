// Package forming starts three processes for the first time at once, again and
// again, kills some of them while they form, and wants one cluster of each three.
// It is run by `make chaos`, behind the build tag faults, with $WARREN the program.
package forming
