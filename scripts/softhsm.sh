#!/usr/bin/env bash
# Makes sure that there is SoftHSM 2, against which the PKCS#11 module is tested, and prints the path of its library. Installs
# it where this user may; else unpacks Debian's package into var/softhsm, which is enough for a library; else says what to
# type.
set -euo pipefail
cd "$(dirname "$0")/.."

find_library() {
	local place
	for place in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so "$PWD"/var/softhsm/usr/lib/*/softhsm/libsofthsm2.so; do
		if [ -r "$place" ]; then
			echo "$place"
			return 0
		fi
	done
	return 1
}

find_library && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	echo "No SoftHSM (the PKCS#11 test needs one): installing softhsm2" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >&2
	apt-get install -y --no-install-recommends -q softhsm2 >&2
elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
	echo "No SoftHSM (the PKCS#11 test needs one): unpacking libsofthsm2 into var/softhsm" >&2
	mkdir -p var/softhsm
	if (cd var/softhsm && apt-get download -q libsofthsm2 >&2); then
		dpkg -x var/softhsm/libsofthsm2_*.deb var/softhsm
		rm -f var/softhsm/libsofthsm2_*.deb
	fi
fi
find_library && exit 0
echo "No SoftHSM, and the PKCS#11 test needs one. Type this, then repeat:" >&2
echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends softhsm2" >&2
exit 1
