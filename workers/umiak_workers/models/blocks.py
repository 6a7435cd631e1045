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


class ChannelAttention(nn.Module):
    """Every channel times a weight 0..1 that a 1x1 convolution reads off all channels' means. NxCxHxW -> NxCxHxW."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Weighed features."""
        return features * torch.sigmoid(self.weigh(features.mean(dim=(2, 3), keepdim=True)))


class Complement(nn.Module):
    """Attention feature complementary module of RFNet: both branches weighed channel by channel, then summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.photo = ChannelAttention(channels)
        self.depth = ChannelAttention(channels)

    def forward(self, photo: Tensor, depth: Tensor) -> Tensor:
        """(NxCxHxW, NxCxHxW) -> NxCxHxW."""
        fused: Tensor = self.photo(photo) + self.depth(depth)
        return fused


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling: the map beside its means over a few coarse grids, fused to `outputs` channels.

    `middle` channels enter; each of `grids` (cells per side) adds `level` channels.
    """

    def __init__(self, inputs: int, outputs: int, middle: int, level: int, grids: tuple[int, ...]) -> None:
        super().__init__()
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
