// Package cluster hurts clusters of real processes, each with a network of its own,
// under load that is recorded and judged (test/chaos/checker): kills, pauses,
// partitions of every shape, slow and lossy links, failing and full disks, damaged
// files, clocks that jump, nodes that come and go.
//
// The tests stand behind the build tag chaos. They need Linux, root, ip, nft, tc,
// nsenter and strace. The test process runs itself anew in a network and a mount
// namespace, and what it sets up there goes with it:
//
//	make chaos                             # some of the scenarios, for seconds each
//	FULL=1 tools/chaos.sh                  # all, 180 s each, goes on where it was stopped
//	CHAOS_SCENARIO=one-way CHAOS_SEED=7 CHAOS_SECONDS=60 tools/chaos.sh
package cluster
