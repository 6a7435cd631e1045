"""The demo's page in a real browser: what a person sees of two edges, and that nothing in it fails or phones home."""

import os
import shutil
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Page as Tab
from playwright.async_api import async_playwright, expect

from umiak_workers.bench.demo.page import Page
from umiak_workers.bench.demo.scenes import BUILTIN
from umiak_workers.bench.demo.scoring import Scoreboard
from umiak_workers.bench.demo.stage import Picture
from umiak_workers.bench.demo.stream import jpeg
from umiak_workers.contract.artefact import parse_card
from umiak_workers.contract.messages import Answer, Scores
from umiak_workers.datasets.source import open_dataset

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The system's Chromium; a named skip where there is none, a failure in continuous integration."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "needs Chromium (apt-get install chromium)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


@pytest.fixture
def picture() -> Picture:
    """Two edges, one frame each: an easy one and a hard one."""
    found = Picture(parse_card((BUILTIN / "yard-edge" / "card.json").read_bytes()), simulated=("cameras",))
    board = Scoreboard(len(found.card.classes))
    found.enter("dusk", "never seen by the edge model")
    found.tell("0:01 <b>Ready</b>")
    for edge, by, reason in (("edge-1", "edge", "Easy"), ("edge-2", "cloud", "CloudAnswered")):
        sample = open_dataset("yard:dusk?seed=4&frames=4")[0]
        assert sample.label is not None
        masks = {"final": sample.label, "edge": np.zeros_like(sample.label)}
        if by == "cloud":
            masks["cloud"] = sample.label
        answer = Answer(
            frame=f"{edge}/http/1",
            revision=0,
            answered_by=by,  # type: ignore[arg-type]
            reason=reason,  # type: ignore[arg-type]
            rule="" if by == "edge" else "ScoreMargin",
            scores=Scores(margin=0.4, max_probability=0.6, entropy=0.9),
            model="sha256:" + "ab" * 32,
            captured_at=1.0,
            answered_at=1.2,
            stages_milliseconds={"edge": 12.0, "cloud": 120.0, "total": 140.0},
            bytes_up=2048,
        )
        photo = jpeg(sample)
        found.show(board.add("dusk", edge, answer, sample.label, masks, len(photo)), photo, masks)
    return found


@pytest_asyncio.fixture
async def tab(picture: Picture) -> AsyncIterator[tuple[Tab, list[str]]]:
    """The page, open, and everything it complained about or asked of others."""
    async with Page(picture, 0) as page, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        found = await browser.new_page(viewport={"width": 1200, "height": 1000})
        trouble: list[str] = []
        found.on("pageerror", lambda error: trouble.append(str(error)))
        found.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
        found.on("request", lambda ask: None if ask.url.startswith((page.url, "data:")) else trouble.append(ask.url))
        await found.goto(page.url)
        yield found, trouble
        await browser.close()


async def test_a_person_sees_route_reason_masks_and_digest(tab: tuple[Tab, list[str]], picture: Picture) -> None:
    page, trouble = tab
    await expect(page.locator("section.edge")).to_have_count(2)
    await expect(page.locator("#phase")).to_have_text("dusk")
    hard = page.locator("section.edge").nth(1)
    for text in ("CloudAnswered", "ScoreMargin", "abababababab", "2 KiB up", "cloud 120"):
        await expect(hard).to_contain_text(text)
    widths = await hard.locator("img").evaluate_all(
        "all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert widths == [320, 320, 320, 320]
    await expect(page.locator("#events li")).to_have_text("0:01 <b>Ready</b>")
    await expect(page.locator("#simulated")).to_have_text("Simulated: cameras.")
    assert trouble == []


async def test_the_result_appears_when_the_story_has_ended(tab: tuple[Tab, list[str]], picture: Picture) -> None:
    page, trouble = tab
    await expect(page.locator("#finalhead")).to_be_hidden()
    picture.enter("done")
    picture.final = "mIoU 0.5 <i>"
    await expect(page.locator("#final")).to_have_text("mIoU 0.5 <i>")
    await expect(page.locator("#finalhead")).to_be_visible()
    assert trouble == []
