"""Photos with one class each: folders of classes, archives of such folders, and windows of the procedural yard."""

import io
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.datasets.folder import MAX_PIXELS, PHOTOS, read_photo
from umiak_workers.datasets.sample import Chosen, Image, Indexed, checked

TRAINING, VALIDATION = ("train", "training"), ("val", "validation", "test")
"""What the parts of a data set are called; the first that is there is taken."""
ARCHIVES = (".tar.gz", ".tgz", ".tar")
MOST_PHOTOS = 2_000_000
MOST_ARCHIVE_BYTES = 4 << 30
"""Photos of an archive stay in memory as they are, compressed."""
_CLASS = re.compile(r"^[a-z0-9][a-z0-9 _-]{0,63}$")


@dataclass(frozen=True)
class ClassSample:
    """One photo: `image` HxWx3 uint8 RGB, `kind` the id of its class, `name` a file stem."""

    image: Image
    kind: int
    name: str


class Classified(Indexed[ClassSample], Protocol):
    """A sample's `kind` is an index into `classes`."""

    @property
    def classes(self) -> tuple[str, ...]: ...


class Photo(Protocol):
    """A photo somewhere, not decoded yet."""

    @property
    def name(self) -> str: ...

    def read(self) -> Image:
        """HxWx3 uint8; raises InvalidInput."""
        ...


@dataclass(frozen=True)
class File:
    """A photo on disk."""

    path: Path

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}-{self.path.stem}"

    def read(self) -> Image:
        return read_photo(self.path)


@dataclass(frozen=True)
class Member:
    """A photo of an archive, held as its compressed bytes."""

    path: PurePosixPath
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}-{self.path.stem}"

    def read(self) -> Image:
        try:
            with Pillow.open(io.BytesIO(self.data)) as photo:
                if photo.width * photo.height > MAX_PIXELS:
                    raise InvalidInput(f"{self.path}: {photo.width}x{photo.height} is more than {MAX_PIXELS} pixels")
                return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
        except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
            raise InvalidInput(f"{self.path}: not a readable photo ({error})") from error


@dataclass(frozen=True)
class Photos:
    """Photos of known classes, by class and name."""

    classes: tuple[str, ...]
    photos: Sequence[tuple[int, Photo]]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> ClassSample:
        kind, photo = self.photos[checked(index, len(self))]
        return ClassSample(photo.read(), kind, photo.name)


@dataclass(frozen=True)
class ChosenPhotos(Chosen[ClassSample]):
    """Some photos of a data set; the ids keep their names."""

    classes: tuple[str, ...]


def read_parts(path: Path) -> dict[str, Photos]:
    """Parts (`train`, `val` ...; empty: it has none) of CLASS/PHOTO, from a folder or an archive read in place.

    Raises ConfigError that names what is not as it must be.
    """
    if path.name.endswith(ARCHIVES):
        return _parts_of(path, _members(path))
    if not path.is_dir():
        raise ConfigError(f"{path}: is neither a folder of classes nor an archive of one ({', '.join(ARCHIVES)})")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PHOTOS)
    return _parts_of(path, ((PurePosixPath(file.relative_to(path)), File(file)) for file in files))


def _parts_of(root: Path, found: Iterable[tuple[PurePosixPath, Photo]]) -> dict[str, Photos]:
    """PART/CLASS/PHOTO or CLASS/PHOTO; a folder around all of it does not matter."""
    parts: dict[str, dict[str, list[Photo]]] = {}
    for number, (path, photo) in enumerate(found):
        if number >= MOST_PHOTOS:
            raise ConfigError(f"{root}: more than {MOST_PHOTOS} photos")
        *above, kind, _ = ("", *path.parts)
        if not _CLASS.match(kind):
            told = f"lies in {kind!r}" if kind else "lies in no folder"
            raise ConfigError(f"{root}: {path} {told}; photos lie in folders named like their classes, in lower case")
        part = above[-1] if above and above[-1] in TRAINING + VALIDATION else ""
        parts.setdefault(part, {}).setdefault(kind, []).append(photo)
    if not parts:
        raise ConfigError(f"{root}: no photos ({', '.join(PHOTOS)})")
    classes = tuple(sorted({kind for kinds in parts.values() for kind in kinds}))
    if not 2 <= len(classes) <= 255:
        raise ConfigError(f"{root}: {len(classes)} classes ({', '.join(classes[:5])}); 2 to 255 are needed")
    return {part: _photos(classes, kinds) for part, kinds in parts.items()}


def _photos(classes: tuple[str, ...], kinds: Mapping[str, list[Photo]]) -> Photos:
    return Photos(classes, [(number, photo) for number, kind in enumerate(classes) for photo in kinds.get(kind, [])])


def _members(path: Path) -> list[tuple[PurePosixPath, Photo]]:
    """Every photo of an archive in the order of its path; nothing is unpacked."""
    found: list[tuple[PurePosixPath, Photo]] = []
    held = 0
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                inside = PurePosixPath(member.name)
                if not member.isfile() or inside.suffix.lower() not in PHOTOS or len(found) > MOST_PHOTOS:
                    continue
                held += member.size
                if held > MOST_ARCHIVE_BYTES:
                    raise ConfigError(f"{path}: photos of more than {MOST_ARCHIVE_BYTES} bytes; unpack it")
                handle = archive.extractfile(member)
                found.append((inside, Member(inside, handle.read() if handle else b"")))
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ConfigError(f"{path}: not a readable archive ({error})") from error
    return sorted(found, key=lambda pair: pair[0])
