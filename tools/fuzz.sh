#!/usr/bin/env bash
# fuzz.sh: runs every fuzz target of the module. FUZZ_SECONDS (default 30) is shared by
# all targets, at least 1 s each: building them with coverage takes the rest; FULL=1 gives each 2 minutes, and a run that was
# stopped goes on with the targets it has not done (dist/full/fuzz.done).
# An input that breaks a target stays in its package's testdata/fuzz: commit it.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t targets < <(grep -rhoE --include='*_test.go' --exclude-dir=dist --exclude-dir=testdata -H '^func Fuzz\w+\(f \*testing\.F\)' -- */ |
	sed -E 's|^([^:]*)/[^/:]*:func (Fuzz\w+).*|\1 \2|' | sort -u)
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }

done_list=/dev/null
if [ -n "${FULL:-}" ]; then
	each=120
	mkdir -p dist/full
	done_list=dist/full/fuzz.done
	touch $done_list
else
	each=$((${FUZZ_SECONDS:-30} / ${#targets[@]}))
	[ $each -ge 1 ] || each=1
fi

# fuzz PKG TARGET BIN LOG: one run.
fuzz() {
	(cd "$1" && "$3" -test.run='^$' -test.fuzz="^$2\$" -test.fuzztime=${each}s -test.fuzzcachedir="$OLDPWD/dist/fuzz/cache/$1") >"$4" 2>&1
}
# late LOG: Go's fuzzer took the end of its own time for a failure (golang/go#75804, mended in 1.27): it found nothing and
# wrote no input. Such a run says nothing, so the target is run again.
late() { grep -qE '^ +context deadline exceeded$' "$1" && ! grep -q 'Failing input' "$1"; }

mkdir -p dist/fuzz
ran=0 failed=()
for target in "${targets[@]}"; do
	read -r pkg name <<<"$target"
	grep -qxF "$target" $done_list && continue
	bin=$PWD/dist/fuzz/${pkg//\//_}.test
	if [ "${last:-}" != "$pkg" ]; then go test -c -fuzz=. -o "$bin" "./$pkg"; last=$pkg; fi
	log=dist/fuzz/${pkg//\//_}.$name.log
	if fuzz "$pkg" "$name" "$bin" "$log" || { late "$log" && fuzz "$pkg" "$name" "$bin" "$log"; }; then
		echo "ok    $pkg $name: $(grep -oE 'execs: [0-9]+' "$log" | tail -1) in ${each}s"
		[ -z "${FULL:-}" ] || echo "$target" >>$done_list
	else
		echo "FAIL  $pkg $name"
		sed 's/^/      /' "$log" | tail -25
		failed+=("$target")
	fi
	ran=$((ran + 1))
done
echo "fuzz: $ran targets, ${#failed[@]} failed"
[ ${#failed[@]} = 0 ]
