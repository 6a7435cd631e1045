#!/usr/bin/env python3
"""Push built images to a registry: `tools/images/push.py registry.example/team [edge hub ...]`, all by default.

A name that was built for several architectures becomes one list, so that each node pulls its own. Log in first, as the
engine does it (`docker login`, `podman login`, `buildah login`).
"""

import argparse
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import engines
from build import OUT
from shell import Missing, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Push all; 1 and one clear line where that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("registry", help="and a path in it, for example registry.example/team")
    parser.add_argument("images", nargs="*", help="roles, for example: edge hub; default: all that are built")
    parser.add_argument("--engine", choices=engines.NAMES, help="default: the first that answers")
    parser.add_argument("--plain-http", action="store_true", help="the registry speaks HTTP without TLS")
    options = parser.parse_args(arguments)
    try:
        archives = by_name(chosen(options.images))
        engine = engines.engine(options.engine, OUT / "store")
        for name, found in archives.items():
            engine.push(found, name, f"{options.registry.rstrip('/')}/{name}", options.plain_http)
            print(f"{options.registry.rstrip('/')}/{name}")
            say(f"pushed {name} for {', '.join(sorted(found))}")
    except Missing as error:
        say(str(error))
        return 1
    return 0


def chosen(images: Sequence[str]) -> list[Path]:
    """The archives of these roles, of all without any; raises Missing for a role that was not built."""
    built = sorted(OUT.glob("*-*.tar"))
    if not built:
        raise Missing("there are no images in build/images: make images")
    roles = {path: path.stem.rsplit("-", 1)[0] for path in built}
    if lacks := sorted(set(images) - set(roles.values())):
        raise Missing(f"not built: {', '.join(lacks)}; there are {', '.join(sorted(set(roles.values())))}")
    return [path for path in built if not images or roles[path] in images]


def by_name(archives: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Archives by image name and architecture."""
    found: dict[str, dict[str, Path]] = {}
    for path in archives:
        with tarfile.open(path) as archive:
            content = archive.extractfile("manifest.json")
            assert content is not None
            (manifest,) = json.load(content)
        for name in manifest["RepoTags"]:
            found.setdefault(name, {})[path.stem.rsplit("-", 1)[1]] = path
    return found


if __name__ == "__main__":
    sys.exit(main())
