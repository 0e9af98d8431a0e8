#!/usr/bin/env bash
# Makes sure that there is a C compiler, which Go's race detector needs. Installs one where this user may, else says what
# to type.
set -euo pipefail

compiler=$(go env CC)
if command -v "${compiler%% *}" >/dev/null; then
	exit 0
fi

install='apt-get install -y --no-install-recommends gcc libc6-dev'
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "No C compiler (go test -race needs one): installing gcc" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >&2
	$install -q >&2
	exit 0
fi
echo "No C compiler, and go test -race needs one. Type this, then repeat:" >&2
echo "    sudo apt-get update && sudo $install" >&2
exit 1
