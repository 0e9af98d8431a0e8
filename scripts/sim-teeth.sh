#!/usr/bin/env bash
# The simulation has teeth: it finds each of ten bugs, one to a build, within the seeds given, and nothing in the product as it is: that
# plays every seed up to the last one that found a bug, and 200 at least. make sim plays it on many more.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-2000}
export CGO_ENABLED=0
mkdir -p bin/mutants
list=$(go run ./cmd/sim -mutants)
missed=0
last=200
for tag in $list; do
	go build -buildvcs=false -tags "$tag" -o "bin/mutants/$tag" ./cmd/sim
	status=0
	said=$("bin/mutants/$tag" -brief -complete=false -seeds "$seeds") || status=$?
	by=$(sed -n 's/^seed \([0-9]*\): .*/\1/p;q' <<<"$said")
	if [ "$status" = 1 ] && [ -n "$by" ]; then
		printf '%-38s found by %s\n' "${tag#mutant_}" "$(head -n 1 <<<"$said" | cut -c 1-220)"
		last=$((by > last ? by : last))
	else
		printf '%-38s NOT FOUND: %s\n' "${tag#mutant_}" "$said"
		missed=1
	fi
done
rm -rf bin/mutants
go build -buildvcs=false -o bin/sim ./cmd/sim
if ! said=$(bin/sim -brief -complete=false -seeds "$last"); then
	missed=1
fi
printf '%-38s %s\n' "no bug, seeds 1 to $last" "$(tail -n 1 <<<"$said")"
[ "$missed" = 0 ] && echo "sim-teeth: all $(wc -w <<<"$list") bugs found, and none without them"
exit "$missed"
