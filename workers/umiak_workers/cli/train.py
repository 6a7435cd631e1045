"""`umiak train`: make a model from labelled photos, or make the built-in models again."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from umiak_workers.adapters.modelstore import named_model
from umiak_workers.cli.holdout import FIGURES, Holdout, leave_one_out
from umiak_workers.cli.legend import find_legend
from umiak_workers.cli.made_by import command_line, pace, short
from umiak_workers.cli.recipes import BUILTIN, Made, Recipe, iou_by_class, make
from umiak_workers.cli.train_appeal import appeal
from umiak_workers.cli.train_classification import classification
from umiak_workers.cli.train_detection import detection
from umiak_workers.cli.train_keypoints import keypoints
from umiak_workers.cli.train_sam import sam
from umiak_workers.cli.watch import ready, watched
from umiak_workers.contract.artefact import Architecture, DataSource
from umiak_workers.contract.errors import ConfigError
from umiak_workers.core.metrics import mean_iou, pixel_accuracy
from umiak_workers.core.model import Model
from umiak_workers.datasets.source import portable
from umiak_workers.models.batches import PHOTOMETRIC, Light, Partial, Zoom
from umiak_workers.models.train import FitConfig

app = typer.Typer(help="Make a model from labelled photos.", no_args_is_help=True)
app.command()(sam)
app.command()(appeal)
app.command()(classification)
app.command()(detection)
app.command()(keypoints)
console = Console()


@app.command()
def segmentation(
    data: Annotated[
        list[str],
        typer.Option(
            help="Labelled photos: a folder with images/ and labels/ (or train/ and val/ of that form), "
            "or a yard: URI; may be repeated."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The artefact folder to write, named like the model.", show_default="NAME-edge")
    ] = None,
    legend: Annotated[
        str | None,
        typer.Option(
            help="YAML with classes, void, palette, licence, source; or camvid, yard.", show_default="DATA/legend.yaml"
        ),
    ] = None,
    val: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled photos to report on; never trained on.", show_default="DATA/val, else the last 20 %"
        ),
    ] = None,
    height: Annotated[int, typer.Option(help="Height of the model's input in pixels.")] = 180,
    width: Annotated[int, typer.Option(help="Width of the model's input in pixels.")] = 240,
    channels: Annotated[int, typer.Option(help="Channels of the encoder's first stage.")] = 16,
    decoder: Annotated[int, typer.Option(help="Channels of the decoder.")] = 32,
    blocks: Annotated[int, typer.Option(help="Residual blocks per stage.")] = 1,
    standardise: Annotated[
        bool | None,
        typer.Option(
            "--standardise/--no-standardise",
            help="Take each photo's own mean and contrast off first, so that light matters less.",
            show_default="as --start does, else yes",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 40,
    minutes: Annotated[float | None, typer.Option(help="Train this long instead of a number of epochs.")] = None,
    batch: Annotated[int, typer.Option(help="Photos per step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 4e-3,
    start: Annotated[
        str | None, typer.Option(help="Model to go on from (folder, builtin: or file: URI), of the same architecture.")
    ] = None,
    crop: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Height and width of the crops learnt from.", show_default="5/6 of the input"),
    ] = None,
    scale: Annotated[
        tuple[float, float], typer.Option(help="Show things this many times smaller or larger, at random.")
    ] = (1.0, 1.0),
    partial: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of crops sharp in some tiles only: for a cloud that answers regions."),
    ] = 0.0,
    light: Annotated[
        Light,
        typer.Option(
            help="Change light and colours as far as one hour differs from the next, or further: "
            "for places and hours that no photo shows."
        ),
    ] = "usual",
    leave_one_sequence_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-sequence-out",
            help="For each sequence (what comes before the first _ or - of a photo's name), train on the others and "
            "report on it; --out holds one model each, --start names such a folder.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 1,
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Train an RFNet on labelled photos and write it as an artefact.

    With --leave-one-sequence-out nothing is written but what measures the recipe: a model per sequence, and their
    figures in OUT/holdout.json. Models that are there already are not trained again.

    Examples:

        umiak train segmentation --data photos/camvid

        umiak train segmentation --data my-photos --legend my-photos/classes.yaml --minutes 10

        umiak train segmentation --data photos/camvid --out street-cloud --height 240 --width 320 --channels 32

        umiak train segmentation --data photos/camvid --out street-regions --height 360 --width 480 --channels 48 \
            --decoder 64 --crop 240 320 --scale 0.67 2 --partial 0.4

        umiak train segmentation --data photos/camvid --light any --leave-one-sequence-out --out street-folds
    """
    facts = find_legend(legend, data[0])
    if leave_one_sequence_out and val:
        raise ConfigError("--val: with --leave-one-sequence-out the sequence left out is reported on; leave --val away")
    out = out or Path(f"{_name(data[0])}-{'folds' if leave_one_sequence_out else 'edge'}")
    data, val = _parts(data, val or [])
    val = [] if leave_one_sequence_out else val
    if leave_one_sequence_out and start and standardise is None:
        raise ConfigError("--start: say --standardise or --no-standardise, as its folds were trained")
    begin = None if start is None or leave_one_sequence_out else named_model(start)
    shape = {"classes": len(facts.classes), "width": channels, "decoder": decoder, "blocks": blocks}
    standardise = _standardised(begin) if standardise is None else standardise
    shape |= {"standardise": True} if standardise else {}
    fit = FitConfig(
        height=height,
        width=width,
        classes=len(facts.classes),
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        minutes=minutes,
        crop=crop or _usual_crop(height, width),
        zoom=Zoom(*scale),
        partial=Partial(partial),
        photometric=PHOTOMETRIC[light],
        checkpoint=resume,
    )
    told = command_line(
        "segmentation",
        {
            "data": list(map(portable, data)),
            "val": list(map(portable, val)),
            "legend": portable(legend) if legend else None,
            "out": out.name,
            "start": short(start) if start else None,
            "height": height,
            "width": width,
            "channels": channels,
            "decoder": decoder,
            "blocks": blocks,
            "standardise" if standardise else "no-standardise": (),
            **pace(fit),
            "crop": None if fit.crop == _usual_crop(height, width) else fit.crop,
            "scale": None if scale == (1.0, 1.0) else scale,
            "partial": partial or None,
            "light": None if light == "usual" else light,
            "seed": seed,
        },
    )
    recipe = Recipe(
        name=out.name,
        data=tuple(data),
        validation=tuple(val),
        classes=facts.classes,
        void=facts.void,
        palette=facts.palette,
        architecture=Architecture(name="rfnet", config={**shape}),
        fit=fit,
        sources=(DataSource(name=facts.source, licence=facts.licence, saw=facts.saw),),
        licence=facts.licence,
        base_data=data[0] if data[0].startswith("yard:") else None,  # a folder of this machine means nothing elsewhere
        start=begin,
        made_by=f"{begin.card.made_by}; {told}" if begin else told,
    )
    if leave_one_sequence_out:
        folds = leave_one_out(recipe, start, out, lambda fold, folder: run(fold, folder, threads), console)
        show_folds(folds, out)
    else:
        show(recipe, run(recipe, out, threads), out)


