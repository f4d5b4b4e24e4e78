#!/bin/bash
# cluster-bars.sh: the rows of docs/performance.md that need three nodes: Warren ($WARREN) beside Debian's RabbitMQ with a
# quorum queue of three replicas, both on this machine, judged by pair.sh. A row is run with all clients at the node that
# leads the queue, and with all at another.
# ROUNDS pairs a row (default 1, a look; FULL=1: 7, a judgement). ONLY='S5 S11r S15' chooses rows. Raw lines: $BENCH_TMP/cluster.jsonl.
HERE=$(cd "$(dirname "$0")/.." && pwd)
export BENCH_TMP=${BENCH_TMP:-$(cd "$HERE/../.." && pwd)/dist/bench}
. "$HERE/scripts/common.sh"
set -e
S=$HERE/scripts
ROUNDS=${ROUNDS:-$([ -n "${FULL:-}" ] && echo 7 || echo 1)}
export WARREN=${WARREN:-$HERE/../../bin/warren} OUT=$BENCH_TMP/cluster.jsonl BENCH=$BENCH_TMP/bin/bench
[ -x "$WARREN" ] || { echo "no binary at $WARREN" >&2; exit 1; }
"$HERE/../../tools/need.sh" rabbitmq-server python3
(cd "$HERE" && CGO_ENABLED=0 go build -trimpath -o "$BENCH" .)

leave() { "$S/warren.sh" stop; "$S/rabbitmq.sh" stop; }
trap leave EXIT
warren() { PORT=28790 "$S/warren.sh" "$@"; }
rabbit() { PORT=28730 "$S/rabbitmq.sh" "$@"; }
rabbit start3
warren start3

W="-target warren -name benchw -pids @$RUN/warren.pids"
R="-target rabbit3-quorum -type quorum -name benchq -pids @$RUN/rabbit3.pids"
# leader prints the number of the node that leads Warren's queue of the benchmark.
leader() { "$WARREN" ctl --data "$BENCH_TMP/data/warren/n$1" list_queues -q name leader | sed -n 's/^benchw-0\trabbit@node-0//p'; }
"$BENCH" -scenario S5 $W -addr 127.0.0.1:28791 -duration 1s -warmup 0s >/dev/null # makes the queue
at=$(leader 1) other=$(($(leader 1) % 3 + 1))

echo "$(uname -sr), $(nproc) cores, $(go version | cut -d' ' -f3); $(git -C "$HERE" rev-parse --short HEAD 2>/dev/null); three nodes each, all on this machine; A is Warren, B the peer's quorum queue"
failed=0
want() { [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]]; }
row() { # NAME SCENARIO BAR
	want "$1" || return 0
	echo "--- $1 at the leader: bar $3"
	"$S/pair.sh" "$ROUNDS" "-scenario $2 $W -addr 127.0.0.1:2879$at" "-scenario $2 $R -addr 127.0.0.1:28731" || failed=1
	echo "--- $1 elsewhere: bar $3"
	"$S/pair.sh" "$ROUNDS" "-scenario $2 $W -addr 127.0.0.1:2879$other" "-scenario $2 $R -addr 127.0.0.1:28731 -paddr 127.0.0.1:28732 -caddr 127.0.0.1:28732" || failed=1
}
row S5 S5 "ratio ≥ 6, A's CPU of all nodes ≤ 22 µs"
row S11r S11 "p50 ≤ 4 ms, p99 ≤ 20 ms"
if want S15; then
	echo "--- S15: kill -9 of the leader; bar: gaps ≤ 0.5 s with clients there and elsewhere"
	for _ in $(seq "$ROUNDS"); do
		for place in at other; do
			warren start3 && "$BENCH" -scenario S5 $W -addr 127.0.0.1:28791 -duration 1s -warmup 0s >/dev/null
			at=$(leader 1) other=$(($(leader 1) % 3 + 1)) third=$(($(leader 1) % 3 + 1)); third=$((third % 3 + 1))
			first=${!place}
			"$BENCH" -scenario S15 $W -note "$place" -addr "127.0.0.1:2879$first,127.0.0.1:2879$other,127.0.0.1:2879$third" -duration "${DUR15:-17s}" \
				-exec "kill -9 \$(cat $RUN/warren.n$at.pid)" | tee -a "$OUT" || failed=1
		done
	done
fi
exit $failed
