#!/usr/bin/env bash
# rabbitmq-cluster.sh: the recipe by which a RabbitMQ cluster of three nodes is made,
# used and taken apart, typed as its users type it (test/estates/rabbitmq/cluster.sh.txt),
# on one host: $WARREN under the names rabbitmqctl and rabbitmq-server. What is printed
# has to be what they know. Every process that it starts has ended when it returns.
# (estates R4, R7, R9, R10, R12-R16, R18; the proxy of R19 is the suite haproxy)
set -euo pipefail
estates=$(cd "$(dirname "$0")/../estates/rabbitmq" && pwd)
warren=$(realpath "${WARREN:?the program to try}")

dir=$(mktemp -d "${TMPDIR:-/tmp}/recipe.XXXXXX")
mkdir "$dir/bin" "$dir/home"
for tool in rabbitmqctl rabbitmq-diagnostics rabbitmq-server; do ln -s "$warren" "$dir/bin/$tool"; done
unset "${!RABBITMQ_@}" "${!WARREN_@}" XDG_RUNTIME_DIR
export PATH=$dir/bin:$PATH HOME=$dir/home RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
transcript=$dir/transcript
base=$((20000 + $$ % 10000)) # of the ports for clients; those for nodes are 20,000 above

fail() { echo "recipe: $*" >&2; echo "--- what was typed and answered:" >&2; cat "$transcript" >&2; exit 1; }

