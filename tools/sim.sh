#!/usr/bin/env bash
# sim.sh: runs test/sim over many seeds, a worker for each core. A failing seed is
# printed; `go test ./test/sim -seed N -trace` shows it again, step by step.
# SEEDS (default 2000) from FIRST (default 0). FULL=1 runs 150,000 in steps of 5,000
# and goes on where it was stopped (dist/full/sim.next).
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p dist/full
go test -c -o dist/sim.test ./test/sim
workers=$(nproc)

seeds() { # FIRST COUNT
	local share=$((($2 + workers - 1) / workers)) failed=0 w pids=()
	for w in $(seq 0 $((workers - 1))); do
		(cd test/sim && exec ../../dist/sim.test -test.run '^Test(Seeds|Shards)$' -test.v -test.timeout=0 \
			-seed $(($1 + w * share)) -seeds $share) >dist/sim.$w.log 2>&1 &
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
	seeds "${FIRST:-0}" "${SEEDS:-2000}"
	exit
fi
first=$(cat dist/full/sim.next 2>/dev/null || echo 0)
while [ "$first" -lt 150000 ]; do
	echo "seeds $first to $((first + 4999))"
	seeds "$first" 5000
	first=$((first + 5000))
	echo "$first" >dist/full/sim.next
done
echo "sim: 150000 seeds done"
