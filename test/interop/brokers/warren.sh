#!/usr/bin/env bash
# warren.sh start|kill|stop DIR | ctl DIR ARG...: runs the program $WARREN for the interop suites.
# Contract of every starter: `start` returns when the broker serves; DIR/ports.json then says
# where ({"amqp":"127.0.0.1:…","amqps":…}); a second start on the same DIR is a restart on the
# same data and addresses; `kill` is SIGKILL, `stop` is asking nicely, and `ctl` is what
# rabbitmqctl is to an operator of RabbitMQ, with its verbs. If DIR/tls exists when it
# first starts, it holds ca.pem, cert.pem and key.pem, and there is a TLS listener. If AMQP_PORT
# is set, it is the port, on every address of both families, for suites that know no other.
set -euo pipefail
verb=$1 dir=$2
shift 2
WARREN=${WARREN:-$(dirname "$0")/../../../bin/warren}

alive() { [ -f "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }
gone() { # SECONDS; a process is gone when its last thread is, which may be in a sync
	local pid
	pid=$(cat "$dir/pid")
	for _ in $(seq $(($1 * 20))); do
		[ -d "/proc/$pid/task" ] || return 0
		[ "$(ls "/proc/$pid/task" 2>/dev/null)" != "$pid" ] || ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}
address() { # PROTOCOL: where it was before, else any free port
	sed -nE "s/.*\"$1\": ?\"([^\"]+)\".*/\1/p" "$dir/ports.json" 2>/dev/null | grep . || echo 127.0.0.1:0
}

case $verb in
start)
	mkdir -p "$dir"
	args=(serve --data "$dir/data" --listen "amqp=${AMQP_PORT:+[::]:}${AMQP_PORT:-$(address amqp)}")
	if [ -d "$dir/tls" ]; then
		args+=(--listen "amqps=$(address amqps)" --set "tls.cert=$dir/tls/cert.pem" --set "tls.key=$dir/tls/key.pem")
	fi
	rm -f "$dir/data/ports.json"
	setsid "$WARREN" "${args[@]}" >>"$dir/log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	for _ in $(seq 600); do
		if [ -s "$dir/data/ports.json" ] && cp "$dir/data/ports.json" "$dir/ports.json"; then
			at=$(address amqp)
			(exec 3<>"/dev/tcp/127.0.0.1/${at##*:}") 2>/dev/null && exit 0
		fi
		alive || { echo "the broker ended:" >&2; tail -20 "$dir/log" >&2; exit 1; }
		sleep 0.05
	done
	echo "the broker does not serve after 30 s:" >&2
	tail -20 "$dir/log" >&2
	exit 1
	;;
kill)
	! alive || kill -KILL "$(cat "$dir/pid")" || ! alive # it may be gone between the two
	gone 10
	;;
stop)
	alive || exit 0
	kill -TERM "$(cat "$dir/pid")"
	gone 20 || { kill -KILL "$(cat "$dir/pid")"; echo "it did not stop within 20 s and was killed" >&2; exit 1; }
	;;
ctl) exec "$WARREN" rabbitmqctl --data "$dir/data" "$@" ;;
*)
	echo "usage: warren.sh start|kill|stop DIR | ctl DIR ARG..." >&2
	exit 2
	;;
esac
