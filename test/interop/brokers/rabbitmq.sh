#!/usr/bin/env bash
# rabbitmq.sh start|kill|stop DIR | ctl DIR ARG...: the peer, Debian's RabbitMQ, as a node of its own
# below DIR, with its own epmd and free loopback ports. The contract is in warren.sh.
set -euo pipefail
verb=$1 dir=$2
shift 2

end() { # PIDFILE SIGNAL SECONDS
	[ -f "$1" ] || return 0
	local pid
	pid=$(cat "$1")
	kill -"$2" "$pid" 2>/dev/null || return 0
	for _ in $(seq $(($3 * 20))); do
		[ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}

case $verb in
start)
	mkdir -p "$dir/mnesia" "$dir/log"
	if [ ! -f "$dir/free" ]; then
		python3 - >"$dir/free" <<-'P'
			import socket
			held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
			print(*(s.getsockname()[1] for s in held))
		P
		echo INTEROPINTEROPINTEROP >"$dir/.erlang.cookie"
		chmod 400 "$dir/.erlang.cookie"
		echo '[].' >"$dir/plugins"
	fi
	read -r amqp amqps dist epmd <"$dir/free"
	amqp=${AMQP_PORT:-$amqp}
	{
		[ -z "${AMQP_PORT:-}" ] || echo "listeners.tcp.2 = ::1:$amqp"
		echo "listeners.tcp.1 = 127.0.0.1:$amqp"
		if [ -d "$dir/tls" ]; then
			echo "listeners.ssl.1 = 127.0.0.1:$amqps"
			echo "ssl_options.cacertfile = $dir/tls/ca.pem"
			echo "ssl_options.certfile = $dir/tls/cert.pem"
			echo "ssl_options.keyfile = $dir/tls/key.pem"
			echo "ssl_options.verify = verify_none"
		fi
	} >"$dir/rabbitmq.conf"
	if [ ! -f "$dir/epmd.pid" ]; then # else Erlang starts one that nobody ends
		setsid epmd -port "$epmd" -address 127.0.0.1 >>"$dir/epmd.log" 2>&1 </dev/null &
		echo $! >"$dir/epmd.pid"
		for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$epmd") 2>/dev/null && break; sleep 0.05; done
	fi
	rm -f "$dir/pid"
	env -i HOME="$dir" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
		RABBITMQ_NODENAME="interop@localhost" RABBITMQ_NODE_IP_ADDRESS= RABBITMQ_DIST_PORT="$dist" \
		RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" \
		RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_PID_FILE="$dir/pid" \
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
		setsid /usr/lib/rabbitmq/bin/rabbitmq-server >>"$dir/out" 2>&1 </dev/null &
	for _ in $(seq 1200); do
		if [ -s "$dir/pid" ] && (exec 3<>"/dev/tcp/127.0.0.1/$amqp") 2>/dev/null; then
			printf '{"amqp":"127.0.0.1:%s","amqps":"127.0.0.1:%s"}\n' "$amqp" "$amqps" >"$dir/ports.json"
			exit 0
		fi
		sleep 0.05
	done
	echo "the broker does not serve after 60 s:" >&2
	tail -20 "$dir/out" >&2
	exit 1
	;;
kill) # what was declared within the last two seconds is in Erlang's memory only
	"$0" ctl "$dir" eval 'mnesia:sync_log().' >/dev/null
	end "$dir/pid" KILL 10
	;;
stop)
	end "$dir/pid" TERM 30 || end "$dir/pid" KILL 10
	end "$dir/epmd.pid" TERM 5
	rm -f "$dir/epmd.pid"
	;;
ctl)
	read -r _ _ dist epmd <"$dir/free"
	env -i HOME="$dir" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
		RABBITMQ_NODENAME="interop@localhost" RABBITMQ_CTL_DIST_PORT_MIN=$((dist + 1)) RABBITMQ_CTL_DIST_PORT_MAX=$((dist + 50)) \
		RABBITMQ_CTL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
		/usr/lib/rabbitmq/bin/rabbitmqctl --node interop@localhost "$@"
	;;
*)
	echo "usage: rabbitmq.sh start|kill|stop DIR | ctl DIR ARG..." >&2
	exit 2
	;;
esac
