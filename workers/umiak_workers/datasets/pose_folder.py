"""A folder of photos with joints: `images/` and `joints.csv`, as the Leeds Sports Pose data were put into tables.

Columns: file, width, height, and for each joint NAME_x, NAME_y (pixels) and NAME_vis (1 labelled, 0 not).
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.core.keypoints import JOINTS
from umiak_workers.datasets.folder import read_photo
from umiak_workers.datasets.poses import Posed
from umiak_workers.datasets.sample import checked

TABLE = "joints.csv"
COLUMNS = ("file", *(f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "vis")))
MOST_ROWS = 200_000


@dataclass(frozen=True)
class Row:
    """One line of the table, its photo found: `joints` Jx2 float32, `visible` J bool."""

    photo: Path
    joints: NDArray[np.float32]
    visible: NDArray[np.bool_]


@dataclass(frozen=True)
class PoseFolder:
    """Photos of a folder in the order of their names."""

    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Posed:
        row = self.rows[checked(index, len(self))]
        return Posed(read_photo(row.photo), row.joints, row.visible, row.photo.stem)


def open_pose_folder(root: Path) -> PoseFolder:
    """The photos of `root/images` that `root/joints.csv` speaks of; raises ConfigError or InvalidInput."""
    table = root / TABLE
    if not table.is_file():
        raise ConfigError(f"{root}: a folder with joints holds images/ and {TABLE}; {TABLE} is missing")
    try:
        with table.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            _complete(table, lines.fieldnames or ())
            rows = [_row(root, table, line) for _, line in zip(range(MOST_ROWS), lines, strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{table}: not a readable table ({error})") from error
    found = sorted((row for row in rows if row is not None), key=lambda row: row.photo.name)
    if not found:
        raise ConfigError(f"{table}: no line names a photo that is in images/")
    return PoseFolder(tuple(found))


def write_table(root: Path, photos: Iterable[tuple[str, Posed]]) -> int:
    """Write `root/joints.csv` for photos by their file names as they come; returns how many."""
    count = 0
    with (root / TABLE).open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for name, photo in photos:
            places = zip(photo.joints.tolist(), photo.visible.tolist(), strict=True)
            lines.writerow([name, *(part for (x, y), seen in places for part in (f"{x:.2f}", f"{y:.2f}", int(seen)))])
            count += 1
    return count


def _complete(table: Path, columns: object) -> None:
    missing = [name for name in COLUMNS if name not in (columns or ())]  # type: ignore[operator]
    if missing:
        raise ConfigError(f"{table}: column {missing[0]!r} is missing ({len(missing)} in all)")


def _row(root: Path, table: Path, line: dict[str, str]) -> Row | None:
    """A line whose photo is there; raises InvalidInput for numbers that are none."""
    name = line["file"]
    photo = root / "images" / name
    if Path(name).name != name or not photo.is_file():
        return None
    try:
        numbers = np.asarray(
            [[float(line[f"{joint}_{part}"]) for part in ("x", "y", "vis")] for joint in JOINTS], np.float32
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{table}: {name}: {error}") from error
    if not all(map(math.isfinite, numbers.reshape(-1).tolist())):
        raise InvalidInput(f"{table}: {name}: a number is not finite")
    return Row(photo, numbers[:, :2], numbers[:, 2] > 0.5)
