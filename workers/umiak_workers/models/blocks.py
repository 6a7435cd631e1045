"""Parts that segmentation networks are built from: residual encoder stages, pyramid pooling, up-sampling with skips."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias and batch normalisation, "same" padding."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class Residual(nn.Module):
    """The basic block of ResNet-18: two 3x3 convolutions around a shortcut. NxCxHxW -> NxC'xH/stridexW/stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        self.shortcut = conv_bn(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """One block."""
        inner = self.second(functional.relu(self.first(features)))
        return functional.relu(inner + self.shortcut(features))


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling: the map beside its means over 1x1, 2x2 and 4x4 cells, fused to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int, grids: tuple[int, ...] = (4, 2, 1)) -> None:
        super().__init__()
        middle = max(8, outputs // 2)
        level = max(4, middle // 4)
        self.grids = grids
        self.enter = conv_bn(inputs, middle, 1)
        self.levels = nn.ModuleList(conv_bn(middle, level, 1) for _ in grids)
        self.leave = conv_bn(middle + level * len(grids), outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """NxCxhxw -> Nxoutputsxhxw."""
        entered = functional.relu(self.enter(features))
        height, width = int(entered.shape[-2]), int(entered.shape[-1])
        parts = [entered]
        for grid, level in zip(self.grids, self.levels, strict=True):
            cell = (max(1, height // grid), max(1, width // grid))
            pooled = functional.relu(level(functional.avg_pool2d(entered, cell, stride=cell)))
            parts.append(grown(pooled, (height, width)))
        return functional.relu(self.leave(torch.cat(parts, dim=1)))


class UpStep(nn.Module):
    """One step of the decoder: double the map, add the encoder's features of that size, blend by a 3x3 convolution."""

    def __init__(self, skip: int, channels: int) -> None:
        super().__init__()
        self.lateral = conv_bn(skip, channels, 1)
        self.blend = conv_bn(channels, channels, 3)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(Nxcxhxw, NxsxHxW) -> NxcxHxW."""
        side = functional.relu(self.lateral(skip))
        size = (int(skip.shape[-2]), int(skip.shape[-1]))
        return functional.relu(self.blend(grown(coarse, size) + side))


def grown(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of NxCxhxw to NxCxHxW."""
    return functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
