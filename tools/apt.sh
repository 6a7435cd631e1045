#!/usr/bin/env bash
# Make sure that programs are there: `tools/apt.sh need|want program=package ...`.
# Root installs missing ones from Debian; anyone else gets one clear line (need: and a failure).
set -euo pipefail
how=${1:?need or want}
shift
missing=()
for pair; do
  command -v "${pair%%=*}" >/dev/null || [ -x "/usr/sbin/${pair%%=*}" ] || missing+=("${pair#*=}")
done
if [ ${#missing[@]} = 0 ]; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  printf 'setup: installing from Debian: %s\n' "${missing[*]}" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  exit 0
fi
printf 'setup: not found, install it as root: apt-get install %s\n' "${missing[*]}" >&2
[ "$how" = want ]
