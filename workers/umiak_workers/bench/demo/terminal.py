"""The live table in the terminal."""

import io

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from umiak_workers.bench.demo.stage import EdgePicture, Picture


def view(picture: Picture) -> RenderableType:
    """One picture of the whole demo, a few lines high."""
    table = Table(box=None, pad_edge=False)
    for column in ("edge", "frames", "hard", "answered by", "reason", "total ms", "up KiB", "down KiB", "model"):
        table.add_column(
            column, justify="right" if column in ("frames", "hard", "total ms", "up KiB", "down KiB") else "left"
        )
    for _, edge in sorted(picture.edges.items()):
        table.add_row(*_cells(edge))
    rolling = {name: points[-1] for name, points in picture.rolling.items() if points}
    scores = "   ".join(f"{name} {value:.3f}" for name, value in rolling.items())
    return Group(Text(f"{picture.phase}: {picture.note}", style="bold"), table, Text(f"mIoU, last 20 frames: {scores}"))


def _cells(edge: EdgePicture) -> tuple[str, ...]:
    answer = edge.answer
    return (
        edge.name,
        str(edge.frames),
        str(edge.hard),
        str(answer.get("answered_by", "")),
        str(answer.get("reason", "")),
        f"{answer.get('stages_milliseconds', {}).get('total', 0):.0f}",
        f"{edge.bytes_up / 1024:.0f}",
        f"{edge.bytes_down / 1024:.0f}",
        str(answer.get("model", ""))[7:19],
    )


def text_of(renderable: RenderableType) -> str:
    """What a renderable looks like as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=110, no_color=True, force_terminal=False).print(renderable)
    return buffer.getvalue()
