#!/bin/bash
# ground.sh: the ground rows of docs/performance.md: Warren ($WARREN) beside Debian's RabbitMQ, judged by pair.sh.
# ROUNDS pairs a row (default 1, a look; FULL=1: 7, a judgement). ONLY='S1 S3' chooses rows. Raw lines: $BENCH_TMP/ground.jsonl.
HERE=$(cd "$(dirname "$0")/.." && pwd)
export BENCH_TMP=${BENCH_TMP:-$(cd "$HERE/../.." && pwd)/dist/bench}
. "$HERE/scripts/common.sh"
set -e
S=$HERE/scripts
ROUNDS=${ROUNDS:-$([ -n "${FULL:-}" ] && echo 7 || echo 1)}
export WARREN=${WARREN:-$HERE/../../bin/warren} OUT=$BENCH_TMP/ground.jsonl
[ -x "$WARREN" ] || { echo "no binary at $WARREN" >&2; exit 1; }
"$HERE/../../tools/need.sh" rabbitmq-server python3
(cd "$HERE" && CGO_ENABLED=0 go build -trimpath -o "$BENCH_TMP/bin/bench" .)

leave() { "$S/warren.sh" stop; "$S/rabbitmq.sh" stop; }
trap leave EXIT
PORT=28730 "$S/rabbitmq.sh" start1
PORT=28790 "$S/warren.sh" start1
A="-target warren -addr 127.0.0.1:28791 -pids @$RUN/warren.pids"
B="-target rabbit3-classic -addr 127.0.0.1:28731 -pids @$RUN/rabbit3.pids"
Q="-target rabbit3-quorum -type quorum -name benchq -addr 127.0.0.1:28731 -pids @$RUN/rabbit3.pids"

echo "$(uname -sr), $(nproc) cores, $(go version | cut -d' ' -f3); $(git -C "$HERE" rev-parse --short HEAD 2>/dev/null); Warren at default durability; A is Warren, B the peer"
failed=0
row() { # SCENARIO BAR A B
	[ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]] || return 0
	echo "--- $1: bar $2"
	"$S/pair.sh" "$ROUNDS" "-scenario $1 $3" "-scenario $1 $4" || failed=1
}
row S1 "ratio ≥ 5, A's CPU ≤ 2.5 µs" "$A -must-all" "$B"
row S2 "ratio ≥ 6 to quorum, A's CPU ≤ 7 µs" "$A" "$Q"
row S3 "ratio ≥ 2.2" "$A" "$B"
row S11 "p50 ratio ≤ 1, p99 ratio ≤ 0.7" "$A" "$B"
if command -v strace >/dev/null && [ -n "${FULL:-}" ]; then
	echo "--- syncs behind the confirms (S3, then S2, under strace)"
	"$S/durability.sh" warren $A
	"$S/durability.sh" warren $A -window 1000
fi
exit $failed
