"""`umiak data`: write the photos of a data set into a folder, to look at, to send to an edge, or to train on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import track

from umiak_workers.contract.errors import ConfigError
from umiak_workers.datasets.pose_folder import write_table
from umiak_workers.datasets.pose_source import open_poses
from umiak_workers.datasets.poses import Posed, PoseDataset
from umiak_workers.datasets.sample import Sample, walk
from umiak_workers.datasets.source import open_dataset
from umiak_workers.datasets.yard import Yard
from umiak_workers.datasets.yard_watch import Watch

JPEG_QUALITY = 95


def data(
    uri: Annotated[
        str,
        typer.Argument(help="yard:LIGHT?seed=N&frames=N&weather=W, figures:LIGHT?seed=N&frames=N, or a folder."),
    ],
    out: Annotated[
        Path, typer.Argument(help="The folder to write: images/NAME.jpg and labels/NAME.png, of figures joints.csv.")
    ],
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the photos as a video as well, for example yard.mp4.")
    ] = None,
    rate: Annotated[int, typer.Option(min=1, max=120, help="Frames per second of the video.")] = 10,
    classes: Annotated[
        bool, typer.Option("--classes", help="Of a yard: write four windows of each photo instead, as CLASS/NAME.jpg.")
    ] = False,
) -> None:
    """Write a data set's photos and labels into a folder, for example procedural yard scenes.

    Examples:

        umiak data 'yard:dusk?seed=5&frames=80' dusk

        umiak infer dusk/images/*.jpg

        umiak data 'yard:day?seed=7&frames=120' day --video day.mp4

        umiak data 'yard:dusk?seed=5&frames=20&shot=1' who-is-there --classes

        umiak data 'figures:dusk?seed=5&frames=20' people
    """
    if uri.startswith("figures:"):
        if classes or video:
            raise ConfigError(f"{uri}: figures are photos with joints; leave --video and --classes out")
        poses = open_poses(uri)
        _free(out, None)
        _write_poses(poses, uri, out, Console())
        return
    samples = open_dataset(uri)
    if classes and not isinstance(samples, Yard):
        raise ConfigError(f"--classes: {uri} is a folder; only a yard: URI has windows with classes")
    if classes and video:
        raise ConfigError("--video: windows with classes are no film; leave --video or --classes out")
    _free(out, video)
    console = Console()
    if isinstance(samples, Yard) and classes:
        _write_windows(Watch(samples), uri, out, console)
        return
    for part in ("images", "labels"):
        (out / part).mkdir(parents=True, exist_ok=True)
    for sample in track(walk(samples), uri, total=len(samples), console=console):
        _write(sample, out)
    console.print(f"{out}: {len(samples)} photos")
    if video:
        from umiak_workers.adapters.film import write_film  # it loads FFmpeg

        frames = write_film(video, (sample.image for sample in walk(samples)), rate)
        console.print(f"{video}: {frames} frames, {frames / rate:g} s")


def _free(out: Path, video: Path | None) -> None:
    """Raises ConfigError where something is there already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists already and is not an empty folder; choose another one")
    if video and video.exists():
        raise ConfigError(f"{video}: exists already; choose another name")


def _write_poses(poses: PoseDataset, uri: str, out: Path, console: Console) -> None:
    (out / "images").mkdir(parents=True, exist_ok=True)

    def written() -> Iterator[tuple[str, Posed]]:
        for index in track(range(len(poses)), uri, console=console):
            photo = poses[index]
            Image.fromarray(photo.image).save(out / "images" / f"{photo.name}.jpg", quality=JPEG_QUALITY)
            yield f"{photo.name}.jpg", photo

    console.print(f"{out}: {write_table(out, written())} photos with joints")


def _write_windows(watch: Watch, uri: str, out: Path, console: Console) -> None:
    for name in watch.classes:
        (out / name).mkdir(parents=True, exist_ok=True)
    for index in track(range(len(watch)), uri, console=console):
        sample = watch[index]
        file = out / watch.classes[sample.kind] / f"{sample.name}.jpg"
        Image.fromarray(sample.image).save(file, quality=JPEG_QUALITY)
    console.print(f"{out}: {len(watch)} photos of {', '.join(watch.classes)}")


def _write(sample: Sample, out: Path) -> None:
    Image.fromarray(sample.image).save(out / "images" / f"{sample.name}.jpg", quality=JPEG_QUALITY)
    if sample.label is not None:
        Image.fromarray(sample.label).save(out / "labels" / f"{sample.name}.png")
