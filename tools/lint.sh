#!/usr/bin/env bash
# lint.sh: format, vet and linters (.golangci.yml), that `make generate` changes
# nothing, and that nothing of the named steps (internal/step) is in the program. FIX=1 mends what can be mended. The linter is installed into bin/ in the
# version pinned here; its modules stay out of ours.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v2.15.0
linter=$PWD/bin/golangci-lint
if [ "$("$linter" version --short 2>/dev/null)" != "${version#v}" ]; then
	echo "installing golangci-lint $version"
	GOBIN=$PWD/bin CGO_ENABLED=0 go install -trimpath github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version
fi

failed=0
step() { # NAME COMMAND...
	local name=$1 start=$SECONDS
	shift
	if "$@"; then echo "ok    $name ($((SECONDS - start)) s)"; else echo "FAIL  $name"; failed=1; fi
}

formatted() {
	local bad
	bad=$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)
	[ -z "$bad" ] || { echo "not gofmt'ed:"; echo "$bad"; return 1; }
}
state() { git status --porcelain; git diff; }
generated() {
	local before
	before=$(state)
	go generate ./... || return 1
	[ "$before" = "$(state)" ] || { echo "make generate changed the tree:"; git status --porcelain; return 1; }
}

stepless() {
	go test -tags steps -count=1 ./internal/step && go build -trimpath -o bin/warren ./cmd/warren || return 1
	! grep -q WARREN_STEPS bin/warren || { echo "bin/warren obeys WARREN_STEPS"; return 1; }
}

if [ -n "${FIX:-}" ]; then
	"$linter" fmt
	"$linter" run --fix ./... || true
fi
step "gofmt" formatted
step "generated code" generated
step "golangci-lint" "$linter" run ./...
step "no named steps in the program" stepless
exit $failed
