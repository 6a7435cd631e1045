#!/usr/bin/env bash
# Make .venv hold exactly the locked dependencies: `tools/setup.sh run` (demo, `umiak up`) or `tools/setup.sh dev` (+ tests).
# Run again it takes a moment: a stamp holds the digest of what was installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

flavour=${1:?run or dev}
venv=.venv
say() { printf 'setup: %s\n' "$*" >&2; }
wanted() { cat "requirements/$1.txt" requirements/bootstrap.txt pyproject.toml | sha256sum | cut -d' ' -f1; }
installed() { [ -f "$venv/.umiak-$1" ] && [ "$(cat "$venv/.umiak-$1")" = "$(wanted "$1")" ]; }

# The dev environment holds everything that the run environment does.
if installed dev || installed "$flavour"; then exit 0; fi

find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

if ! python=$(find_python); then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "needs Python >= 3.11 with venv: as root 'apt-get install python3-venv', or set PYTHON=/path/to/python3.11"
    exit 1
  fi
  say "installing Debian's python3-venv"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
  python=$(find_python) || { say "Debian's python3 is older than 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
fi

"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
say "downloading about 3 GB of Python packages into $venv unless they are cached (PyTorch is nearly all of it; 6.5 GB on disk)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
"$venv/bin/uv" pip install --python "$venv/bin/python" --require-hashes -r "requirements/$flavour.txt"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
rm -f "$venv"/.umiak-*
wanted "$flavour" >"$venv/.umiak-$flavour"
say "done"
