// Package faults hurts the running program, as operators' machines do: syncs
// that fail, full disks, flipped bits, kills and long pauses under confirmed
// load. Whatever was confirmed has to be there afterwards, and nothing may be
// served that was not published.
//
// The tests stand behind the build tag faults. They need Linux, root (for mounts
// of their own), strace and nsenter:
//
//	go test -tags faults ./test/faults
//	go test -tags faults -timeout 60m ./test/faults -args -kills 50
package faults
