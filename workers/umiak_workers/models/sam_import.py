"""An official `segment-anything` checkpoint as a segmenter: read as data, and taken only if every tensor is in place.

The published files are what `torch.save` makes of a state_dict: a pickle. Here it is opened by torch's reader of plain
weights alone, which builds tensors and nothing else, and mapped into memory instead of copied. It is read once, to be
written as safetensors; no worker ever opens such a file.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umiak_workers.contract.errors import ArtefactError
from umiak_workers.models.sam import PUBLISHED, build_sam
from umiak_workers.models.sam_parts import Sam

Shape = tuple[int, ...]
_WIDTH = "image_encoder.pos_embed"
"""A tensor whose last side tells the published sizes apart."""
_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}


def import_checkpoint(path: Path, variant: str) -> Sam:
    """The published segmenter `variant` with the weights of an official file, in evaluation mode.

    Its tensors lie in the file, which must stay as it is while they are used. Raises ArtefactError that names the first
    thing wrong: the file, or the first tensor that is missing, has another shape or type, is not finite, or is extra.
    """
    if variant not in PUBLISHED:
        raise ArtefactError(f"{variant!r} is no published size; there are {', '.join(PUBLISHED)}")
    state = read_state(path)
    sam = build_sam({"variant": variant})
    try:
        check_layout(state, layout(sam))
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {error}{_hint(state, variant)}") from error
    sam.load_state_dict(state, strict=True, assign=True)
    return sam.requires_grad_(False).eval()


def layout(sam: Sam) -> dict[str, Shape]:
    """Name and shape of every tensor that a checkpoint of this size holds, in its order."""
    return {name: tuple(tensor.shape) for name, tensor in sam.state_dict().items()}


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, mapped from disk; raises ArtefactError unless it is a plain state_dict.

    Every object in the file but tensors, strings and the dictionary around them is refused, code most of all.
    """
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise ArtefactError(f"{path}: not a file of torch.save (its zip form, which can be mapped into memory)")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch's reader raises many kinds for broken files
        raise ArtefactError(f"{path}: cannot be read as plain weights ({_reason(error)})") from error
    if not isinstance(loaded, dict):
        raise ArtefactError(f"{path}: holds a {type(loaded).__name__}, not a plain state_dict")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ArtefactError(f"{path}: not a plain state_dict: {name!r} is a {type(value).__name__}, not a tensor")
    return dict(loaded)


def check_layout(state: Mapping[str, Tensor], wanted: Mapping[str, Shape]) -> None:
    """Raise ArtefactError that names the first tensor that is missing, wrong or extra, and its shape."""
    for name, shape in wanted.items():
        if name not in state:
            raise ArtefactError(f"{name} {_said(shape)} is missing")
        _check_tensor(name, state[name], shape)
    for name, tensor in state.items():
        if name not in wanted:
            raise ArtefactError(f"{name} {_said(tuple(tensor.shape))} does not belong there")


def arrays(sam: Sam) -> dict[str, NDArray[np.float32]]:
    """Its weights by name, as they lie in memory or on disk: nothing is copied."""
    return {name: tensor.detach().numpy() for name, tensor in sam.state_dict().items()}


def _check_tensor(name: str, tensor: Tensor, shape: Shape) -> None:
    if tuple(tensor.shape) != shape:
        raise ArtefactError(f"{name} is {_said(tuple(tensor.shape))}, it must be {_said(shape)}")
    if tensor.dtype != torch.float32 or tensor.layout != torch.strided or tensor.device.type != "cpu":
        kind = f"{tensor.dtype} {tensor.layout} on {tensor.device}"
        raise ArtefactError(f"{name} {_said(shape)} is {kind}, it must be plain float32")
    if not bool(torch.isfinite(tensor).all()):
        raise ArtefactError(f"{name} {_said(shape)} holds numbers that are not finite")


def _said(shape: Shape) -> str:
    return "x".join(map(str, shape)) if shape else "a single number"


def _hint(state: Mapping[str, Tensor], variant: str) -> str:
    shape = tuple(state[_WIDTH].shape) if _WIDTH in state else ()
    other = _WIDTHS.get(shape[-1], variant) if shape else variant
    return "" if other == variant else f"; the file looks like a {other}"


def _reason(error: Exception) -> str:
    """One line; torch's own advice to load the file with its guard off is left out."""
    wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
    lines = str(error).strip().splitlines()
    return f"it asks for {wanted[1]}" if wanted else f"{type(error).__name__}: {lines[0] if lines else 'no reason'}"
