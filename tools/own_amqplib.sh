#!/usr/bin/env bash
# own_amqplib.sh FOLDER: runs the own tests of Node's amqplib from a checkout of its repository
# (they are not in its package) against Warren ($WARREN), or with BROKER=rabbitmq against the
# peer. FOLDER is only copied. The tests know no other port than 5672, so that they run in a
# network of their own where only loopback is up.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD copy=$PWD/dist/interop/amqplib

export BROKER=${BROKER:-warren} WARREN=${WARREN:-$PWD/bin/warren}
starter=$root/test/interop/brokers/$BROKER.sh

suite() {
	local dir rc=0
	dir=$(mktemp -d)
	AMQP_PORT=5672 "$starter" start "$dir" || return 1
	(cd "$copy" && URL=amqp://guest:guest@localhost:5672 timeout 300 node --test --test-reporter=tap --test-timeout=${TIMEOUT:-20000}) >"$root/dist/interop/amqplib.tap" || rc=$?
	"$starter" stop "$dir" || rc=1
	rm -rf "$dir"
	grep -E '^ *not ok|^# (tests|pass|fail|cancelled|skipped)' "$root/dist/interop/amqplib.tap" || true
	echo "$BROKER; amqplib $(node -p "require('$copy/package.json').version"), Node $(node --version); whole output in dist/interop/amqplib.tap"
	return $rc
}

if [ "${1:-}" = suite ]; then
	perl .ci/loopback lo
	suite
	exit
fi
[ -f "${1:-}/test/channel_api.test.js" ] || { echo "usage: own_amqplib.sh FOLDER, a checkout of amqplib's repository" >&2; exit 2; }
tools/need.sh node npm perl unshare
rm -rf "$copy"
mkdir -p "$copy"
cp -r "$1"/. "$copy"
(cd "$copy" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
exec unshare --net --pid --fork --kill-child --mount-proc "$root/tools/own_amqplib.sh" suite
