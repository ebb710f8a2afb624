"""Runtime: all that the loop may know of where it runs."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class Runtime(Protocol):
    """A place to train: a device and, with several workers, the way to talk to them."""

    device: torch.device
    rank: int
    world_size: int

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a model to the device and, with several workers, tie their gradients together."""

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over the workers."""


class LocalRuntime:
    """One process, one device."""

    rank = 0
    world_size = 1

    def __init__(self, device: str = "cpu", threads: int | None = None):
        self.device = torch.device(device)
        if threads is not None:
            torch.set_num_threads(threads)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a model to the device."""
        return model.to(self.device)

    def sum(self, values: Tensor) -> Tensor:
        """Return `values`: there is one worker."""
        return values
