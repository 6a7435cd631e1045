"""Masks over photos, in the colours of the model's card."""

import colorsys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umiak_workers.contract.artefact import Card
from umiak_workers.contract.errors import ConfigError

Colours = NDArray[np.uint8]
_STRENGTH = 0.55
_GOLDEN = 0.618033988749895


def colours(card: Card | None) -> Colours:
    """256x3 uint8 RGB by class id: the card's own, else hues a golden ratio apart; what is no class is grey."""
    table = np.full((256, 3), 128, dtype=np.uint8)
    count = len(card.classes) if card else 255
    for index in range(count):
        level = colorsys.hsv_to_rgb((index * _GOLDEN) % 1.0, 0.65, 0.9)
        table[index] = card.palette[index] if card and card.palette else [round(part * 255) for part in level]
    return table


def overlay(photo: NDArray[np.uint8], mask: NDArray[np.uint8], table: Colours) -> NDArray[np.uint8]:
    """HxWx3 uint8: the photo (HxWx3) with every pixel tinted by its class (mask HxW); raises ConfigError otherwise."""
    if photo.shape[:2] != mask.shape:
        raise ConfigError(f"the mask is {mask.shape}, the photo {photo.shape[:2]}")
    mixed = photo * (1 - _STRENGTH) + table[mask] * _STRENGTH
    return np.rint(mixed).astype(np.uint8)


def save(picture: NDArray[np.uint8], file: Path) -> None:
    """Write an HxWx3 picture as the format that the file's ending names; raises ConfigError."""
    try:
        Image.fromarray(picture).save(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be written ({error})") from error


def shares(mask: NDArray[np.uint8], card: Card | None) -> dict[str, float]:
    """Class -> share of the picture's pixels, largest first."""
    ids, counts = np.unique(mask, return_counts=True)
    found = {_name(int(index), card): float(count) / mask.size for index, count in zip(ids, counts, strict=True)}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _name(index: int, card: Card | None) -> str:
    if card is None:
        return f"class {index}"
    return card.classes[index] if index < len(card.classes) else "void"
