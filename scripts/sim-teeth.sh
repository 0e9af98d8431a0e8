#!/usr/bin/env bash
# The simulation has teeth: it finds each of ten bugs, one to a build, within the seeds given, and nothing in the product as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-2000}
export CGO_ENABLED=0
mkdir -p bin/mutants
list=$(go run ./cmd/sim -mutants)
missed=0
for tag in $list; do
	go build -buildvcs=false -tags "$tag" -o "bin/mutants/$tag" ./cmd/sim
	status=0
	said=$("bin/mutants/$tag" -brief -complete=false -seeds "$seeds") || status=$?
	if [ "$status" = 1 ]; then
		printf '%-38s found by %s\n' "${tag#mutant_}" "$(printf '%s' "$said" | head -n 1 | cut -c 1-220)"
	else
		printf '%-38s NOT FOUND: %s\n' "${tag#mutant_}" "$said"
		missed=1
	fi
done
go build -buildvcs=false -o bin/sim ./cmd/sim
if ! bin/sim -brief -complete=false -seeds "$((seeds < 200 ? seeds : 200))"; then
	echo "the product itself: a failure (play it again with bin/sim)"
	missed=1
fi
rm -rf bin/mutants
[ "$missed" = 0 ] && echo "sim-teeth: all $(wc -w <<<"$list") bugs found"
exit "$missed"