end() {
	local status=$? pid
	for pid in "$dir"/mnesia/*.pid; do
		[ -f "$pid" ] || continue
		kill -9 "$(cat "$pid")" 2>/dev/null || true
	done
	if [ $status = 0 ]; then rm -rf "$dir"; else echo "recipe: what was left is in $dir" >&2; fi
}
trap end EXIT

# called N: the name of a node. The recipe forgets one that it calls otherwise.
called() { case $1 in 4) echo rabbit@node2 ;; *) echo "rabbit@node-0$1" ;; esac; }

# atom N: it as Erlang writes it, which is what is printed.
atom() { case $1 in 4) called 4 ;; *) echo "'$(called "$1")'" ;; esac; }

# at N COMMAND...: types a command at the host of a node.
at() {
	local n=$1 status=0
	shift
	RABBITMQ_NODENAME=$(called "$n")
	export RABBITMQ_NODENAME RABBITMQ_NODE_PORT=$((base + n))
	echo "node-0$n\$ $*" >>"$transcript"
	out=$(timeout 120 "$@" 2>&1) || status=$?
	printf '%s\n' "$out" >>"$transcript"
	return $status
}

# says N TEXT COMMAND...: the command goes well and prints just that.
says() {
	local n=$1 text=$2
	shift 2
	at "$n" "$@" || fail "'$*' at node-0$n failed"
	[ "$out" = "$text" ] || fail "'$*' at node-0$n printed
$out
and not
$text"
}

# refused N STATUS TEXT COMMAND...: it fails, with a status, and says so.
refused() {
	local n=$1 want=$2 text=$3 status=0
	shift 3
	at "$n" "$@" || status=$?
	[ $status = "$want" ] || fail "'$*' at node-0$n ended with $status, not $want"
	case $out in *"$text"*) ;; *) fail "'$*' at node-0$n does not say: $text" ;; esac
}

# start N [FLAG]: as the recipe has it; the flag that RabbitMQ has is -detached.
start() {
	at "$1" rabbitmq-server "${2:---detached}" || fail "node-0$1 did not start"
	at "$1" rabbitmqctl await_startup || fail "node-0$1 is not there"
}

stopping() { printf "Stopping node %s ...\n...done." "$(atom "$1")"; }
starting() { printf "Starting node %s ...\n...done." "$(atom "$1")"; }
resetting() { printf "Resetting node %s ...\n...done." "$(atom "$1")"; }

# join N: a node becomes a member of the first one's cluster.
join() {
	says "$1" "$(stopping "$1")" rabbitmqctl stop_app
	says "$1" "Clustering node $(atom "$1") with 'rabbit@node-01' ...
...done." rabbitmqctl join_cluster rabbit@node-01
	says "$1" "$(starting "$1")" rabbitmqctl start_app
}

# produce N QUEUE COUNT, consume N QUEUE COUNT: through a node's own port.
produce() { client producer "$@"; }
consume() { client consumer "$@"; }
client() {
	at "$2" "$warren" "$1" --brokerUrl "amqp://127.0.0.1:$((base + $2))" --destination "queue://$3" --count "$4" || fail "$1 at node-0$2"
}

# The same cookie at all nodes, for its owner's eyes only.
printf 'ABCDEFGHIJKLMNOPQRSTUVWXYZ' >"$dir/home/.erlang.cookie"
chmod 400 "$dir/home/.erlang.cookie"

start 1 -detached
start 2
start 3
refused 2 64 "requires the 'rabbit' app to be stopped on the target node" rabbitmqctl join_cluster rabbit@node-01
join 2
join 3
says 1 "" rabbitmqctl -q await_online_nodes 3

# The status as the recipe shows it; what came into it since stands behind.
at 1 rabbitmqctl cluster_status --formatter erlang || fail "no status"
[ "$(sed '/^ {cluster_name,/,/^ {alarms,/d; s/^ {partitions,\[\]},$/ {partitions,[]}]/' <<<"$out")" = "$(cat "$estates/cluster_status.expected.txt")" ] ||
	fail "the status is not that of the recipe"
at 1 rabbitmqctl cluster_status || fail "no status in sections"

# Its policy, verbatim, and queues that any node serves while one is away.
policy=$(grep '^rabbitmqctl set_policy' "$estates/cluster.sh.txt")
at 1 bash -c "$policy" || fail "the policy"
case $out in 'Setting policy "HA" for pattern "^(?!amq\.).*" to "{"ha-mode": "all"}" with priority "0" for vhost "/" ...'*) ;; *) fail "the policy is answered otherwise" ;; esac
produce 1 orders 100
members() { at 2 rabbitmqctl -s list_queues name members && grep -q "^orders	.*node-01.*node-02.*node-03" <<<"$out"; }
for _ in {1..60}; do members && break || sleep 0.5; done
members || fail "the policy does not put the queue on all three nodes"
says 2 "Stopping and halting node rabbit@node-02 ..." rabbitmqctl stop
consume 3 orders 100
produce 3 orders 50
start 2
says 2 "" rabbitmqctl -q await_online_nodes 3
consume 2 orders 50

# Leaving, and coming back.
says 3 "$(stopping 3)" rabbitmqctl stop_app
says 3 "$(resetting 3)" rabbitmqctl reset
says 3 "$(starting 3)" rabbitmqctl start_app
at 3 rabbitmqctl cluster_status --formatter erlang || fail "no status of who left"
grep -q "^ {running_nodes,\['rabbit@node-03'\]},$" <<<"$out" || fail "node-03 is not alone"
join 3
says 1 "" rabbitmqctl -q await_online_nodes 3

# Forgetting a node that is stopped, by the name that the recipe has for it: it still
# believes that it is a member, is told, and begins anew.
start 4
join 4
refused 1 69 "must be stopped" rabbitmqctl forget_cluster_node rabbit@node2
says 4 "$(stopping 4)" rabbitmqctl stop_app
says 1 "Removing node $(atom 4) from cluster ...
...done." rabbitmqctl forget_cluster_node rabbit@node2
at 4 rabbitmqctl cluster_status --formatter erlang || fail "no status of who was forgotten"
grep -q "rabbit@node-01" <<<"$out" || fail "who was forgotten does not know its cluster"
refused 4 69 "this node was removed from its cluster" rabbitmqctl start_app
says 4 "$(resetting 4)" rabbitmqctl reset
says 4 "$(starting 4)" rabbitmqctl start_app
produce 1 orders 10
consume 3 orders 10

for n in 1 2 3 4; do says $n "Stopping and halting node $(called $n) ..." rabbitmqctl stop; done

# Every line of the recipe was typed, as it stands there.
while read -r line; do
	[ -z "$line" ] || sed -n 's/^node-0[0-9]\$ \(bash -c \)\{0,1\}//p' "$transcript" | grep -qxF -- "$line" || fail "the recipe's line was not typed: $line"
done <"$estates/cluster.sh.txt"
echo "recipe: the RabbitMQ cluster of three nodes was made, used and taken apart as written"
