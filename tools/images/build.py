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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import bill
import cpu_torch
import debian
import engines
import packages
from bill import Component
from roles import ARCHES, BASES, IMAGES, MEGABYTE, Image
from shell import Missing, alone, say

ROOT = packages.ROOT
OUT = ROOT / "build" / "images"
HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, build, print; 1 and one clear line where that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        roles = options.roles or [name for name, image in IMAGES.items() if options.arch in image.arches]
        with alone(OUT / ".lock"):
            build = Build.of(options)
            if options.context:
                print(*(build.context(name) for name in roles), sep="\n")
                return 0
            table = [build.role(name) for name in roles]
            build.engine.tidy()
    except Missing as error:
        say(str(error))
        return 1
    for name, path, size in table:
        say(f"{name:<10}{size / MEGABYTE:8.1f} MB of at most {IMAGES[name].most // MEGABYTE} MB  {path.name}")
    for _, path, _ in table:
        print(path)
    over = [name for name, path, size in table if size > IMAGES[name].most and "-cuda-" not in path.name]
    if over:
        say(f"larger than allowed: {', '.join(over)}")
    return 1 if over else 0


def _parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("roles", nargs="*", choices=[*IMAGES, []], metavar="role", help=", ".join(IMAGES))
    found.add_argument("--arch", choices=ARCHES, default="amd64")
    found.add_argument("--engine", choices=engines.NAMES, help="default: the first that answers")
    found.add_argument("--context", action="store_true", help="only fill the folders for a `docker build` by hand")
    found.add_argument("--base", help="image to stand on instead of one made of Debian packages")
    found.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="cpu leaves out what only a GPU needs")
    found.add_argument("--source", default="unknown", help="address of the sources, for the image's label")
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
    source: str
    made: set[str] = field(default_factory=set)
    """Bases that this run has made."""

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Build":
        """Look around. Raises Missing."""
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        inputs = [*packages.SOURCES, "requirements/images", "images", "tools/images"]
        done = subprocess.run(
            ["git", "log", "-1", "--format=%H", "--", *inputs], cwd=ROOT, capture_output=True, text=True
        )
        engine = engines.Engine("docker", OUT) if options.context else engines.engine(options.engine, OUT / "store")
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *inputs], cwd=ROOT, capture_output=True)
        revision = (done.stdout.strip() or "unknown") + ("-dirty" if dirty.returncode == 1 else "")
        base = options.base or ("the Dockerfile's own" if options.context else None)
        return cls(options.arch, base, options.torch, options.fresh, engine, version, revision, options.source)

    def context(self, name: str) -> Path:
        """Fill the folder that a role's Dockerfile is built from."""
        found = OUT / "context" / f"{name}{self._flavour(IMAGES[name])}-{self.arch}"
        self._fill(name, IMAGES[name], found)
        return found

    def role(self, name: str) -> tuple[str, Path, int]:
        """Build one role if need be: its name, archive and size."""
        image = IMAGES[name]
        if self.arch not in image.arches:
            raise Missing(f"{name} is not made for {self.arch}")
        started = time.monotonic()
        flavour = self._flavour(image)
        target = OUT / f"{name}{flavour}-{self.arch}.tar"
        base, base_key = self._base(image.base)
        key = _key(self._inputs(name, image), base_key, flavour, self.arch, self.revision, self.source)
        note = target.with_suffix(".json")
        if (
            not self.fresh
            and target.exists()
            and note.exists()
            and (known := json.loads(note.read_text()))["key"] == key
        ):
            return name, target, known["size"]
        context = OUT / "context" / f"{name}{flavour}-{self.arch}"
        content = self._fill(name, image, context)
        names = [f"{repository}:{self.version}{flavour}" for repository in image.names]
        size = self._image(name, base, context, target, names)
        bill.write(target.with_suffix(".sbom.json"), names[0], image.title, self.arch, content)
        note.write_text(json.dumps({"key": key, "size": size}))
        say(f"{name} for {self.arch} built in {time.monotonic() - started:.0f} s")
        return name, target, size

    def _flavour(self, image: Image) -> str:
        """What tells a variant's names apart; size limits are for the usual one."""
        return "-cuda" if image.lock == "cloud" and self.torch == "cuda" else ""

    def _inputs(self, name: str, image: Image) -> str:
        files = [HERE, ROOT / "images" / name / "Dockerfile"]
        if image.lock:
            files += [ROOT / part for part in packages.SOURCES] + [ROOT / f"requirements/images/{image.lock}.txt"]
        return packages.digest_of(files)

    def _base(self, kind: str) -> tuple[str, str]:
        """The base's name and key, made if need be."""
        if self.base:
            return self.base, self.base
        key = _key(self.arch, json.dumps(BASES[kind]), packages.digest_of([HERE / "debian.py", HERE / "engines.py"]))
        name = f"umiak/base-{kind}:{self.version}-{self.arch}"
        note = OUT / "base" / f"{kind}-{self.arch}.json"
        known = note.read_text() if note.exists() else '{"key": ""}'
        fine = not self.fresh or name in self.made
        if fine and json.loads(known)["key"] == key + self.engine.name and self.engine.has(name):
            return name, _key(known)
        context = OUT / "context" / f"base-{kind}-{self.arch}"
        found = self._debian(BASES[kind], context, ())
        self.engine.build(context, ROOT / "images/base/Dockerfile", self.arch, name, {})
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"key": key + self.engine.name, "packages": [asdict(part) for part in found]}))
        self.made.add(name)
        return name, _key(note.read_text())

    def _debian(self, roots: Sequence[str], context: Path, without: Sequence[str]) -> list[Component]:
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
        return [Component("deb", package.name, package.version, source=package.source) for package in found]

    def _fill(self, name: str, image: Image, context: Path) -> list[Component]:
        """A context as the role's Dockerfile wants it; says what is in it."""
        base = [] if self.base else self._known_base(image)
        if image.lock is None:
            added = self._debian((*BASES[image.base], *image.debian), context, [part.name for part in base])
            return [*base, *added]
        tree, own = context / "packages", context / "product"
        self._packages(image, tree)
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(self._product(), own)
        packages.prune(own, image.without)
        return [*base, *packages.listed(tree), *packages.listed(own)]

    def _product(self) -> Path:
        """The product's own wheel, unpacked and compiled; kept while its sources do not change."""
        tree = OUT / "context" / "product"
        key = packages.digest_of([HERE / "packages.py", *(ROOT / part for part in packages.SOURCES)])
        note = tree.with_name("product.key")
        if not (note.exists() and note.read_text() == key):
            shutil.rmtree(tree, ignore_errors=True)
            packages.product(OUT / "wheel", tree)
            packages.compile_all(tree, "/opt/umiak/product")
            note.write_text(key)
        return tree

    def _packages(self, image: Image, tree: Path) -> None:
        """The tree of locked wheels, kept while nothing of it changes."""
        lock = ROOT / f"requirements/images/{image.lock}.txt"
        sources = [HERE / f"{name}.py" for name in ("packages", "cpu_torch", "hollow")]
        key = _key(packages.digest_of([lock, *sources]), self.torch, repr(image.without))
        note = tree.with_name("packages.key")
        if note.exists() and note.read_text() == key:
            return
        shutil.rmtree(tree.parent, ignore_errors=True)
        tree.mkdir(parents=True)
        packages.third_party(lock, self.arch, tree)
        if image.lock == "cloud" and self.arch == "amd64" and self.torch == "cpu":
            cpu_torch.strip(tree)
        packages.prune(tree, image.without)
        packages.compile_all(tree, "/opt/umiak/packages")
        note.write_text(key)

    def _known_base(self, image: Image) -> list[Component]:
        """What the base was made of."""
        note = json.loads((OUT / "base" / f"{image.base}-{self.arch}.json").read_text())
        return [Component(**part) for part in note["packages"]]

    def _image(self, name: str, base: str, context: Path, target: Path, names: Sequence[str]) -> int:
        local = f"umiak/building-{name}:{self.arch}"
        arguments = {"BASE": base, "VERSION": self.version, "REVISION": self.revision, "SOURCE": self.source}
        self.engine.build(context, ROOT / f"images/{name}/Dockerfile", self.arch, local, arguments)
        saved = target.with_suffix(".saved")
        self.engine.save(local, saved)
        return engines.finish(saved, target, names)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
