"""`umiak demo`: the whole loop on this machine."""

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.live import Live

from umiak_workers.bench.demo.page import Page
from umiak_workers.bench.demo.report import Report, tables
from umiak_workers.bench.demo.scenes import Scene, choose
from umiak_workers.bench.demo.stage import Picture
from umiak_workers.bench.demo.story import REQUEST_SECONDS, Story
from umiak_workers.bench.demo.terminal import text_of, view
from umiak_workers.bench.demo.world import LocalWorld
from umiak_workers.contract.errors import UmiakError


def demo(
    scene: Annotated[
        str, typer.Option(help="yard (procedural, learns) or street (CamVid photos, inference only).")
    ] = "yard",
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with images/ and optionally labels/STEM.png in the scene's class ids."),
    ] = None,
    frames: Annotated[int, typer.Option(min=20, max=2000, help="Frames per edge of a full stretch.")] = 110,
    edges: Annotated[int, typer.Option(min=1, max=8, help="Simulated edge nodes.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of scenes and bootstrap.")] = 0,
    headless: Annotated[bool, typer.Option("--headless", help="No page, and end when the story has ended.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result for machines to this file.")] = None,
    port: Annotated[int, typer.Option(help="Port of the page on 127.0.0.1; 0 takes any free one.")] = 0,
    state: Annotated[Path | None, typer.Option(help="Keep state and logs here instead of a temporary folder.")] = None,
) -> None:
    """Photos answered at the edge, hard ones in the cloud, a model learnt from them and delivered back.

    Examples:

        umiak demo

        umiak demo --scene street

        umiak demo --headless --json result.json

        umiak demo --data my-photos
    """
    chosen = choose(scene, data, edges, frames, seed)
    console = Console()
    with contextlib.ExitStack() as stack:
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="umiak-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(_run(chosen, edges, folder, seed, headless, port, console, json))
    if report is None:
        raise typer.Exit(130)


async def _run(
    scene: Scene, edges: int, state: Path, seed: int, headless: bool, port: int, console: Console, json: Path | None
) -> Report | None:
    """The story under Ctrl-C: whatever happens, everything that was started is stopped."""
    picture = Picture(scene.edge_model.card, simulated=scene.simulated)
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    async with contextlib.AsyncExitStack() as stack:
        if not headless:
            page = await stack.enter_async_context(Page(picture, port))
            console.print(f"page: [link={page.url}]{page.url}[/]")
        resources = state / "resources.yaml"
        resources.write_text(scene.resources)
        world = await stack.enter_async_context(LocalWorld([resources], edges, state))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=REQUEST_SECONDS))
        telling = asyncio.create_task(Story(scene, world, picture, seed).tell(client))
        report = await _watched(telling, picture, interrupted, console)
        if report is not None:
            _finish(report, picture, console, json)
            if not headless:
                console.print("the page stays until Ctrl-C")
                await interrupted.wait()
    return report


async def _watched(
    telling: "asyncio.Task[Report]", picture: Picture, interrupted: asyncio.Event, console: Console
) -> Report | None:
    """Show the picture until the story ends; None if it was interrupted."""
    stop = asyncio.create_task(interrupted.wait())
    told = 0
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while not telling.done() and not stop.done():
            await asyncio.wait({telling, stop}, timeout=0.25, return_when=asyncio.FIRST_COMPLETED)
            live.update(view(picture) if console.is_terminal else "")
            for event in list(picture.events)[told:]:
                live.console.print(event, highlight=False, soft_wrap=True)
                told += 1
    stop.cancel()
    if not telling.done():
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError, UmiakError):
            await telling
        return None
    return telling.result()


def _finish(report: Report, picture: Picture, console: Console, json: Path | None) -> None:
    picture.enter("done", f"{report.seconds:.0f} s")
    picture.final = text_of(tables(report))
    console.print(tables(report), soft_wrap=True)
    if json is not None:
        json.write_text(report.model_dump_json(indent=2) + "\n")
