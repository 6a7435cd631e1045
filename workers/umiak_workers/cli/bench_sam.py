"""`umiak bench sam`: is SAM worth its time in the cloud, asked which way, and how fast can it be?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.bench.prompting import PromptingBench, Row
from umiak_workers.bench.sam_throughput import SIZES, Batch, Request, batches, request, served
from umiak_workers.cli.import_sam import mask_table
from umiak_workers.contract.config import Fusion
from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Dataset, Joined
from umiak_workers.datasets.source import open_dataset
from umiak_workers.predictors.onnx import OnnxSegmenter
from umiak_workers.predictors.sam import SamSegmenter, load_sam
from umiak_workers.predictors.sam_scoring import score_masks

UNSEEN = ("yard:day?seed=701&frames=20&shot=1", "yard:dusk?seed=702&frames=20&shot=1")
"""Seeds that no built-in model was trained, validated or tuned on."""
PHOTOS = 2 * max(SIZES)
"""Photos that encoding is timed on."""
console = Console()


def sam(
    data: Annotated[list[str] | None, typer.Option(help="Labelled photos, repeatable; default: unseen yards.")] = None,
    edge: Annotated[str, typer.Option(help="Edge model (builtin: or file: URI).")] = "builtin:yard-edge",
    labeller: Annotated[str, typer.Option(help="Labeller; empty for none.")] = "builtin:yard-cloud",
    sam: Annotated[str, typer.Option(help="Promptable model.")] = "builtin:yard-sam",
    grid: Annotated[list[int] | None, typer.Option(help="Points per side of a full grid, repeatable.")] = None,
    quality: Annotated[
        float, typer.Option(min=0, max=1, help="SAM's own IoU below which a mask does not vote.")
    ] = Fusion().minimum_quality,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
) -> None:
    """Prompting on demand against a full grid, mask IoU by form of question, batches and the cache (3 to 4 minutes).

    Masks `help` or `harm` where the interval of their gain lies above or below zero; else a difference is not shown.

    Examples:

        umiak bench sam

        umiak bench sam --data file:///photos/val --sam file:///models/vit-b --grid 16 --grid 32 --json sam.json
    """
    torch.set_num_threads(threads)
    models = {"edge": _segmenter(edge, threads)}
    if labeller:
        models["labeller"] = _segmenter(labeller, threads)
    segmenter = load_sam(named_model(sam))
    sets = {uri: open_dataset(uri) for uri in data or UNSEEN}
    sides = tuple(grid or (16,))
    if min(sides) < 1 or max(sides) > 64:
        raise ConfigError("--grid: 1 to 64 points per side")
    test = PromptingBench(models, segmenter, sides, Fusion(minimum_quality=quality), seed)
    rows: list[Row] = []
    for uri, samples in sets.items():
        steps = iter(track(range(len(samples)), uri, console=console))
        found = test.run(uri, samples, lambda steps=steps: next(steps, None))  # type: ignore[misc]
        next(steps, None)  # the bar is full and leaves the table alone
        console.print(prompting_table(uri, found))
        rows += found
    scores = {uri: score_masks(segmenter, samples) for uri, samples in sets.items()}
    console.print(mask_table(scores))
    encoding, requests, whole = timed(models, segmenter, Joined(tuple(sets.values())))
    console.print(batch_table(encoding, requests, threads))
    console.print(said(encoding, whole))
    if out is not None:
        facts = {
            "models": {"sam": segmenter.digest, **{role: model.digest for role, model in models.items()}},
            "threads": threads,
            "seed": seed,
            "minimum_quality": quality,
            "prompting": [row.as_json() for row in rows],
            "masks": {uri: {form: asdict(score) for form, score in forms.items()} for uri, forms in scores.items()},
            "encoding": [asdict(batch) for batch in encoding],
            "requests": [asdict(batch) for batch in requests],
            "request": asdict(whole),
        }
        out.write_text(json.dumps(facts, indent=1))


def timed(
    models: dict[str, OnnxSegmenter], segmenter: SamSegmenter, samples: Dataset
) -> tuple[list[Batch], list[Batch], Request]:
    """Distinct photos spread over the data: embedded in batches, answered in batches, and answered one by one."""
    count = min(PHOTOS, len(samples))
    photos = [samples[index * len(samples) // count].image for index in range(count)]
    edge, labeller = models["edge"], models.get("labeller")
    whole = request(edge, labeller, segmenter, photos)
    return batches(segmenter, photos), served(edge, labeller, segmenter, photos), whole


def prompting_table(data: str, rows: list[Row]) -> Table:
    """One data set: per source labels without masks, then every way of asking."""
    shown = Table(
        *("asked about", "asked", "decode", "kept", "used", "mIoU", "gain", "95 % of gain", "masks"),
        title=f"{data}: {rows[0].frames} frames",
        caption=f"means per frame; p50 ms: encode {max(row.encode_ms for row in rows):.0f}, decode as shown; "
        "kept: fit to vote, used: decided labels; first rows: without masks; the cloud asks about areas+doubt",
        box=SIMPLE_HEAD,
        padding=0,
    )
    shown.columns[0].no_wrap = True
    for row in rows:
        if row.low is None or row.high is None or row.gain is None:
            shown.add_section()
            shown.add_row(row.source, "", "", "", "", f"{row.miou:.4f}")
            continue
        counts = (f"{row.prompts:.1f}", f"{row.decode_ms:.0f}", f"{row.kept:.1f}", f"{row.decided:.1f}")
        ends = f"{row.low:+.4f} {row.high:+.4f}"
        shown.add_row(f"  {row.way}", *counts, f"{row.miou:.4f}", f"{row.gain:+.4f}", ends, row.verdict)
    return shown


def batch_table(encoding: list[Batch], requests: list[Batch], threads: int) -> Table:
    """How fast distinct photos are embedded, and answered as the cloud does with so large a `batch`."""
    shown = Table(
        *("photos at once", "embedded/s", "gain", "answered/s", "gain"),
        title=f"distinct photos, nothing remembered, {threads} threads",
    )
    for passes in zip(encoding, requests, strict=True):
        words = [(f"{one.per_second:.1f}", f"x{one.gain:.2f}") for one in passes]
        shown.add_row(str(passes[0].size), *words[0], *words[1])
    return shown


def said(encoding: list[Batch], whole: Request) -> str:
    """What batches and the cache are worth to a request, in words."""
    best = max(encoding, key=lambda batch: batch.gain)
    stages = ", ".join(f"{stage} {taken:.0f}" for stage, taken in whole.cold.items())
    total, again = sum(whole.cold.values()), sum(whole.warm.values())
    worth = f"of {best.size} could save at most {whole.saved(best.gain):.1%} of it" if best.size > 1 else "do not help"
    return (
        f"one request: {total:.0f} ms ({stages})\n"
        f"batches {worth}\n"
        f"a photo seen before: {again:.0f} ms, its embedding is found in {whole.warm['sam_encode']:.3f} ms "
        f"({whole.embedding_bytes} bytes each, {whole.remembered} are remembered)"
    )


def _segmenter(uri: str, threads: int) -> OnnxSegmenter:
    return OnnxSegmenter(named_model(uri), threads)
