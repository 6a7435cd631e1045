"""`umiak infer PHOTO`: what a running edge says of a photo, who answered and why."""

import json as jsonlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from umiak_workers.adapters.configfile import read_bytes
from umiak_workers.adapters.hub_client import HubClient, check
from umiak_workers.adapters.photo import decode_photo, media_of
from umiak_workers.cli import overlay, worlds
from umiak_workers.cli.showing import showing
from umiak_workers.contract import routes
from umiak_workers.contract.artefact import CARD, Card, parse_card, parse_manifest
from umiak_workers.contract.endpoints import HUB
from umiak_workers.contract.errors import ConfigError, InvalidInput, UmiakError, Unavailable
from umiak_workers.contract.messages import Answer, AnswerHeader
from umiak_workers.contract.wire import HEADER_LENGTH, split, unpack
from umiak_workers.contract.world import World

_MOST_BYTES = 64 * 1024 * 1024
_MOST_PIXELS = 100_000_000


@dataclass(frozen=True)
class Answered:
    """One photo and what was said of it."""

    photo: Path
    answer: Answer
    payload: bytes


def infer(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="JPEG or PNG files.", show_default=False)],
    state: Annotated[
        Path | None, typer.Option(help="State folder of the world to ask; without: the one started last.")
    ] = None,
    router: Annotated[str | None, typer.Option(help="Ask the router at this URL instead.")] = None,
    edge: Annotated[str | None, typer.Option(help="Ask this edge, for example edge-2.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Save photo and answer in one picture here (a folder for several photos).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each answer.")] = 30.0,
) -> None:
    """Send photos to a running edge and print what it answers, who answered and why.

    Examples:

        umiak infer photo.jpg

        umiak infer *.jpg --edge edge-2 --out overlays/

        umiak infer photo.png --router http://127.0.0.1:8600 --json
    """
    world = worlds.find(state) if router is None else None
    url = worlds.router(world, edge) if world is not None else str(router)
    with httpx.Client(timeout=timeout, trust_env=False) as client:
        answered = [ask(client, url, photo) for photo in photos]
    card = model_card(world, answered[0].answer.model, timeout) if world is not None else None
    if out is not None:
        _save(answered, out, card)
    if json:
        jsonlib.dump([as_json(one, card) for one in answered], sys.stdout, indent=1)
        print()
    else:
        Console().print(table(answered, card))


def ask(client: httpx.Client, url: str, photo: Path) -> Answered:
    """The router's answer to one photo; raises UmiakError with one line that names photo or address."""
    data = read_bytes(photo)
    try:
        headers = {"Content-Type": media_of(data)}
    except InvalidInput as error:
        raise ConfigError(f"{photo}: {error}") from error
    try:
        reply = check(client.post(url.rstrip("/") + routes.FRAMES, content=data, headers=headers))
    except httpx.HTTPError as error:
        raise Unavailable(f"{url}: the router does not answer ({type(error).__name__})") from error
    header, rest = unpack(AnswerHeader, reply.headers.get(HEADER_LENGTH), reply.content)
    payloads = dict(zip(header.masks, split(rest, tuple(header.masks.values())), strict=True))
    if "final" not in payloads:
        raise Unavailable(f"{url}: the answer to {photo} holds nothing")
    return Answered(photo, header.answer, payloads["final"])


def model_card(world: World, digest: str, timeout: float) -> Card | None:
    """The card of the model that answered, from the hub; None when it cannot say (names and colours are extras)."""
    try:
        token = read_bytes(Path(world.viewer_token_file)).decode().strip()
        with HubClient(world.endpoints.get(HUB, ""), token, timeout) as hub:
            text = hub.manifest_bytes(digest)
            if text is None:
                return None
            with hub.blob("sha256:" + parse_manifest(text).files[CARD].sha256, 0) as (_, chunks):
                return parse_card(b"".join(chunks))
    except UmiakError:
        return None


def table(answered: Sequence[Answered], card: Card | None) -> Group:
    """Answers for a person: a row for each photo, and below what took how long and what is there."""
    found = Table("photo", "answered by", "reason", "margin", "max p", "ms", "model", box=SIMPLE_HEAD)
    for one in answered:
        answer, total = one.answer, one.answer.stages_milliseconds.get("total")
        scores = (f"{answer.scores.margin:.3f}", f"{answer.scores.max_probability:.3f}")
        digest = answer.model.removeprefix("sha256:")[:8]
        milliseconds = "" if total is None else f"{total:.0f}"
        found.add_row(one.photo.name, answer.answered_by, answer.reason, *scores, milliseconds, digest)
    return Group(found, *(_details(one, card) for one in answered))


def _details(one: Answered, card: Card | None) -> Text:
    stages = ", ".join(f"{name} {value:.1f}" for name, value in one.answer.stages_milliseconds.items())
    there = showing(one.answer.task).words(one.payload, card)
    rule = f"hard by {one.answer.rule}; " if one.answer.rule else ""
    appeal = one.answer.scores.appeal
    gain = "" if appeal is None else f"appeal {appeal:.4f}; "
    return Text(f"{one.photo.name}: {there}\n  {rule}{gain}{stages} ms", style="dim")


def as_json(one: Answered, card: Card | None) -> dict[str, Any]:
    """One answer for a machine."""
    facts = showing(one.answer.task).facts(one.payload, card)
    return {"photo": str(one.photo), "answer": one.answer.model_dump(mode="json"), **facts}


def _save(answered: Sequence[Answered], out: Path, card: Card | None) -> None:
    folder = len(answered) > 1 or out.is_dir() or not out.suffix
    if folder:
        out.mkdir(parents=True, exist_ok=True)
    for one in answered:
        photo = decode_photo(one.photo.read_bytes(), _MOST_BYTES, _MOST_PIXELS)
        show = showing(one.answer.task)
        picture = show.picture(photo, one.payload, card)
        overlay.save(picture, out / f"{one.photo.stem}-{show.ending}.png" if folder else out)
