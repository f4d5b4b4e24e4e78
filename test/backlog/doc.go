// Package backlog fills the running program with far more than its memory
// budget, and wants it to stay within its memory, to survive a kill, to give
// everything back in order and in time, and to give the disk back after that.
//
// The tests stand behind the build tag faults:
//
//	go test -tags faults ./test/backlog              # 100,000 messages of 1 KiB
//	go test -tags faults -timeout 30m ./test/backlog -args -messages 1000000 -flow 2048
package backlog
