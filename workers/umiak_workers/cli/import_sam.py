"""`umiak model import-sam`: an official `segment-anything` checkpoint, once, into an artefact that the cloud loads.

Umiak neither ships nor downloads these files: whoever has one says what they may do with it, and that goes on the card.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.contract.artefact import Architecture, Card, DataSource, InputSpec, OutputSpec
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.wire import explain
from umiak_workers.datasets.folder import read_photo
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.predictors.sam_scoring import MaskScore, score_masks

LICENCE = "Apache-2.0 (as stated by whoever imported the file)"
TRAINED_ON = DataSource(name="SA-1B", licence="SA-1B Dataset Research License")
GOLDEN = "yard:day?seed=301&frames=1&shot=1"
"""The photo that the model is recognised by where nobody gives one."""
SIDE = 1024
"""Pixels per side of the square that every published size looks at."""
TOLERANCE = 0.05
"""Of a golden mask logit: other processors add in another order."""
CHUNK = 1 << 20
console = Console()


def import_sam(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint as it was published (.pth).")],
    variant: Annotated[str, typer.Option("--type", help="vit_b, vit_l or vit_h.")],
    out: Annotated[Path, typer.Option(help="The artefact folder to write; its name is the model's name.")],
    licence: Annotated[str, typer.Option(help="What you may do with the weights: your statement.")] = LICENCE,
    golden: Annotated[Path | None, typer.Option(help="A photo to recognise the model by; default: a yard.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Labelled photos to report mask IoU on (slow).")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Turn an official segment-anything checkpoint into a promptable model artefact.

    The file is read as weights only and refused unless it holds exactly the tensors of its size. The golden photo is
    answered once: a vit_b takes 4 GB of memory and half a minute of one core for that, larger ones more.

    Examples:

        umiak model import-sam sam_vit_b_01ec64.pth --type vit_b --out vit-b
    """
    if out.exists():
        raise ConfigError(f"{out}: exists already; a model is never overwritten, choose another folder or remove it")
    facts = card(out.name, variant, licence, checkpoint, {})
    photo = open_dataset(GOLDEN)[0].image if golden is None else read_photo(golden)
    try:
        import torch

        from umiak_workers.models.sam_import import arrays, import_checkpoint
        from umiak_workers.predictors.sam import SamSegmenter, record_golden
    except ModuleNotFoundError as error:  # an edge's installation has neither
        raise ConfigError(f"{error.name} is not installed; it comes with the extra `cloud`") from error
    torch.set_num_threads(threads)
    network = import_checkpoint(checkpoint, variant)
    segmenter = SamSegmenter(network, "")
    answer = record_golden(segmenter, photo, TOLERANCE)
    scores = {portable(uri): score_masks(segmenter, open_dataset(uri)) for uri in val or ()}
    digest = write_artefact(out, facts.with_metrics(_figures(scores), facts.made_by), b"", arrays(network), answer)
    console.print(f"{out}: {digest}")
    if scores:
        console.print(mask_table(scores))


def card(name: str, variant: str, licence: str, checkpoint: Path, metrics: dict[str, float]) -> Card:
    """What the artefact says of itself; raises ConfigError for a name that is none or a file that cannot be read."""
    square = InputSpec(
        name="image",
        layout="NCHW",
        dtype="float32",
        height=SIDE,
        width=SIDE,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    try:
        return Card(
            name=name,
            task="promptable-segmentation",
            input=square,
            outputs=OutputSpec(logits="masks"),
            architecture=Architecture(name="sam", config={"variant": variant}),
            data=(TRAINED_ON,),
            licence=licence,
            metrics=metrics,
            made_by=f"umiak model import-sam {checkpoint.name} --type {variant} (sha256 {_sha256(checkpoint)})",
        )
    except ValidationError as error:
        raise ConfigError(f"{name}: {explain(error)}") from error


def mask_table(scores: dict[str, dict[str, MaskScore]]) -> Table:
    """How well things are cut out, by data set and form of question."""
    table = Table("data", "asked by", "things", "mask IoU", "by area", "quality off by")
    for uri, forms in scores.items():
        for form, score in forms.items():
            figures = (f"{score.iou:.4f}", f"{score.iou_by_area:.4f}", f"{score.quality_error:.4f}")
            table.add_row(uri, form, str(score.things), *figures)
    return table


def _figures(scores: dict[str, dict[str, MaskScore]]) -> dict[str, float]:
    return {
        f"mask-iou[{form}][{uri}]": round(score.iou, 4)
        for uri, forms in scores.items()
        for form, score in forms.items()
    }


def _sha256(path: Path) -> str:
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                hashed.update(chunk)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    return hashed.hexdigest()
