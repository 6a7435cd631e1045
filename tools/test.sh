#!/usr/bin/env bash
# Every test: `tools/test.sh [pytest's arguments]`. Tests of one file share its fixtures, so
# they stay on one worker. Those on the real cluster come last and alone: they measure.
# A first run has programs to build (Kubernetes and what real nodes need): the builder works
# beside the tests that do without them; what needs them asks again and waits for its lock.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs() { tools/kube/provision.py "$@" || [ -z "${CI:-}" ] || exit 1; }
nodes() { [ "$(id -u)" != 0 ] || programs cluster >/dev/null; }
suite() {
  .venv/bin/python -m pytest "$@"
  local code=$?
  case $code in
    0) chosen=yes ;;
    2) exit 2 ;; # interrupted, or a file that cannot be read
    5) ;; # the arguments chose no test of this suite
    *) chosen=yes failed=$code ;;
  esac
}

set -m # the builder gets a process group, to end all of it with this script
(programs >/dev/null && nodes) &
builder=$!
set +m
renice -n 10 -g $builder >/dev/null
trap 'kill -- -$builder 2>/dev/null' EXIT

failed=0 chosen=
tools/setup.sh dev || exit
rm -f build/cluster/figures.json
suite -m "not cluster and not apiserver and not toxiproxy" -n auto --maxprocesses 4 --dist loadfile "$@"
KUBEBUILDER_ASSETS=$(programs) || exit
export KUBEBUILDER_ASSETS
[ -n "$KUBEBUILDER_ASSETS" ] || echo "test: no Kubernetes control plane: tests that need one are skipped" >&2
suite -m apiserver -n auto --maxprocesses 4 --dist loadfile "$@"
nodes || exit
wait $builder # nothing is built while they measure
trap - EXIT
suite -m "cluster or toxiproxy" "$@"
tools/cluster/figures.py
[ -n "$chosen" ] || { echo "test: the arguments chose no test" >&2; exit 5; }
exit "$failed"