@app.command()
def builtin(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(sorted(BUILTIN))}.")],
    out: Annotated[Path, typer.Option(help="The artefact folder to write.")],
    minutes: Annotated[float | None, typer.Option(help="Stop early: train this long only.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder to save to every minute and to go on from.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Make a model that comes with the package again, from nothing but its seed."""
    if name not in BUILTIN:
        raise ConfigError(f"no built-in model is called {name!r}; there are {', '.join(sorted(BUILTIN))}")
    recipe = BUILTIN[name]()
    made_by = recipe.made_by if minutes is None else f"{recipe.made_by} --minutes {minutes:g}"
    short = replace(recipe.fit, minutes=minutes, checkpoint=resume)
    recipe = replace(recipe, fit=short, then=recipe.then if minutes is None else (), made_by=made_by)
    show(recipe, run(recipe, out, threads), out)


def _name(uri: str) -> str:
    """What a data set is called: its folder's name, or the yard's light."""
    path = Path(uri.partition("?")[0].replace(":", "-"))
    return path.resolve().name


def _parts(data: list[str], val: list[str]) -> tuple[list[str], list[str]]:
    """Folders that hold `train/` and `val/` taken apart; a `--val` of the user's wins."""
    training, found = [], []
    for uri in data:
        whole = Path(uri)
        if (whole / "train" / "images").is_dir() and not (whole / "images").exists():
            training.append(str(whole / "train"))
            found += [str(whole / "val")] if (whole / "val" / "images").is_dir() else []
        else:
            training.append(uri)
    return training, val or found


def _standardised(begin: Model | None) -> bool:
    """Whether a model to go on from takes mean and contrast off its photos; new ones do."""
    if begin is None or begin.card.architecture is None:
        return True
    return bool(begin.card.architecture.config.get("standardise", False))


def _usual_crop(height: int, width: int) -> tuple[int, int]:
    return height * 5 // 6, width * 5 // 6


def run(recipe: Recipe, out: Path, threads: int | None) -> Made:
    """Make it under a progress bar; raises ConfigError where the output folder is taken."""
    ready(out, threads)
    with watched(recipe.name, console) as progress:
        return make(recipe, out, progress)


def show(recipe: Recipe, made: Made, out: Path) -> None:
    """Print what was made: size, digest and IoU per class on each validation set."""
    console.print(f"{out}: {made.digest}\n{made.parameters} parameters; seed {recipe.fit.seed}", soft_wrap=True)
    for number, report in enumerate(made.reports, start=1):
        facts = f"{report.steps} steps, {report.epochs:.1f} epochs, {report.seconds:.0f} s"
        console.print(f"fit {number} of {len(made.reports)}: {facts}")
    table = Table("", *made.scores)
    table.add_row("mIoU", *(f"{mean_iou(counts):.4f}" for counts in made.scores.values()))
    table.add_row("pixel accuracy", *(f"{pixel_accuracy(counts):.4f}" for counts in made.scores.values()))
    ious = [iou_by_class(recipe, counts) for counts in made.scores.values()]
    for name in recipe.classes:
        table.add_row(name, *(f"{found[name]:.4f}" if name in found else "-" for found in ious))
    console.print(table)


def show_folds(holdout: Holdout, out: Path) -> None:
    """Print how well each sequence is answered by what was learnt from the others."""
    console.print(holdout.table())
    console.print(f"{len(holdout.folds)} models and {FIGURES} in {out}; seed {holdout.seed}", soft_wrap=True)
