#!/usr/bin/env bash
# sim.sh: runs test/sim over many seeds, a worker for each core. A failing seed is
# printed; `go test ./test/sim -seed N -trace` shows it again, step by step.
# SEEDS (default 1500) from FIRST (default 0). FULL=1 runs 150,000 in steps of STEP
# (default 5,000), replays 100 of them, and goes on where it was stopped: dist/full
# has what is next (sim.next), what was done (sim.done) and what failed (sim.failed).
# WORKERS (default one for each core) may be fewer on a machine with other work.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p dist/full
go test -c -o dist/sim.test ./test/sim
workers=${WORKERS:-$(nproc)}
export GOGC=${GOGC:-1000} # a run holds little and makes much: that is two thirds of the time

run() { # NAME SEED COUNT [FLAG…]
	(cd test/sim && exec ../../dist/sim.test -test.run "$1" -test.v -test.timeout=0 -seed "$2" -seeds "$3" "${@:4}")
}

seeds() { # FIRST COUNT
	local share=$((($2 + workers - 1) / workers)) failed=0 w pids=()
	for w in $(seq 0 $((workers - 1))); do
		run '^Test(Seeds|Shards)$' $(($1 + w * share)) $share >dist/sim.$w.log 2>&1 &
		pids+=($!)
	done
	trap 'kill "${pids[@]}" 2>/dev/null' EXIT
	for w in "${!pids[@]}"; do
		wait "${pids[$w]}" || failed=1
		grep -vE '^(=== RUN|PASS$)' "dist/sim.$w.log" || true
	done
	trap - EXIT
	return $failed
}

if [ -z "${FULL:-}" ]; then
	seeds "${FIRST:-0}" "${SEEDS:-1500}"
	exit
fi
step=${STEP:-5000}
first=$(cat dist/full/sim.next 2>/dev/null || echo 0)
while [ "$first" -lt 150000 ]; do
	echo "seeds $first to $((first + step - 1))"
	seeds "$first" "$step" || cat dist/sim.?.log | grep -E 'seed [0-9]+:' >>dist/full/sim.failed || true
	echo "$(git rev-parse --short HEAD) $first $step" >>dist/full/sim.done
	first=$((first + step))
	echo "$first" >dist/full/sim.next
done
run '^Test(Shards)?Replay$' 0 100
go test -tags plants -count=1 -run '^TestPlants$' ./test/sim ./storage/seglog
if [ -s dist/full/sim.failed ]; then
	cat dist/full/sim.failed
	exit 1
fi
echo "sim: 150000 seeds done, none failed; 100 replayed to the same bit"
