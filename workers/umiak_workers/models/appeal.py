"""AppealNet's second head: from what the edge model says of each pixel to what the cloud would change there.

Seed 001, 3.3.2. The published head judges whole images by a label "easy or hard"; this one judges places, because the
cloud is worth asking about parts of a frame, and it learns three outcomes instead of one: the cloud mends the label,
spoils it, or changes nothing that counts. Its answer, P(mended) - P(spoilt), is an expected gain, so a threshold on it
means the same for every model. It reads the class scores alone: those mean the same in the models of every fold, which
is what makes out-of-fold teaching possible (a model's answers about photos it learnt from look easier than they are).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from umiak_workers.models.rfnet import RFNet, RFNetConfig

OUTCOMES = 3
"""mended, spoilt, the same"""
CHANNELS = 16


class AppealHead(nn.Module):
    """Class logits to outcomes: NxCxhxw float32 -> Nx3xhxw logits of mended, spoilt, the same."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(classes + 1, CHANNELS, 3, padding=1)
        self.around = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2)
        self.leave = nn.Conv2d(CHANNELS, OUTCOMES, 1)

    def forward(self, logits: Tensor) -> Tensor:
        """Outcomes; the row of a pixel counts too, since the same doubt means another thing in the sky."""
        count, _, height, width = logits.shape
        rows = torch.linspace(-1, 1, height, device=logits.device).view(1, 1, height, 1).expand(count, 1, height, width)
        features = torch.cat((functional.log_softmax(logits, dim=1).clamp(min=-8) / 4, rows), dim=1)
        features = functional.relu(self.enter(features))
        features = functional.relu(features + self.around(features))
        outcomes: Tensor = self.leave(features)
        return outcomes


class AppealNet(RFNet):
    """An RFNet that also says where the cloud would do better; `forward` stays the RFNet's, so it trains as one."""

    def __init__(self, config: RFNetConfig) -> None:
        super().__init__(config)
        self.appeal = AppealHead(config.classes)

    def expected_gain(self, logits: Tensor) -> Tensor:
        """Share of each place's pixels that asking the cloud mends, less those it spoils: NxCxhxw -> Nxhxw, -1..1."""
        chances = self.appeal(logits).softmax(dim=1)
        gain: Tensor = chances[:, 0] - chances[:, 1]
        return gain


@dataclass(frozen=True)
class Lessons:
    """Out-of-fold answers: `logits` NxCxhxw float32, `outcomes` Nx3xhxw float32 shares; 0: no label."""

    logits: NDArray[np.float32]
    outcomes: NDArray[np.float32]


def outcome_shares(
    label: NDArray[np.uint8], edge: NDArray[np.uint8], cloud: NDArray[np.uint8], classes: int, height: int, width: int
) -> NDArray[np.float32]:
    """3 x height x width: shares of each cell's pixels that the cloud mends, spoils and leaves; void counts nowhere."""
    known = label < classes
    cloud_right, edge_right = (cloud == label) & known, (edge == label) & known
    maps = (cloud_right & ~edge_right, edge_right & ~cloud_right, known & (cloud_right == edge_right))
    rows = np.arange(label.shape[0]) * height // label.shape[0]
    columns = np.arange(label.shape[1]) * width // label.shape[1]
    cells = (rows[:, None] * width + columns).reshape(-1)
    pixels = np.maximum(np.bincount(cells, minlength=height * width), 1)
    shares = [np.bincount(cells, weights=part.reshape(-1), minlength=height * width) / pixels for part in maps]
    return np.stack(shares).reshape(OUTCOMES, height, width).astype(np.float32)


def fit_head(
    head: AppealHead, lessons: Lessons, steps: int, seed: int, progress: Callable[[float, float], None]
) -> None:
    """Teach the head in place by cross-entropy with soft targets; `progress` hears the share done and the loss."""
    logits, outcomes = torch.from_numpy(lessons.logits), torch.from_numpy(lessons.outcomes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    rng = np.random.default_rng(seed)
    head.train()
    for step in range(steps):
        chosen = torch.from_numpy(rng.integers(len(logits), size=8))
        turn = (3,) if rng.random() < 0.5 else ()
        found, wanted = logits[chosen].flip(turn), outcomes[chosen].flip(turn)
        loss = -(functional.log_softmax(head(found), dim=1) * wanted).sum() / wanted.sum().clamp(min=1e-6)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        progress((step + 1) / steps, float(loss.detach()))
    head.eval()
