"""Folders of photos with boxes: Pascal VOC files in `labels/`, or YOLO files in `labels_yolo/` (or `labels/`).

Photos without a label file are left out: nobody said that they show nothing. A file without boxes says it.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.datasets.boxes import Boxed
from umiak_workers.datasets.folder import open_folder, read_photo
from umiak_workers.datasets.sample import checked

MOST_BYTES = 1 << 20
MOST_BOXES = 1000
Row = tuple[str, float, float, float, float]
"""Class name or number, then left, top, width, height (VOC: pixels) or middle and size (YOLO: shares of the photo)."""


@dataclass(frozen=True)
class BoxFolder:
    """Photos of `root/images` and the label files of each; `relative` boxes are shares of the photo, as YOLO has it."""

    photos: tuple[Path, ...]
    labels: tuple[tuple[Path, ...], ...]
    classes: tuple[str, ...]
    relative: bool

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Boxed:
        path = self.photos[checked(index, len(self))]
        image = read_photo(path)
        height, width = image.shape[:2]
        boxes, ids = [], []
        for file in self.labels[index]:
            for name, *numbers in read_yolo(file) if self.relative else read_voc(file):
                box = _pixels(numbers, width, height) if self.relative else numbers
                ids.append(self._id(file, name))
                boxes.append(_inside(box, width, height, file))
        return Boxed(image, np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(ids, np.int64), path.stem)

    def _id(self, file: Path, name: str) -> int:
        if len(self.classes) == 1 and self.relative:
            return 0  # whatever number the files give it
        number = int(name) if self.relative else self.classes.index(name) if name in self.classes else -1
        if not 0 <= number < len(self.classes):
            raise InvalidInput(f"{file}: class {name!r} is none of {', '.join(self.classes)}")
        return number


def open_box_folder(root: Path, classes: tuple[str, ...] = ()) -> BoxFolder:
    """The labelled photos of a folder; raises ConfigError that says what is missing.

    `classes` names them in order of their ids. Left out, Pascal VOC files name their own (sorted), and YOLO's are the
    lines of `classes.txt`. A single name stands for every class that YOLO files hold.
    """
    photos = open_folder(root).photos
    for name, ending in (("labels", ".xml"), ("labels_yolo", ".txt"), ("labels", ".txt")):
        files = sorted((root / name).glob(f"*{ending}")) if (root / name).is_dir() else []
        files = [file for file in files if file.name != "classes.txt"]
        if files:
            found = _by_photo(photos, files)
            if not found:
                raise ConfigError(f"{root / name}: no file is named like a photo of images/")
            kinds = classes or (_voc_classes(files) if ending == ".xml" else _yolo_classes(root, name))
            return BoxFolder(tuple(found), tuple(tuple(part) for part in found.values()), kinds, ending == ".txt")
    raise ConfigError(f"{root}: no boxes; expected labels/STEM.xml (Pascal VOC) or labels_yolo/STEM.txt (YOLO)")


def read_voc(file: Path) -> list[Row]:
    """(class name, left, top, width, height) of every object of a Pascal VOC file; raises InvalidInput."""
    try:
        objects = ElementTree.fromstring(_text(file)).findall("object")
        return [_voc_row(item) for item in objects[:MOST_BOXES]]
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise InvalidInput(f"{file}: not a Pascal VOC label ({error})") from error


def read_yolo(file: Path) -> list[Row]:
    """(class number, middle x, middle y, width, height) of every line of a YOLO file; raises InvalidInput."""
    rows = []
    for number, line in enumerate(_text(file).splitlines()[:MOST_BOXES], start=1):
        words = line.split()
        if not words:
            continue
        try:
            name, x, y, width, height = words
            rows.append((str(int(name)), float(x), float(y), float(width), float(height)))
        except ValueError as error:
            raise InvalidInput(f"{file}: line {number} is not CLASS X Y WIDTH HEIGHT") from error
    return rows


def _by_photo(photos: tuple[Path, ...], files: list[Path]) -> dict[Path, list[Path]]:
    """Label files of each photo that has any: STEM, or STEM_anything as where each class has a file of its own."""
    stems = {photo.stem: photo for photo in photos}
    found: dict[Path, list[Path]] = {}
    for file in files:
        stem = file.stem
        while stem not in stems and "_" in stem:
            stem = stem.rpartition("_")[0]
        if stem in stems:
            found.setdefault(stems[stem], []).append(file)
    return {photo: found[photo] for photo in photos if photo in found}


def _voc_classes(files: list[Path]) -> tuple[str, ...]:
    return tuple(sorted({row[0] for file in files for row in read_voc(file)}))


def _yolo_classes(root: Path, name: str) -> tuple[str, ...]:
    for file in (root / name / "classes.txt", root / "classes.txt"):
        if file.is_file():
            return tuple(line.strip() for line in _text(file).splitlines() if line.strip())
    raise ConfigError(f"{root}: YOLO files name classes by number; say which with --classes or {name}/classes.txt")


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InvalidInput(f"{file}: more than {MOST_BYTES} bytes, this is no label file")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: not a readable label file ({error})") from error


def _voc_row(item: ElementTree.Element) -> Row:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object without a name")
    ends = {key: float(item.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")}
    return name, ends["xmin"], ends["ymin"], ends["xmax"] - ends["xmin"], ends["ymax"] - ends["ymin"]


def _pixels(shares: list[float], width: int, height: int) -> list[float]:
    x, y, wide, tall = shares
    return [(x - wide / 2) * width, (y - tall / 2) * height, wide * width, tall * height]


def _inside(box: list[float], width: int, height: int, file: Path) -> list[float]:
    """The part of a box that lies in the photo; raises InvalidInput where none does."""
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(float(width), box[0] + box[2]), min(float(height), box[1] + box[3])
    if not all(map(math.isfinite, box)) or right <= left or bottom <= top:
        raise InvalidInput(f"{file}: box {box} has no part in a photo of {width}x{height}")
    return [left, top, right - left, bottom - top]
