"""Whether masks help the cloud's labels: edge model, labeller and both, with and without a promptable segmenter.

The measurement is `umiak bench fusion`'s, on a share of the same photos; SAM is asked, and masks vote, as in the cloud
worker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from umiak_workers.bench.fusion import FusionBench, Row
from umiak_workers.bench.joint.evidence import Seen
from umiak_workers.contract.config import Fusion
from umiak_workers.datasets.sample import Listed, Sample
from umiak_workers.predictors.promptable import Promptable
from umiak_workers.predictors.segmentation import Segmenter

VOTES = ("probability", "logits", "majority")


@dataclass(frozen=True)
class Masked:
    """One row of `umiak bench fusion`, with the promptable model's name where masks voted."""

    row: Row
    sam: str | None

    @property
    def vote(self) -> str | None:
        """How pixels inside a mask voted; None without masks."""
        return None if self.row.fusion is None else self.row.fusion.vote

    def as_json(self) -> dict[str, object]:
        """As the other rows of `fusion`; gain, with its 95 % ends, is over the same labels without masks."""
        row = self.row
        figures = {name: getattr(row, name) for name in ("gain", "low", "high")}
        return {
            "labels": row.source,
            "views": "one",
            "codec": None,
            "quality": None,
            "vote": self.vote,
            "sam": self.sam,
            "miou": round(row.miou, 6),
            "photos": row.frames,
            **{name: None if value is None else round(value, 6) for name, value in figures.items()},
            "masks": round(row.masks, 2),
            "verdict": row.verdict,
        }


def masked(
    seen: Sequence[Seen],
    edge: Segmenter,
    labeller: Segmenter,
    sam: tuple[str, Promptable],
    seed: int,
    tick: Callable[[], None],
) -> tuple[Masked, ...]:
    """Rows for these photos as they came, by labels and vote; `sam` is (its name, the model)."""
    name, promptable = sam
    rules = [Fusion(vote=vote) for vote in VOTES]
    test = FusionBench(edge, labeller, promptable, rules, seed)
    rows = test.run("", Listed([Sample(photo.image, photo.label, photo.name) for photo in seen]), tick)
    return tuple(Masked(row, None if row.fusion is None else name) for row in rows)
