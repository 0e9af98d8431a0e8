#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the given time each (60s). What a run finds stays in the build
# cache, where the next run takes it up; scripts/fuzz-keep.sh chooses what is worth committing.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
each=${1:-60s}

ran=0
for package in $(go list ./...); do
	targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		echo "== $package $target ($each)"
		# By default every input that reaches something new is made smaller for up to a minute, in which nothing is tried.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" -fuzzminimizetime 1s "$package"
		ran=$((ran + 1))
	done
done
echo "$ran fuzz targets, $each each, no finding"
[ "$ran" -gt 0 ]
