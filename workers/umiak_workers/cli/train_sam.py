"""`umiak train sam`: make a small promptable segmenter from labelled photos, or the built-in one again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from umiak_workers.adapters.artefacts import write_artefact
from umiak_workers.cli.made_by import command_line
from umiak_workers.cli.watch import ready, watched
from umiak_workers.contract.artefact import Architecture, Card, DataSource, InputSpec, OutputSpec
from umiak_workers.datasets.sample import Joined
from umiak_workers.datasets.source import open_dataset, portable
from umiak_workers.models.build import state_tensors
from umiak_workers.models.sam import MEAN, SMALL, STD, aligned, assemble, parameters
from umiak_workers.models.sam_train import SamFit, fit_sam
from umiak_workers.predictors.sam import SamSegmenter, record_golden
from umiak_workers.predictors.sam_scoring import MaskScore, score_masks

BUILTIN_DATA = (
    "yard:day?seed=301&frames=240&shot=1",
    "yard:dusk?seed=302&frames=240&shot=1",
    "yard:day?seed=303&frames=60&shot=1&weather=rain",
    "yard:dusk?seed=304&frames=60&shot=1&weather=fog",
    "yard:night?seed=305&frames=60&shot=1",
)
BUILTIN_VAL = ("yard:day?seed=401&frames=60&shot=1", "yard:dusk?seed=402&frames=60&shot=1")
TOLERANCE = 0.05
"""Of a golden mask logit, which has a spread of about ten: other processors add in another order."""
console = Console()


@dataclass(frozen=True)
class Made:
    """What making it gave."""

    digest: str
    steps: int
    seconds: float
    scores: dict[str, dict[str, MaskScore]]


def sam(
    out: Annotated[Path, typer.Option(help="The artefact folder to write; its name is the model's name.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Labelled photos, repeatable; default: built-in yards.")
    ] = None,
    val: Annotated[list[str] | None, typer.Option(help="Labelled photos to report on; never trained on.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the data, and so of the weights.")] = "Apache-2.0",
    steps: Annotated[int, typer.Option(help="Optimizer steps of 3 photos with 12 questions each.")] = 2800,
    minutes: Annotated[float, typer.Option(help="Stop after this long even if steps are left.")] = 600.0,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 1.5e-3,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 1,
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
) -> None:
    """Train a small promptable segmenter, class-agnostically, and write it as an artefact.

    Examples:

        umiak train sam --out yard-sam

        umiak train sam --data my-photos --licence CC-BY-4.0 --minutes 30 --resume /tmp/progress --out my-sam
    """
    ready(out, threads)
    fit = SamFit(steps, minutes, photos=3, questions=12, learning_rate=learning_rate, seed=seed, checkpoint=resume)
    training, validation = tuple(data or BUILTIN_DATA), tuple(val or (data and ()) or BUILTIN_VAL)
    show(make(out, training, validation, licence, fit), out)


def make(out: Path, data: tuple[str, ...], val: tuple[str, ...], licence: str, fit: SamFit) -> Made:
    """Train under a progress bar, score on `val`, write the artefact folder `out`."""
    torch.manual_seed(fit.seed)
    network = aligned(assemble(SMALL))
    samples = Joined(tuple(open_dataset(uri) for uri in data))
    with watched(out.name, console) as progress:
        taken, seconds = fit_sam(network, samples, fit, progress)
    segmenter = SamSegmenter(network, "")
    scores = {uri: score_masks(segmenter, open_dataset(uri)) for uri in val}
    golden = record_golden(segmenter, samples[0].image, TOLERANCE)
    card = _card(out.name, data, licence, fit, scores)
    digest = write_artefact(out, card, b"", state_tensors(network), golden)
    console.print(f"{parameters(network)} parameters; {taken} steps, {seconds:.0f} s; seed {fit.seed}")
    return Made(digest, taken, seconds, scores)


def _card(name: str, data: tuple[str, ...], licence: str, fit: SamFit, scores: dict[str, dict[str, MaskScore]]) -> Card:
    figures = {
        f"mask-iou[{form}][{uri}]": round(score.iou, 4)
        for uri, forms in scores.items()
        for form, score in forms.items()
    }
    given = [] if data == BUILTIN_DATA else list(map(portable, data))
    saw = tuple(sorted({uri.partition(":")[2].partition("?")[0] for uri in data if uri.startswith("yard:")}))
    return Card(
        name=name,
        task="promptable-segmentation",
        input=InputSpec(
            name="image",
            layout="NCHW",
            dtype="float32",
            height=SMALL.image,
            width=SMALL.image,
            mean=_share(MEAN),
            std=_share(STD),
        ),
        outputs=OutputSpec(logits="masks"),
        architecture=Architecture(name="sam", config=SMALL.to_json()),
        data=(DataSource(name=f"labelled photos: {', '.join(data)}", licence=licence, saw=saw),),
        licence=licence,
        metrics=figures,
        made_by=command_line("sam", {"out": name, "data": given, "steps": fit.steps, "seed": fit.seed}),
    )


def _share(levels: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = levels
    return red / 255, green / 255, blue / 255


def show(made: Made, out: Path) -> None:
    """Print digest, steps and how well things are cut out."""
    console.print(f"{out}: {made.digest}")
    table = Table("validation", "asked by", "things", "mask IoU", "by area", "quality off by")
    for uri, forms in made.scores.items():
        for form, score in forms.items():
            figures = (f"{score.iou:.4f}", f"{score.iou_by_area:.4f}", f"{score.quality_error:.4f}")
            table.add_row(uri, form, str(score.things), *figures)
    console.print(table)
