#!/usr/bin/env bash
# Formatting, go vet, staticcheck and known vulnerabilities. The tools are pinned and run from source.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

unformatted=$(gofmt -l $(go list -f '{{.Dir}}' ./...))
if [ -n "$unformatted" ]; then
	printf 'gofmt:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# govulncheck needs its database over the network. Exit 3 means that it found something; where the database cannot be
# reached that is said, and nothing else is concluded.
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./... >"$report" 2>&1 || status=$?
if [ "$status" = 0 ]; then
	echo "lint: clean; govulncheck: no known vulnerabilities"
elif grep -qE '^(=== Symbol Results|Vulnerability #)' "$report"; then
	cat "$report" >&2
	exit 1
else
	echo "lint: clean; govulncheck NOT run, its database could not be reached:"
	tail -n 3 "$report"
fi
