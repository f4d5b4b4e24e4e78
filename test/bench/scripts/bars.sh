#!/bin/bash
# bars.sh: the rows of docs/performance.md: Warren ($WARREN) beside Debian's RabbitMQ, judged by pair.sh.
# ROUNDS pairs a row (default 1, a look; FULL=1: 7, a judgement). ONLY='S1 S3' chooses rows. Raw lines: $BENCH_TMP/bars.jsonl.
# S8 starts a Warren of its own with a memory budget of 256 MiB.
HERE=$(cd "$(dirname "$0")/.." && pwd)
export BENCH_TMP=${BENCH_TMP:-$(cd "$HERE/../.." && pwd)/dist/bench}
. "$HERE/scripts/common.sh"
set -e
S=$HERE/scripts
ROUNDS=${ROUNDS:-$([ -n "${FULL:-}" ] && echo 7 || echo 1)}
export WARREN=${WARREN:-$HERE/../../bin/warren} OUT=$BENCH_TMP/bars.jsonl
[ -x "$WARREN" ] || { echo "no binary at $WARREN" >&2; exit 1; }
"$HERE/../../tools/need.sh" rabbitmq-server python3
(cd "$HERE" && CGO_ENABLED=0 go build -trimpath -o "$BENCH_TMP/bin/bench" .)

leave() { "$S/warren.sh" stop; "$S/rabbitmq.sh" stop; }
trap leave EXIT
PORT=28730 "$S/rabbitmq.sh" start1
PORT=28790 "$S/warren.sh" start1
A="-target warren -addr 127.0.0.1:28791 -pids @$RUN/warren.pids"
B="-target rabbit3-classic -addr 127.0.0.1:28731 -pids @$RUN/rabbit3.pids"
BENCH=$BENCH_TMP/bin/bench
Q="-target rabbit3-quorum -type quorum -name benchq -addr 127.0.0.1:28731 -pids @$RUN/rabbit3.pids"

echo "$(uname -sr), $(nproc) cores, $(go version | cut -d' ' -f3); $(git -C "$HERE" rev-parse --short HEAD 2>/dev/null); Warren at default durability; A is Warren, B the peer"
failed=0
want() { [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]]; }
row() { # SCENARIO BAR A B
	want "$1" || return 0
	echo "--- $1: bar $2"
	"$S/pair.sh" "$ROUNDS" "-scenario $1 $3" "-scenario $1 $4" || failed=1
}
row S1 "ratio ≥ 5, A's CPU ≤ 2.5 µs" "$A -must-all" "$B"
row S2 "ratio ≥ 6 to quorum, A's CPU ≤ 7 µs" "$A" "$Q"
row S3 "ratio ≥ 2.2" "$A" "$B"
row S11 "p50 ratio ≤ 1, p99 ratio ≤ 0.7" "$A" "$B"
row S4 "ratio ≥ 9" "$A" "$B"
row S6 "ratio ≥ 5" "$A -must-all" "$B"
row S7 "ratio ≥ 20" "$A -must-all" "$B"
row S7f "ratio ≥ 10" "$A -must-all" "$B"
if want S9; then
	echo "--- S9: bar 20 KiB a connection (10,000 idle connections with one channel)"
	"$BENCH" idle $A | tee -a "$OUT" || failed=1
	"$BENCH" idle $B | tee -a "$OUT" || failed=1
fi
if want S10; then
	echo "--- S10: bar 1,000 declared a second, 100,000 queues in 400 MiB, restart in 15 s"
	"$BENCH" queues $B -n 5000 | tee -a "$OUT" || failed=1
	"$BENCH" queues $A -n 100000 -limit 180s | tee -a "$OUT" || failed=1
	"$S/warren.sh" restart 1
	echo "resident after the restart: $(awk '/VmRSS/{print int($2 / 1024)}' "/proc/$(cat "$RUN/warren.n1.pid")/status") MiB"
fi
if want S8; then
	echo "--- S8: bar 5× quorum for publish and drain, 600 MiB resident at a budget of 256 MiB (1,000,000 × 1 KiB; the peer 400,000)"
	PORT=28790 WARREN_ARGS="--set memory.budget=256MiB" "$S/warren.sh" start1
	for _ in $(seq "$ROUNDS"); do
		"$BENCH" -scenario S8 $A | tee -a "$OUT" || failed=1
		"$BENCH" -scenario S8 $Q -count 400000 | tee -a "$OUT" || failed=1
	done
fi
if command -v strace >/dev/null && [ -n "${FULL:-}" ]; then
	echo "--- syncs behind the confirms (S3, then S2, under strace)"
	"$S/durability.sh" warren $A
	"$S/durability.sh" warren $A -window 1000
fi
exit $failed
