"""`umiak bench edge`: what edge models cost in operations, milliseconds and memory, and what int8 saves and loses."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from umiak_workers.adapters.artefacts import load_model, write_artefact
from umiak_workers.adapters.modelstore import named_model
from umiak_workers.bench.edge import Cost, Row, cost, peak_megabytes, rows, take_turns
from umiak_workers.cli.int8 import FRAMES, made, photos_for
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.model import Model
from umiak_workers.datasets.sample import Dataset
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.quantized import Parts, spread, without_normalisation
from umiak_workers.predictors.scoring import frame_counts
from umiak_workers.predictors.segmentation import Image, fitted
from umiak_workers.predictors.torch_segmenter import TorchSegmenter

TORCH, FLOAT, FOLDED, INT8 = "torch fp32", "onnx fp32", "onnx fp32, folded", "onnx int8"
SEEN, UNSEEN = "yard:day?seed=101&frames=700&shot=1", "yard:day?seed=701&frames=100&shot=1"
"""Photos to calibrate the built-in model on and photos to score it on."""
STEP_SECONDS = 120.0
console = Console()


def edge(
    data: Annotated[
        str | None, typer.Option(help="Folder with val/ to score on and train/ to calibrate on; default: yards.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Edge model, repeatable; default: builtin:yard-edge.")] = None,
    int8: Annotated[
        list[str] | None, typer.Option(help="The int8 line of each --model in turn; left out, it is made here.")
    ] = None,
    calibrate: Annotated[str | None, typer.Option(help="Photos to calibrate on instead of DATA/train.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=1024, help="Photos to calibrate on.")] = FRAMES,
    timed: Annotated[int, typer.Option(min=1, help="Photos to time, evenly spread.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the turns and the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
) -> None:
    """Torch, ONNX Runtime and int8 on the same frames in turns: time, memory, mIoU (about a minute per model).

    Milliseconds are those of a photo that has the model's size already, label map included. `folded` is the float model
    with its normalisation folded into convolutions, the peer that int8 has to beat.

    Examples:

        umiak bench edge

        umiak bench edge --data camvid --model file:///models/street-edge --threads 1 --json edge.json

        umiak bench edge --data camvid --model street-edge/ --int8 street-edge-int8/
    """
    torch.set_num_threads(threads)
    named = model or ["builtin:yard-edge"]
    if int8 and len(int8) != len(named):
        raise ConfigError(f"--int8: {len(int8)} for {len(named)} models; give one for each --model or none")
    lessons, samples = _data(data, calibrate)
    facts = []
    for number, name in enumerate(named):
        base = named_model(name)
        ready = named_model(int8[number]) if int8 else None
        with tempfile.TemporaryDirectory() as home:
            photos = [] if ready else photos_for("--calibrate", lessons, frames)
            folders = _folders(Path(home), base, ready, photos, lessons)
            found = _measured(base, folders, samples, timed, threads, seed)
        paper = cost(base)
        console.print(table(base.card.name, paper, found, len(samples), threads))
        facts.append(
            {"model": base.card.name, "digest": base.digest, **vars(paper), "rows": [r.as_json() for r in found]}
        )
    if out is not None:
        out.write_text(json.dumps({"threads": threads, "seed": seed, "models": facts}, indent=1) + "\n")


def table(name: str, paper: Cost, found: list[Row], frames: int, threads: int) -> Table:
    """A model's cost in the title, a row for each way of running it."""
    title = (
        f"{name}: {paper.parameters:,} parameters, {paper.macs / 1e6:.1f} million MACs "
        f"({2 * paper.macs / 1e9:.3f} GFLOPs) per frame; {threads} threads, mIoU on {frames} frames"
    )
    shown = Table("run by", "p50 ms", "p95 ms", "speed", "peak MB", "mIoU", "gain", "95 % of gain", box=SIMPLE_HEAD)
    shown.title = title
    for row in found:
        shown.add_row(
            row.way,
            f"{row.p50:.2f}",
            f"{row.p95:.2f}",
            f"{row.speed:.2f}x",
            "-" if row.megabytes is None else f"{row.megabytes:.0f}",
            "" if row.miou is None else f"{row.miou:.4f}",
            "" if row.gain is None else f"{row.gain:+.4f}",
            "" if row.low is None or row.high is None else f"{row.low:+.4f} {row.high:+.4f}",
        )
    return shown


def _data(data: str | None, calibrate: str | None) -> tuple[str, Dataset]:
    """(what to calibrate on, what to score on); raises ConfigError for a folder without val/ or train/."""
    if data is None or data.startswith("yard:"):
        return calibrate or SEEN, open_dataset(data or UNSEEN)
    parts = {part: data.rstrip("/") + f"/{part}" for part in ("train", "val")}
    try:
        return calibrate or parts["train"], open_dataset(parts["val"])
    except ConfigError as error:
        raise ConfigError(f"--data: {error}") from error


def _folders(home: Path, base: Model, ready: Model | None, photos: list[Image], lessons: str) -> dict[str, Path]:
    """An artefact folder for each way that needs one of its own, so that other processes can load them too."""
    kinds: dict[str, Model | Parts] = {FLOAT: base, FOLDED: without_normalisation(base)}
    kinds[INT8] = ready or made(base, photos, False, portable(lessons), console)
    if base.card.architecture is not None:
        kinds = {TORCH: base, **kinds}
    folders = {way: home / str(number) for number, way in enumerate(kinds)}
    for way, parts in kinds.items():
        write_artefact(folders[way], parts.card, parts.graph, parts.weights, parts.golden)
    return folders


def _measured(
    base: Model, folders: dict[str, Path], samples: Dataset, timed: int, threads: int, seed: int
) -> list[Row]:
    ways = {way: _loaded(way, folder, threads) for way, folder in folders.items()}
    spec = base.card.input
    photos = [fitted(photo, spec.width, spec.height) for photo in spread(samples, timed)]
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"{base.card.name}: taking turns", total=len(photos))
        taken = take_turns(ways, photos, seed, lambda: bar.advance(task))
        bar.update(task, description=f"{base.card.name}: scoring, memory")
        counts = {way: frame_counts(ways[way], samples) for way in (FLOAT, INT8)}
        memory = {
            way: peak_megabytes(way.split()[0], [folder], threads, STEP_SECONDS) for way, folder in folders.items()
        }
    return rows(base.card.name, taken, memory, counts, FLOAT, seed)


def _loaded(way: str, folder: Path, threads: int) -> OnnxSegmenter | TorchSegmenter:
    model = load_model(folder)
    return TorchSegmenter(model, "cpu") if way == TORCH else OnnxSegmenter(model, threads)
