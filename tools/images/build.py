#!/usr/bin/env python3
"""Build the container images and print the archives, one path on a line.

    tools/images/build.py [--arch arm64] [--engine buildah] [--base NAME] [--torch cuda] [role ...]

Archives lie in build/images, as `docker load` and `ctr images import` take them, each beside its bill of materials.
A role whose inputs did not change is not built again. Standard library only; docs/howto/images.md says more.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cpu_torch
import debian
import engines
import packages
from roles import ARCHES, BASES, IMAGES, MEGABYTE, Image
from shell import Missing, say

ROOT = packages.ROOT
OUT = ROOT / "build" / "images"
HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, build, print; 1 and one clear line where that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        build = Build.of(options)
        roles = options.roles or [name for name, image in IMAGES.items() if options.arch in image.arches]
        table = [build.role(name) for name in roles]
    except Missing as error:
        say(str(error))
        return 1
    for name, path, size in table:
        say(f"{name:<10}{size / MEGABYTE:8.1f} MB of at most {IMAGES[name].most // MEGABYTE} MB  {path.name}")
    for _, path, _ in table:
        print(path)
    over = [name for name, _, size in table if size > IMAGES[name].most]
    if over:
        say(f"larger than allowed: {', '.join(over)}")
    return 1 if over else 0


def _parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("roles", nargs="*", choices=[*IMAGES, []], metavar="role", help=", ".join(IMAGES))
    found.add_argument("--arch", choices=ARCHES, default="amd64")
    found.add_argument("--engine", choices=engines.NAMES, help="default: the first that answers")
    found.add_argument("--base", help="image to stand on instead of one made of Debian packages")
    found.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="cpu leaves out what only a GPU needs")
    found.add_argument("--fresh", action="store_true", help="fetch the Debian packages again")
    return found


@dataclass(frozen=True)
class Build:
    """One run: what was asked, and where things lie."""

    arch: str
    base: str | None
    torch: str
    fresh: bool
    engine: engines.Engine
    version: str
    revision: str

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Build":
        """Look around. Raises Missing."""
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        inputs = [*packages.SOURCES, "requirements/images", "images", "tools/images"]
        done = subprocess.run(
            ["git", "log", "-1", "--format=%H", "--", *inputs], cwd=ROOT, capture_output=True, text=True
        )
        engine = engines.engine(options.engine, OUT / "store")
        revision = done.stdout.strip() or "unknown"
        return cls(options.arch, options.base, options.torch, options.fresh, engine, version, revision)

    def role(self, name: str) -> tuple[str, Path, int]:
        """Build one role if need be: its name, archive and size."""
        image = IMAGES[name]
        if self.arch not in image.arches:
            raise Missing(f"{name} is not made for {self.arch}")
        started = time.monotonic()
        flavour = f"-{self.torch}" if image.lock == "cloud" and self.torch != "cpu" else ""
        target = OUT / f"{name}{flavour}-{self.arch}.tar"
        base, base_key = self._base(image.base)
        key = _key(self._inputs(name, image), base_key, self.torch, self.arch, self.revision)
        note = target.with_suffix(".json")
        if target.exists() and note.exists() and (known := json.loads(note.read_text()))["key"] == key:
            return name, target, known["size"]
        context = OUT / "context" / f"{name}-{self.arch}"
        self._fill(name, image, context)
        size = self._image(name, base, context, target, [f"{repository}:{self.version}" for repository in image.names])
        note.write_text(json.dumps({"key": key, "size": size}))
        say(f"{name} for {self.arch} built in {time.monotonic() - started:.0f} s")
        return name, target, size

    def _inputs(self, name: str, image: Image) -> str:
        files = [HERE, ROOT / "images" / name / "Dockerfile"]
        if image.lock:
            files += [ROOT / part for part in packages.SOURCES] + [ROOT / f"requirements/images/{image.lock}.txt"]
        return packages.digest_of(files)

    def _base(self, kind: str) -> tuple[str, str]:
        """The base's name and key, made if need be."""
        if self.base:
            return self.base, self.base
        key = _key(self.arch, json.dumps(BASES[kind]), packages.digest_of([HERE / "debian.py"]))
        name = f"umiak/base-{kind}:{self.version}-{self.arch}"
        note = OUT / "base" / f"{kind}-{self.arch}.json"
        if note.exists() and not self.fresh and json.loads(note.read_text())["key"] == key + self.engine.name:
            return name, key
        context = OUT / "context" / f"base-{kind}-{self.arch}"
        found = self._debian(BASES[kind], context, ())
        self.engine.build(context, ROOT / "images/base/Dockerfile", self.arch, name, {})
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(
            json.dumps({"key": key + self.engine.name, "packages": [vars_of(package) for package in found]})
        )
        return name, key

    def _debian(self, roots: Sequence[str], context: Path, without: Sequence[str]) -> list[debian.Package]:
        """A context with debian.tar in it."""
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        found = debian.fetch(self.arch, roots, OUT / "debian" / self.arch)
        found = [package for package in found if package.name not in without]
        tree = context.with_name(f"{context.name}-root")
        shutil.rmtree(tree, ignore_errors=True)
        debian.root(found, tree, whole=not without)
        library = tree / "usr/lib/python3.11"
        if library.is_dir():
            packages.compile_all(library, "/usr/lib/python3.11")
        debian.pack(tree, context / "debian.tar")
        shutil.rmtree(tree)
        return found

    def _fill(self, name: str, image: Image, context: Path) -> None:
        """A context as the role's Dockerfile wants it."""
        if image.lock is None:
            known = (
                []
                if self.base
                else json.loads((OUT / "base" / f"{image.base}-{self.arch}.json").read_text())["packages"]
            )
            roots = (*BASES[image.base], *image.debian)
            self._debian(roots, context, [package["name"] for package in known])
            return
        shutil.rmtree(context, ignore_errors=True)
        tree, own = context / "packages", context / "product"
        tree.mkdir(parents=True)
        packages.third_party(ROOT / f"requirements/images/{image.lock}.txt", self.arch, tree)
        if image.lock == "cloud" and self.arch == "amd64" and self.torch == "cpu":
            cpu_torch.strip(tree)
        packages.prune(tree, image.without)
        packages.compile_all(tree, "/opt/umiak/packages")
        packages.product(OUT / "wheel", own)
        packages.prune(own, image.without)
        packages.compile_all(own, "/opt/umiak/product")

    def _image(self, name: str, base: str, context: Path, target: Path, names: Sequence[str]) -> int:
        local = f"umiak/building-{name}:{self.arch}"
        arguments = {"BASE": base, "VERSION": self.version, "REVISION": self.revision}
        self.engine.build(context, ROOT / f"images/{name}/Dockerfile", self.arch, local, arguments)
        saved = target.with_suffix(".saved")
        self.engine.save(local, saved)
        self.engine.remove(local)
        return engines.finish(saved, target, names)


def vars_of(package: debian.Package) -> dict[str, str]:
    """What is remembered of a Debian package."""
    return {"name": package.name, "version": package.version, "source": package.source}


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
