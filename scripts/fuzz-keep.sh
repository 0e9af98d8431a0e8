#!/usr/bin/env bash
# Keeps a few of the inputs that a fuzz run found interesting: scripts/fuzz-keep.sh [PACKAGE [TARGET]]
#
# A run leaves what it found in the build cache (or below FUZZCACHE, one folder a target), too much to commit. Of the smallest
# 60 inputs of at most 1 KiB, those are copied to testdata/fuzz of the package that reach most which the target's seeds and its
# kept inputs do not: at most 12 a target with those that are there, chosen one after the other, the smaller of equals
# first. What is reached is a block of code by the power of two of how often it ran, as in the fuzzer itself.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
most=${KEEP:-12} candidates=${CANDIDATES:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# features FILE: what a run reached, one a line.
features() {
	awk 'NR > 1 && $3 > 0 { power = 0; for (n = $3; n > 1; n = int(n / 2)) power++; print $1 "^" power }' "$1"
}

# keep DIR TARGET FOUND: of the inputs in the folder FOUND.
keep() {
	local dir=$1 target=$2 found=$3 kept="$1/testdata/fuzz/$2" runs="$work/$2" name
	rm -rf "$runs"
	mkdir -p "$kept" "$runs"
	(cd "$dir" && "$work/test" -test.run "^$target\$" -test.coverprofile "$runs/seeds.cover" >/dev/null)
	features "$runs/seeds.cover" >"$runs/seeds"
	find "$found/" -maxdepth 1 -type f -size -1025c -printf '%s %f\n' | sort -n -k1,1 -k2,2 | awk '{ print $2 }' >"$runs/all"
	while read -r name; do
		if [ ! -e "$kept/$name" ]; then
			echo "$name"
		fi
	done <"$runs/all" | head -n "$candidates" >"$runs/list" || true
	while read -r name; do
		cp "$found/$name" "$kept/$name"
		(cd "$dir" && "$work/test" -test.run "^$target\$/^$name\$" -test.coverprofile "$runs/cover" >/dev/null)
		rm "$kept/$name"
		features "$runs/cover" >"$runs/$name.reached"
	done <"$runs/list"
	(
		cd "$runs"
		awk -v room=$((most - $(find "$OLDPWD/$kept" -type f | wc -l))) '
			FILENAME == "seeds" { known[$0]; next }
			FILENAME == "list" { name[++n] = $0; file = $0 ".reached"; while ((getline f < file) > 0) reached[n, ++size[n]] = f; next }
			END {
				while (room-- > 0) {
					best = 0; most = 0
					for (i = 1; i <= n; i++) {
						new = 0
						for (k = 1; k <= size[i]; k++) if (!(reached[i, k] in known)) new++
						if (new > most) { most = new; best = i }
					}
					if (!best) break
					print name[best]
					for (k = 1; k <= size[best]; k++) known[reached[best, k]]
				}
			}' seeds list
	) >"$runs/chosen"
	while read -r name; do
		cp "$found/$name" "$kept/$name"
		chmod 644 "$kept/$name"
	done <"$runs/chosen"
	rmdir --ignore-fail-on-non-empty "$kept" "$(dirname "$kept")"
	echo "$dir $target: $(wc -l <"$runs/all") found, $(wc -l <"$runs/chosen") kept"
}

go list -f '{{.ImportPath}} {{.Dir}}' "${1:-./...}" | while read -r package full; do
	dir=.${full#"$PWD"}
	cache=${FUZZCACHE:-$(go env GOCACHE)/fuzz}/$package
	if [ ! -d "$cache" ]; then
		continue
	fi
	go test -c -cover -covermode=count -o "$work/test" "$package"
	for target in $(cd "$dir" && "$work/test" -test.list "^${2:-Fuzz}" 2>/dev/null | grep '^Fuzz' || true); do
		if [ -d "$cache/$target" ]; then
			keep "$dir" "$target" "$cache/$target"
		fi
	done
done
