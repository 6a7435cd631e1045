"""A promptable segmenter of a few thousand parameters, untrained, as a real artefact."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Architecture, Card, InputSpec, OutputSpec
from umiak_workers.models.build import state_tensors
from umiak_workers.models.sam import SMALL, assemble
from umiak_workers.predictors.sam import SamSegmenter, record_golden

TINY = dataclasses.replace(
    SMALL, image=32, patch=8, width=16, depth=2, heads=2, window=2, global_layers=(1,), embedding=16, decoder_heads=2,
    decoder_mlp=16, quality_hidden=8,
)  # fmt: skip


def tiny_card(**changes: object) -> Card:
    """What the tiny segmenter is."""
    facts: dict[str, object] = {
        "name": "tiny-sam",
        "task": "promptable-segmentation",
        "input": InputSpec(name="image", layout="NCHW", dtype="float32", height=32, width=32),
        "outputs": OutputSpec(logits="masks"),
        "architecture": Architecture(name="sam", config=TINY.to_json()),
        "licence": "Apache-2.0",
    }
    return Card(**{**facts, **changes})  # type: ignore[arg-type]


def make_tiny_sam(folder: Path, seed: int = 0) -> str:
    """Write it into `folder`; returns its digest."""
    torch.manual_seed(seed)
    sam = assemble(TINY)
    image = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    golden = record_golden(SamSegmenter(sam, ""), image, tolerance=0.01)
    return write_artefact(folder, tiny_card(), b"", state_tensors(sam), golden)
