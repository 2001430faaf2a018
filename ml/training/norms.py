"""Figures of the batch normalisations, measured anew for the weights and pictures that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ml.training.dataset import batches, to_input

if TYPE_CHECKING:
    from ml.training.dataset import Split
    from ml.training.network import SafelightMini

BATCH = 128


@torch.no_grad()
def recalibrate(network: SafelightMini, pictures: Split) -> None:
    """Replace every norm's running mean and variance by those of ``pictures``; leaves ``network`` in eval mode.

    ``pictures`` are whole, in random order. The running figures of training are of crops, which are enlarged and so
    smoother than whole pictures, and an average of weights has no figures of its own at all.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None means: the plain mean over all batches seen.
        norm.momentum = None
    network.train()
    for pixels, _ in batches(pictures, BATCH):
        network(to_input(pixels))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
