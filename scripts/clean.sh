#!/usr/bin/env bash
# Stops the programs that run from this checkout's own state folders, then removes var/ and bin/. A process is stopped by
# its id alone, and only when its command line still names a folder below this checkout's var/.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# ours PID: does the process's command line name this checkout's var/ or bin/?
ours() {
	[ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -e "$root/var" -e "$root/bin/"
}

pids=()
while IFS= read -r file; do
	pid=$(head -n 1 "$file" 2>/dev/null || true)
	if [[ $pid =~ ^[0-9]+$ ]] && ours "$pid"; then
		pids+=("$pid")
	fi
done < <(find var -name '*.pid' -type f 2>/dev/null)

for pid in "${pids[@]:-}"; do
	[ -n "$pid" ] || continue
	echo "stopping $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-100)"
	kill -TERM "$pid" 2>/dev/null || true
done
for pid in "${pids[@]:-}"; do
	[ -n "$pid" ] || continue
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
done

# A database that could not lie below var/ (as root, in a folder that its user could not reach) lies where cluster.json says.
while IFS= read -r file; do
	data=$(sed -n 's/.*"data": *"\([^"]*\)".*/\1/p' "$file")
	case $data in
	/var/lib/huanxin/*/data | /*/huanxin-postgres-*/data) rm -rf "${data%/data}" ;;
	esac
done < <(find var -name cluster.json -type f 2>/dev/null)
rm -rf var bin
