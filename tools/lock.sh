#!/usr/bin/env bash
# Resolve pyproject.toml into lock files with hashes and without any host's name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
    --no-annotate "$@"
}
printf 'uv>=0.13\nhatchling>=1.27\neditables\n' | compile - -o requirements/bootstrap.txt
compile pyproject.toml --extra all --group dev -o requirements/dev.txt
compile pyproject.toml --extra all -c requirements/dev.txt -o requirements/run.txt
for role in operator edge hub; do
  compile pyproject.toml --extra "$role" -c requirements/dev.txt -o "requirements/images/$role.txt"
done
compile pyproject.toml --extra cloud --extra trainer -c requirements/dev.txt -o requirements/images/cloud.txt
