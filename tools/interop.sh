#!/usr/bin/env bash
# interop.sh [install]: runs other people's clients against Warren ($WARREN), or with
# BROKER=rabbitmq against the peer, which every scenario must pass as well. `install`
# only gets what they need (each with its own package manager, pinned by checksum, below
# dist/), so that the run itself needs no network but loopback. SUITE="pika …" chooses:
# own091 is the Go client's own test suite, the others are our scenarios. ARGS go to the suite.
#
# A suite's file `pending` names scenarios that Warren does not pass yet, each with the
# reason: they are not run against Warren, and the run says so. It is meant to be empty.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD here=$PWD/test/interop venv=$PWD/dist/interop/venv

export BROKER=${BROKER:-warren} WARREN=${WARREN:-$PWD/bin/warren} CGO_ENABLED=0 PYTHONDONTWRITEBYTECODE=1
export BROKER_CMD=$here/brokers/$BROKER.sh
[ -x "$BROKER_CMD" ] || { echo "no starter for $BROKER in test/interop/brokers" >&2; exit 2; }

all="own091 amqp091go pika celery java node"
# Three of Warren's nodes behind a proxy: no starter knows how to make that of the peer.
[ "$BROKER" != warren ] || all+=" haproxy recipe"
chosen=${SUITE:-$all}

wants() { # SUITE...: whether one of them is chosen
	local s
	for s; do [[ " $chosen " != *" $s "* ]] || return 0; done
	return 1
}

install() {
	tools/need.sh openssl python3
	[ "$BROKER" != rabbitmq ] || tools/need.sh rabbitmq-server
	if wants own091 amqp091go; then
		(cd "$here/amqp091go" && go mod download && go vet -tags interop ./... && go test -tags integration -run '^$' github.com/rabbitmq/amqp091-go)
	fi
	if wants pika celery haproxy; then install_python; fi
	if wants haproxy; then tools/need.sh haproxy; fi
	if wants java; then install_java; fi
	if wants node; then install_node; fi
}

install_python() {
	tools/need.sh venv
	local wanted=("$here/requirements.txt")
	if wants haproxy; then wanted+=("$here/haproxy/requirements.txt"); fi
	cat "${wanted[@]}" | cmp -s - "$venv/installed" && return
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q --disable-pip-version-check --require-hashes $(printf ' -r %s' "${wanted[@]}")
	cat "${wanted[@]}" >"$venv/installed"
}

install_java() {
	tools/need.sh java javac mvn
	local jars=$root/dist/interop/jars
	(cd "$jars" && sha256sum --quiet -c "$here/java/jars.sha256") >/dev/null 2>&1 && return
	rm -rf "$jars"
	mvn -q -B -Dstyle.color=never -f "$here/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars"
	(cd "$jars" && sha256sum --quiet -c "$here/java/jars.sha256")
}

install_node() {
	tools/need.sh node npm
	local modules=$root/dist/interop/node
	cmp -s "$here/node/package-lock.json" "$modules/installed" && return
	rm -rf "$modules"
	mkdir -p "$modules"
	cp "$here/node/package.json" "$here/node/package-lock.json" "$modules"
	(cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	cp "$modules/package-lock.json" "$modules/installed"
}

# pending SUITE: the names of its scenarios that are not to run.
pending() {
	[ "$BROKER" = warren ] && [ -f "$here/$1/pending" ] || return 0
	sed -E '/^(#|$)/d; s/[[:space:]].*//' "$here/$1/pending"
}
# said SUITE: tells which those are, and why.
said() {
	local n
	n=$(pending "$1" | wc -l)
	[ "$n" != 0 ] || return 0
	sed -E "/^(#|$)/d; s/^/PENDING: $1: /" "$here/$1/pending"
	left=$((left + n))
}

suite_amqp091go() {
	local skip
	skip=$(pending amqp091go | paste -sd'|')
	(cd "$here/amqp091go" && go test -tags interop -count=1 -timeout=8m ${skip:+-skip "^($skip)\$"} ${ARGS:-} ./...)
}
suite_pika() { python_suite pika; }
suite_celery() { python_suite celery; }
suite_haproxy() { python_suite haproxy; }
python_suite() {
	local deselect
	mapfile -t deselect < <(pending "$1" | sed 's/^/--deselect=/')
	(cd "$here/$1" && timeout 400 "$venv/bin/python" -m pytest "${deselect[@]}" ${ARGS:-})
}
suite_own091() {
	local dir rc=0 at skip
	dir=$(mktemp -d)
	"$BROKER_CMD" start "$dir" || return 1
	at=$(sed -E 's/.*"amqp": ?"([^"]+)".*/\1/' "$dir/ports.json")
	printf '#!/bin/sh\nexec "%s" ctl "%s" "$@"\n' "$BROKER_CMD" "$dir" >"$dir/rabbitmqctl"
	chmod 755 "$dir/rabbitmqctl"
	skip=$(grep -v '^#' "$here/amqp091go/own.skip" | paste -sd'|')
	(cd "$here/amqp091go" && AMQP_URL=amqp://guest:guest@$at/ RABBITMQ_RABBITMQCTL_PATH=$dir/rabbitmqctl \
		go test -tags integration -count=1 -timeout=6m -skip "^($skip)\$" ${ARGS:-} github.com/rabbitmq/amqp091-go) || rc=1
	"$BROKER_CMD" stop "$dir" || rc=1
	rm -rf "$dir"
	return $rc
}
suite_recipe() { "$root/test/recipes/rabbitmq-cluster.sh"; }
suite_java() {
	local classes=$root/dist/interop/classes jars=$root/dist/interop/jars exclude
	rm -rf "$classes"
	javac -Xlint:all -Werror -cp "$jars/*" -d "$classes" "$here"/java/src/*.java || return 1
	mapfile -t exclude < <(pending java | sed 's/.*/--exclude-methodname=interop\\.&/')
	timeout 400 java -jar "$jars"/junit-platform-console-standalone-*.jar execute --disable-banner --disable-ansi-colors \
		--details=tree --fail-if-no-tests --class-path="$classes:$(printf '%s:' "$jars"/{amqp,slf4j}-*.jar)" \
		--scan-class-path="$classes" "${exclude[@]}" ${ARGS:-}
}
suite_node() {
	(cd "$here/node" && PENDING=$(pending node) NODE_PATH=$root/dist/interop/node/node_modules \
		timeout 400 node --test --test-reporter=spec ${ARGS:-} ./*.test.js)
}

install
[ "${1:-}" != install ] || exit 0
failed=0 left=0
for suite in $chosen; do
	echo "--- $suite against $BROKER"
	said "$suite"
	"suite_$suite" || { echo "FAIL: $suite against $BROKER"; failed=1; }
done
[ $left = 0 ] || echo "PENDING: $left scenarios were not run, see above"
exit $failed
