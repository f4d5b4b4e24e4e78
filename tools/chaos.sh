#!/usr/bin/env bash
# chaos.sh: hurts the real binary ($WARREN) under confirmed load and checks what came
# back: one node that is killed in a loop (CHAOS_ROUNDS, default 5), then clusters in
# networks of their own: CHAOS_SCENARIO (a name, all, or share: the default) for
# CHAOS_SECONDS each (6 of the share), from CHAOS_SEED. FULL=1: 50 rounds, and all scenarios for 180 s
# each; verdicts are kept in dist/full/chaos.tsv, and what passed of this commit is not
# run again; then CHAOS_KILLS (50) kills of a leader, whose times go to
# dist/full/leader.tsv; then everything that a cluster does in steps, interrupted at each
# of them. CHAOS_STEPS (a path, a step, or all) does the latter alone, in the ways of
# CHAOS_HOW (dies,other,cut,sleeps). What a failed run leaves is kept in CHAOS_DIR
# (dist/chaos).
set -euo pipefail
cd "$(dirname "$0")/.."
export WARREN=${WARREN:-$PWD/bin/warren} CHAOS_DIR=${CHAOS_DIR:-$PWD/dist/chaos}
tools/need.sh ip nft tc strace nsenter
mkdir -p "$CHAOS_DIR" dist/full
go test -tags chaos -c -o dist/cluster.test ./test/cluster
clusters() { (cd test/cluster && exec ../../dist/cluster.test -test.v -test.timeout 30m "$@"); }

steps() { # CHAOS_STEPS of the program that can be interrupted there
	go build -tags steps -o dist/warren-steps ./cmd/warren
	WARREN_STEPPED=$PWD/dist/warren-steps CHAOS_STEPS=$1 clusters -test.run TestSteps
}

if [ -n "${CHAOS_STEPS:-}" ]; then
	steps "$CHAOS_STEPS"
	exit
fi
if [ -n "${CHAOS_SCENARIO:-}" ]; then
	clusters -test.run TestScenarios
	exit
fi
if [ -z "${FULL:-}" ]; then
	CHAOS_ROUNDS=${CHAOS_ROUNDS:-5} go test -tags chaos -count=1 -timeout=10m -v ./test/chaos/
	CHAOS_SECONDS=${CHAOS_SECONDS:-6} clusters -test.run 'TestScenarios|TestLeader'
	exit
fi
CHAOS_ROUNDS=${CHAOS_ROUNDS:-50} go test -tags chaos -count=1 -timeout=30m -v ./test/chaos/
export CHAOS_RESULTS=$PWD/dist/full/chaos.tsv CHAOS_SECONDS=${CHAOS_SECONDS:-180} CHAOS_RATE=${CHAOS_RATE:-100}
touch "$CHAOS_RESULTS"
commit=$(git describe --always --dirty)
failed=0
for s in $(sed -nE 's|^\t\{name: "([^"]+)".*|\1|p' test/cluster/faults_test.go); do
	grep -qP "^\Q$commit\E\t$s\t.*\tpass\t" "$CHAOS_RESULTS" && { echo "chaos: $s passed before"; continue; }
	CHAOS_SCENARIO=$s clusters -test.run TestScenarios || failed=1
done
CHAOS_KILLS=${CHAOS_KILLS:-50} clusters -test.run TestLeader || failed=1
for p in $(sed -nE 's|^\t\{name: "([^"]+)".*|\1|p' test/cluster/steps_test.go); do
	grep -qP "^\Q$commit\E\tsteps-$p\t.*\tpass\t" "$CHAOS_RESULTS" && { echo "chaos: steps of $p passed before"; continue; }
	CHAOS_RATE=20 steps "$p" || failed=1
done
exit $failed
