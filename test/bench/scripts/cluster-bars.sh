#!/bin/bash
# cluster-bars.sh: the rows of docs/performance.md that need three nodes: Warren ($WARREN) beside Debian's RabbitMQ with a
# quorum queue of three replicas, both on this machine, judged by pair.sh. A row is run with all clients at the node that
# leads the queue, and with all at another.
# ROUNDS pairs a row (default 1, a look; FULL=1: 7, a judgement). ONLY='S5 S11r S15 S16' chooses rows. S16 has no peer: RabbitMQ
# advises against more than 5,000 quorum queues. Raw lines: $BENCH_TMP/cluster.jsonl.
HERE=$(cd "$(dirname "$0")/.." && pwd)
export BENCH_TMP=${BENCH_TMP:-$(cd "$HERE/../.." && pwd)/dist/bench}
. "$HERE/scripts/common.sh"
set -e
S=$HERE/scripts
ROUNDS=${ROUNDS:-$([ -n "${FULL:-}" ] && echo 7 || echo 1)}
export WARREN=${WARREN:-$HERE/../../bin/warren} OUT=$BENCH_TMP/cluster.jsonl BENCH=$BENCH_TMP/bin/bench
[ -x "$WARREN" ] || { echo "no binary at $WARREN" >&2; exit 1; }
"$HERE/../../tools/need.sh" rabbitmq-server python3 curl
(cd "$HERE" && CGO_ENABLED=0 go build -trimpath -o "$BENCH" .)

leave() { "$S/warren.sh" stop; "$S/rabbitmq.sh" stop; }
trap leave EXIT
warren() { PORT=28790 "$S/warren.sh" "$@"; }
rabbit() { PORT=28730 "$S/rabbitmq.sh" "$@"; }
want() { [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]]; }
failed=0
if want S5 || want S11r; then rabbit start3; fi

# S16: what idle queues cost that are held by all three nodes.
nodes() { for n in 1 2 3; do "$1" "$n"; done | paste -sd' '; }
pid() { cat "$RUN/warren.n$1.pid"; }
rss() { awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$(pid "$1")/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$(pid "$1")/stat"; }
heap() { curl -sf --unix-socket "$BENCH_TMP/data/warren/n$1/warren.sock" 'http://x/debug/pprof/heap?debug=1&gc=1' | awk '/^# HeapAlloc/ { print int($4 / 1048576) }'; }
took() { local t; t=$(date +%s%N); "$@" >/dev/null; echo "$((($(date +%s%N) - t) / 1000000)) ms"; }
ctl() { "$WARREN" ctl -q --data "$BENCH_TMP/data/warren/n$1" "${@:2}"; }
busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }
# serves: a client of node N declares a queue, and gets what it publishes there, confirmed.
serves() { "$BENCH" -scenario S3 -target warren -name "idle-$1" -addr "127.0.0.1:2879$1" -duration 200ms -warmup 0s >/dev/null; }
cold() {
	local n t up
	for n in 1 2 3; do kill -9 "$(pid $n)"; done
	for n in 1 2 3; do while [ -d "/proc/$(pid $n)" ]; do sleep 0.02; done; rm -f "$BENCH_TMP/data/warren/n$n/ports.json"; done
	: >"$RUN/warren.pids"
	t=$(date +%s%N)
	warren again3
	for n in 1 2 3; do
		until curl -sf -m 1 "http://127.0.0.1:2891$n/health/ready" >/dev/null; do sleep 0.02; done
	done
	up=$((($(date +%s%N) - t) / 1000000))
	for n in 1 2 3; do until serves $n; do sleep 0.02; done; done
	echo "$up $((($(date +%s%N) - t) / 1000000))"
}
idle() { # QUEUES
	local had=0 a b other us
	warren start3
	sleep 5
	for to in 0 "$@"; do
		if [ "$to" -gt 0 ]; then
			python3 -c 'import json, sys; print(json.dumps({"queues": [{"name": "idle-%06d" % i, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}} for i in range(int(sys.argv[1]), int(sys.argv[2]))]}))' "$had" "$to" >"$BENCH_TMP/idle.json"
			echo "$to queues: made from definitions in $(took ctl 1 import_definitions "$BENCH_TMP/idle.json")"
			had=$to
		fi
		sleep "${SETTLE16:-45}" # it gives memory back that it needed for that
		a=($(nodes ticks)); b=$(busy)
		sleep "${DUR16:-60}"
		us=($(nodes ticks)); other=$(($(busy) - b))
		for n in 0 1 2; do us[n]=$((us[n] - a[n])); other=$((other - us[n])); done
		echo "$to queues, idle for ${DUR16:-60} s: RSS $(nodes rss) MiB; CPU $(for x in "${us[@]}"; do awk -v x="$x" -v d="${DUR16:-60}" 'BEGIN { printf "%.2f%% ", x / d }'; done)of a core; others $(awk -v x="$other" -v d="${DUR16:-60}" 'BEGIN { printf "%.0f%%", x / d }')"
		echo "$to queues: heap in use $(nodes heap) MiB"
		[ "$to" -gt 0 ] || continue
		set -- $(cold)
		echo "$to queues, all nodes killed and started: ready at $1 ms, each serves at $2 ms"
		echo "$to queues: cluster_status $(took ctl 2 cluster_status), list_queues $(took ctl 2 list_queues name messages leader), set_policy $(took ctl 2 set_policy idle '^idle-' '{"max-length": 100000}'), clear_policy $(took ctl 2 clear_policy idle)"
		for n in 1 2 3; do echo "$to queues: node $n $(warren restart $n)"; done
	done
}
if want S16; then
	echo "--- S16: bar for 10,000: RSS ≤ 100 MiB a node, CPU ≤ 2 % of a core, all serve in 5 s; the goal is the same for 100,000"
	idle ${QUEUES16:-10000 100000} | tee -a "$BENCH_TMP/idle.txt" || failed=1
fi
want S5 || want S11r || want S15 || exit $failed
warren start3

W="-target warren -name benchw -pids @$RUN/warren.pids"
R="-target rabbit3-quorum -type quorum -name benchq -pids @$RUN/rabbit3.pids"
# leader prints the number of the node that leads Warren's queue of the benchmark.
leader() { "$WARREN" ctl --data "$BENCH_TMP/data/warren/n$1" list_queues -q name leader | sed -n 's/^benchw-0\trabbit@node-0//p'; }
"$BENCH" -scenario S5 $W -addr 127.0.0.1:28791 -duration 1s -warmup 0s >/dev/null # makes the queue
at=$(leader 1) other=$(($(leader 1) % 3 + 1))

echo "$(uname -sr), $(nproc) cores, $(go version | cut -d' ' -f3); $(git -C "$HERE" rev-parse --short HEAD 2>/dev/null); three nodes each, all on this machine; A is Warren, B the peer's quorum queue"
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
				-exec "date -u +%FT%T.%3NZ >$BENCH_TMP/killed; kill -9 \$(cat $RUN/warren.n$at.pid)" | tee -a "$OUT" || failed=1
			echo "    $place, of its gap: killed $(cat "$BENCH_TMP/killed")"
			for n in 1 2 3; do # who saw it, who asked for the end of its life, when that had ended: consumers wait for it
				[ $n = "$at" ] || sed -n 's/^time=\([^ ]*\) .*msg="\(a node.s process is gone\|asking for the end of an incarnation\|a node.s life has ended\)".*/    node '$n' \1 \2/p' "$BENCH_TMP/data/warren/n$n.log"
			done
		done
	done
fi
exit $failed
