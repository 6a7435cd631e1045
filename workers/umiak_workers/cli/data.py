"""`umiak data`: write the photos of a data set into a folder, to look at, to send to an edge, or to train on."""

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import track

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.sample import Sample, walk
from umiak_workers.datasets.source import open_dataset

JPEG_QUALITY = 95


def data(
    uri: Annotated[str, typer.Argument(help="yard:LIGHT?seed=N&frames=N&weather=W, or a folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to write: images/NAME.jpg and labels/NAME.png.")],
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the photos as a video as well, for example yard.mp4.")
    ] = None,
    rate: Annotated[int, typer.Option(min=1, max=120, help="Frames per second of the video.")] = 10,
) -> None:
    """Write a data set's photos and labels into a folder, for example procedural yard scenes.

    Examples:

        umiak data 'yard:dusk?seed=5&frames=80' dusk

        umiak infer dusk/images/*.jpg

        umiak data 'yard:day?seed=7&frames=120' day --video day.mp4
    """
    samples = open_dataset(uri)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists already and is not an empty folder; choose another one")
    if video and video.exists():
        raise ConfigError(f"{video}: exists already; choose another name")
    for part in ("images", "labels"):
        (out / part).mkdir(parents=True, exist_ok=True)
    console = Console()
    for sample in track(walk(samples), uri, total=len(samples), console=console):
        _write(sample, out)
    console.print(f"{out}: {len(samples)} photos")
    if video:
        from umiak_workers.adapters.film import write_film  # it loads FFmpeg

        frames = write_film(video, (sample.image for sample in walk(samples)), rate)
        console.print(f"{video}: {frames} frames, {frames / rate:g} s")


def _write(sample: Sample, out: Path) -> None:
    Image.fromarray(sample.image).save(out / "images" / f"{sample.name}.jpg", quality=JPEG_QUALITY)
    if sample.label is not None:
        Image.fromarray(sample.label).save(out / "labels" / f"{sample.name}.png")
