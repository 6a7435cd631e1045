#!/usr/bin/env bash
# Every test: `tools/test.sh [pytest's arguments]`. Tests of one file share its fixtures, so
# they stay on one worker. Those on the real cluster come last and alone: they measure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rm -f build/cluster/figures.json
failed=0
suite() {
  .venv/bin/python -m pytest "$@"
  local code=$?
  # 5: the arguments chose no test of this suite
  if [ $code != 0 ] && [ $code != 5 ]; then failed=$code; fi
}
suite -m "not cluster" -n auto --maxprocesses 4 --dist loadfile "$@"
suite -m cluster "$@"
tools/cluster/figures.py
exit $failed
