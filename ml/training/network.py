"""The network of ``safelight-mini``: a plain residual net for 64x64 pictures.

Only 3x3 and 1x1 convolutions, batch normalisation and ReLU: they fold into one another on export, quantise to eight
bits without special care and run fast on every CPU. Basic blocks after He et al., "Deep Residual Learning for Image
Recognition" (2015).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

WIDTHS = (24, 64, 144, 320)
"""Channels of the four stages, which work at 1/2, 1/4, 1/8 and 1/16 of the input's side."""

BLOCKS = (1, 1, 1, 1)
"""Basic blocks per stage."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; ``[N, inputs, H, W]`` to ``[N, outputs, H/stride, W/stride]``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        # Starting each block as its own shortcut lets the learning rate be high from early on.
        nn.init.zeros_(self.second_norm.weight)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            pool: nn.Module = nn.AvgPool2d(stride) if stride != 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        hidden = torch.relu(self.first_norm(self.first(images)))
        hidden = self.second_norm(self.second(hidden))
        return torch.relu(hidden + cast("torch.Tensor", self.shortcut(images)))


class SafelightMini(nn.Module):
    """Classifier over ``classes`` with an embedding.

    Input: float32 ``[N, 3, S, S]``, RGB, normalised as ``dataset.to_input`` does; S a multiple of 16.
    Output: ``(logits [N, classes], embedding [N, 320])``.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        stages: list[nn.Module] = []
        inputs = WIDTHS[0]
        for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            for block in range(blocks):
                stages.append(BasicBlock(inputs, width, 2 if stage > 0 and block == 0 else 1))
                inputs = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(logits, embedding)``."""
        hidden = torch.relu(self.stem_norm(self.stem(images)))
        hidden = self.stages(hidden)
        embedding = hidden.mean(dim=(2, 3))
        return self.head(embedding), embedding
