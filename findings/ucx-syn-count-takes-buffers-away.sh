#!/usr/bin/env bash
# UCX 1.13.1 (Debian 12: libucx0 and ucx-utils 1.13.1-1).
#
# Behaviour: setting the documented option UCX_TCP_SYN_CNT, "how many SYNs before a connection is given up", to any valid
# number makes it impossible to create a UCX worker. The option's parser stores an unsigned long where the TCP
# transport's configuration has a 32-bit integer, so the option that follows, TX_MAX_BUFS, becomes 0, and a memory pool
# without buffers is refused. A good guess is that one wrong option could at most fail by its own name; here the error
# names neither it nor TCP. Programs that set options one by one (ucp_config_modify) can set TX_MAX_BUFS again after it.
#
# Output seen:
#   without the option: endpoint over self/memory
#   UCX_TCP_SYN_CNT=1: UCX  ERROR Invalid memory pool parameter(s) <Failed to create UCP worker>
#   UCX_TCP_SYN_CNT=6: UCX  ERROR Invalid memory pool parameter(s) <Failed to create UCP worker>
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download libucx0=1.13.1-1 ucx-utils=1.13.1-1 libibverbs1 librdmacm1 libnl-3-200 libnl-route-3-200 libnuma1 \
  >/dev/null 2>&1 || { echo "the packages are not to be had" >&2; exit 1; }
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(find "$folder/root" -name 'lib*.so.*' -printf '%h\n' | sort -u | tr '\n' ':')

# Makes a worker and connects it to itself.
run() { env LD_LIBRARY_PATH="$libraries" "$@" timeout 30 root/usr/bin/ucx_info -u a -e 2>&1 || true; }

plain=$(run UCX_LOG_LEVEL=error)
grep -q 'self/memory' <<<"$plain" || { echo "UCX does not work here at all: $plain" >&2; exit 1; }
echo "without the option: endpoint over self/memory"
for count in 1 6; do
  said=$(run UCX_TCP_SYN_CNT=$count | sed 's/^.*\(UCX  ERROR\)/\1/' | tr '\n' ' ')
  echo "UCX_TCP_SYN_CNT=$count: $said"
  grep -q 'Invalid memory pool parameter' <<<"$said" || { echo "the behaviour has changed" >&2; exit 1; }
  grep -q 'Failed to create UCP worker' <<<"$said" || { echo "the behaviour has changed" >&2; exit 1; }
done
