"""`umiak model int8 MODEL`: the int8 line of a float model, a complete artefact of its own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from umiak_workers.adapters.artefacts import load_model, write_artefact
from umiak_workers.adapters.modelstore import named_model
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.model import Model
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.quantized import Parts, quantize, spread
from umiak_workers.predictors.segmentation import Image

FRAMES = 32


def int8(
    model: Annotated[str, typer.Argument(help="A model folder, builtin:NAME or file: URI.")],
    calibrate: Annotated[str, typer.Option(help="Photos like those it will see, labelled or not: a folder or yard:.")],
    out: Annotated[Path, typer.Option(help="The artefact folder to write.")],
    frames: Annotated[int, typer.Option(min=1, max=1024, help="How many of the photos to look at, evenly spread.")] = (
        FRAMES
    ),
    narrow: Annotated[bool, typer.Option("--narrow", help="7-bit weights, for x86 CPUs without VNNI.")] = False,
) -> None:
    """Make an int8 model: a line of its own that answers in a fraction of the time and cannot be trained further.

    Examples:

        umiak model int8 builtin:yard-edge --calibrate 'yard:day?seed=5&frames=64&shot=1' --out yard-edge-int8

        umiak model int8 street-edge/ --calibrate camvid/train --out street-edge-int8 --frames 64
    """
    if out.exists():
        raise ConfigError(f"--out: {out} exists already; choose another folder")
    base, console = named_model(model), Console(soft_wrap=True)
    photos = photos_for("--calibrate", calibrate, frames)
    parts = made(base, photos, narrow, portable(calibrate), console)
    digest = write_artefact(out, parts.card, parts.graph, parts.weights, parts.golden)
    OnnxSegmenter(load_model(out, digest), threads=1).check_golden()
    before, after = _megabytes(base), _megabytes(load_model(out, digest))
    console.print(f"{out}: {digest}")
    console.print(f"{parts.card.name}: weights {after:.2f} MB, {before:.2f} MB before; golden input answered")


def made(base: Model, photos: list[Image], narrow: bool, data: str, console: Console) -> Parts:
    """The int8 model's parts, with a bar over the photos; its card says what it was made of and how."""
    weights = "7-bit" if narrow else "8-bit"
    by = (
        f"umiak model int8 of {base.card.name} {base.digest}: QDQ, {weights} weights per channel, uint8 activations, "
        f"ranges of {len(photos)} photos of {data}"
    )
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"{base.card.name}: looking at photos", total=len(photos))
        return quantize(base, photos, narrow, by, lambda: bar.advance(task))


def photos_for(option: str, uri: str, frames: int) -> list[Image]:
    """Photos of a data set; raises ConfigError that names the option."""
    try:
        return spread(open_dataset(uri), frames)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from error


def _megabytes(model: Model) -> float:
    return sum(tensor.nbytes for tensor in model.weights.values()) / 1e6
