#!/usr/bin/env bash
# chaos.sh: kills the real binary ($WARREN) with SIGKILL in a loop under confirmed load
# and checks what came back. CHAOS_ROUNDS (default 5; FULL=1: 50).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${FULL:-}" ]; then export CHAOS_ROUNDS=${CHAOS_ROUNDS:-50}; fi
export WARREN=${WARREN:-$PWD/bin/warren} CHAOS_ROUNDS=${CHAOS_ROUNDS:-5}
exec go test -tags chaos -count=1 -timeout=30m -v ./test/chaos/
