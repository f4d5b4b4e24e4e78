#!/usr/bin/env bash
# interop.sh [install]: runs other people's clients against Warren ($WARREN), or with
# BROKER=rabbitmq against the peer, which every scenario must pass as well. `install`
# only gets what they need (Go modules, Python packages in a virtual environment below
# dist/), so that the run itself needs no network but loopback. SUITE="pika …" chooses:
# amqp091go and pika are our scenarios, own091 is the Go client's own test suite.
# ARGS go to the suite.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD here=$PWD/test/interop venv=$PWD/dist/venv/pika

export BROKER=${BROKER:-warren} WARREN=${WARREN:-$PWD/bin/warren} CGO_ENABLED=0
export BROKER_CMD=$here/brokers/$BROKER.sh
[ -x "$BROKER_CMD" ] || { echo "no starter for $BROKER in test/interop/brokers" >&2; exit 2; }

install() {
	tools/need.sh python3 venv openssl
	[ "$BROKER" != rabbitmq ] || tools/need.sh rabbitmq-server
	(cd "$here/amqp091go" && go mod download && go vet -tags interop ./... && go test -tags integration -run '^$' github.com/rabbitmq/amqp091-go)
	if ! cmp -s "$here/pika/requirements.txt" "$venv/installed"; then
		rm -rf "$venv"
		python3 -m venv "$venv"
		"$venv/bin/pip" install -q --disable-pip-version-check -r "$here/pika/requirements.txt"
		cp "$here/pika/requirements.txt" "$venv/installed"
	fi
}
suite_amqp091go() { (cd "$here/amqp091go" && go test -tags interop -count=1 -timeout=8m ${ARGS:-} ./...); }
suite_pika() { (cd "$here/pika" && PYTHONDONTWRITEBYTECODE=1 timeout 400 "$venv/bin/python" -m pytest ${ARGS:-}); }
suite_own091() {
	local dir rc=0 at skip
	dir=$(mktemp -d)
	"$BROKER_CMD" start "$dir" || return 1
	at=$(sed -E 's/.*"amqp": ?"([^"]+)".*/\1/' "$dir/ports.json")
	skip=$(grep -v '^#' "$here/amqp091go/own.skip" | paste -sd'|')
	(cd "$here/amqp091go" && AMQP_URL=amqp://guest:guest@$at/ go test -tags integration -count=1 -timeout=6m -skip "^($skip)\$" ${ARGS:-} github.com/rabbitmq/amqp091-go) || rc=1
	"$BROKER_CMD" stop "$dir" || rc=1
	rm -rf "$dir"
	return $rc
}

install
[ "${1:-}" != install ] || exit 0
failed=0
for suite in ${SUITE:-amqp091go pika own091}; do
	echo "--- $suite against $BROKER"
	"suite_$suite" || { echo "FAIL: $suite against $BROKER"; failed=1; }
done
exit $failed
