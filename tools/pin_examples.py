#!/usr/bin/env python3
"""Write the digests of models into YAML: `tools/pin_examples.py [FILE...]`, by default in the examples and the demo.

A digest belongs to a model where `builtin:<name>` or `file:./<name>` stands on its own line (as `uri:` or in a
comment), or in the `uri:` line right above it. `--check` writes nothing and exits 1 where a digest is stale.
"""

import argparse
import re
import sys
from pathlib import Path

from umiak_workers.contract.artefact import MANIFEST, model_digest, parse_manifest

ROOT = Path(__file__).parents[1]
BUILTIN = ROOT / "workers" / "umiak_workers" / "builtin"
DEMO = ROOT / "workers" / "umiak_workers" / "bench" / "demo"
PINNED = sorted([*(ROOT / "docs" / "examples").rglob("*.yaml"), *DEMO.glob("*.yaml")])
NAME = re.compile(r"(builtin:|file:\./)([a-z0-9][a-z0-9.-]*)")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(uri: str, beside: Path) -> str | None:
    """Digest of a built-in model or of one beside the YAML, or None where there is none of that name."""
    scheme, _, name = uri.partition(":")
    manifest = (BUILTIN if scheme == "builtin" else beside) / name / MANIFEST
    return model_digest(parse_manifest(manifest.read_bytes())) if manifest.is_file() else None


def pinned(text: str, beside: Path) -> tuple[str, set[str]]:
    """`text` with every such digest as it is today, and the URIs of models that are missing."""
    lines, missing, above = [], set(), None
    for line in text.splitlines(keepends=True):
        found = NAME.search(line)
        name = found.group() if found else above if "digest:" in line else None
        above = found.group() if found else None
        if name and DIGEST.search(line):
            digest = digest_of(name, beside)
            missing |= set() if digest else {name}
            line = DIGEST.sub(digest, line) if digest else line
        lines.append(line)
    return "".join(lines), missing


def main() -> int:
    """Exit code 1 where something is stale (with `--check`) or a model is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=PINNED)
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    options = parser.parse_args()
    wrong = 0
    for file in options.files:
        before = file.read_text()
        after, missing = pinned(before, file.parent)
        for name in sorted(missing):
            print(f"{file}: there is no {name}", file=sys.stderr)
        if before != after:
            print(f"{file}: {'stale' if options.check else 'pinned'}")
            if not options.check:
                file.write_text(after)
        wrong += bool(missing) or (options.check and before != after)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
