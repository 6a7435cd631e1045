"""A folder of photos: `images/` and, where somebody labelled them, `labels/STEM.png`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from umiak_workers.contract.errors import ConfigError, InvalidInput
from umiak_workers.datasets.sample import Image, Label, Sample, checked

PHOTOS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_PIXELS = 40_000_000


def read_photo(path: Path) -> Image:
    """HxWx3 uint8 RGB; raises InvalidInput that names the file."""
    try:
        with Pillow.open(path) as photo:
            if photo.width * photo.height > MAX_PIXELS:
                raise InvalidInput(f"{path}: {photo.width}x{photo.height} is more than {MAX_PIXELS} pixels")
            return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))  # upright, as it is served
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise InvalidInput(f"{path}: not a readable photo ({error})") from error


def read_label(path: Path) -> Label:
    """HxW uint8 class ids of a grey or palette PNG; raises InvalidInput that names the file."""
    try:
        with Pillow.open(path) as picture:
            if picture.mode not in ("L", "P"):
                raise InvalidInput(f"{path}: a label map has one 8-bit channel of class ids, this is {picture.mode}")
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise InvalidInput(f"{path}: not a readable label map ({error})") from error


@dataclass(frozen=True)
class Folder:
    """Photos of one folder by file name; `labels` stays None for photos nobody labelled."""

    root: Path
    photos: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int, /) -> Sample:
        path = self.photos[checked(index, len(self))]
        image = read_photo(path)
        label_path = self.root / "labels" / f"{path.stem}.png"
        label = read_label(label_path) if label_path.is_file() else None
        if label is not None and label.shape != image.shape[:2]:
            raise InvalidInput(f"{label_path}: {label.shape} pixels, its photo has {image.shape[:2]}")
        return Sample(image=image, label=label, name=path.stem)


def open_folder(root: Path) -> Folder:
    """The photos under `root/images`; raises ConfigError where there are none or two share a stem."""
    images = root / "images"
    if not images.is_dir():
        raise ConfigError(f"{root}: a data folder holds images/ and optionally labels/STEM.png; images/ is missing")
    photos = tuple(sorted(path for path in images.iterdir() if path.suffix.lower() in PHOTOS))
    if not photos:
        raise ConfigError(f"{images}: no photos ({', '.join(PHOTOS)})")
    if len({path.stem for path in photos}) != len(photos):
        raise ConfigError(f"{images}: two photos share a name and differ in their suffix only")
    return Folder(root=root, photos=photos)
