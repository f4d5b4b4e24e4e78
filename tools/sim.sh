#!/usr/bin/env bash
# sim.sh: runs the simulations, the tests named TestSim*, over many seeds. They read
# WARREN_SIM_FIRST and WARREN_SIM_SEEDS: the first seed and how many. A failing one
# prints its seed; `WARREN_SIM_FIRST=SEED WARREN_SIM_SEEDS=1 go test -run NAME PKG`
# replays it. SEEDS=N chooses the number; FULL=1 runs 150,000 in steps of 5,000 and
# goes on where it was stopped (dist/full/sim.next).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=$(grep -rlE --include='*_test.go' --exclude-dir=dist --exclude-dir=testdata '^func TestSim\w*\(t \*testing\.T\)' -- */ | xargs -r -n1 dirname | sort -u | sed 's|^|./|')
[ -n "$packages" ] || { echo "no simulation found" >&2; exit 1; }

seeds() { # FIRST COUNT
	WARREN_SIM_FIRST=$1 WARREN_SIM_SEEDS=$2 go test -count=1 -timeout=0 -run '^TestSim' $packages
}

if [ -z "${FULL:-}" ]; then
	seeds 1 "${SEEDS:-2000}"
	exit
fi
mkdir -p dist/full
first=$(cat dist/full/sim.next 2>/dev/null || echo 1)
while [ "$first" -le 150000 ]; do
	echo "seeds $first to $((first + 4999))"
	seeds "$first" 5000
	first=$((first + 5000))
	echo "$first" >dist/full/sim.next
done
echo "sim: 150000 seeds done"
