#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the given time each (60s).
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
each=${1:-60s}

ran=0
for package in $(go list ./...); do
	targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		echo "== $package $target ($each)"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" "$package"
		ran=$((ran + 1))
	done
done
echo "$ran fuzz targets, $each each, no finding"
[ "$ran" -gt 0 ]
