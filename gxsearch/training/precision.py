"""Precision: what a training computes in, and what that asks of its gradients and its batch norms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gxsearch.models.base import Precision, TrainConfig
from gxsearch.training.runtime import Runtime

_SCALE = 2.0**10
"""At first: torch's own, 2^16, overflows in the first steps of some models, and short trainings lose them."""


def precise(device: torch.device, precision: Precision) -> AbstractContextManager:
    """Return the context of a forward pass at this precision; weights, gradients and optimizer stay fp32."""
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" or (precision == "auto" and able):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    if precision == "fp16":
        return torch.autocast(device.type, dtype=torch.float16)
    return nullcontext()


def set_tf32(precision: Precision) -> None:
    """Let matrix products on GPUs round fp32 to 10 bits (tf32), or not; a process keeps this from trial to trial."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


@contextmanager
def without_subnormals() -> Iterator[None]:
    """Let numbers below 1e-38 be zero in this thread, here and in what is decorated with it.

    Weights that a penalty has driven there make a CPU's products several times slower, and nothing else.
    """
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    before = not (smallest / 2).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def one_norm(model: nn.Module, config: TrainConfig, runtime: Runtime) -> nn.Module:
    """Return a model whose batch norms see the batches of all workers; torch can do so on GPUs only."""
    if config.sync_batchnorm and runtime.world_size > 1 and runtime.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model


class Steps:
    """Steps of an optimizer whose gradients, in fp16 only, are scaled so that small ones don't vanish.

    bf16 has the range of fp32 and needs no scale. A step whose gradients overflow is left out, and the scale halved
    (Micikevicius et al., Mixed Precision Training, ICLR 2018).
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device, config: TrainConfig):
        self.optimizer, self._clip = optimizer, config.grad_clip
        self._scaler = torch.amp.GradScaler(device.type, init_scale=_SCALE, enabled=config.precision == "fp16")

    def clear(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        self._scaler.scale(loss).backward()

    def step(self, module: nn.Module) -> None:
        """Clip the gradients where that is asked for, and take the step."""
        self._scaler.unscale_(self.optimizer)
        if self._clip:
            nn.utils.clip_grad_norm_(module.parameters(), self._clip)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return the scale and its history as JSON values; nothing where there is none."""
        return self._scaler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        if state:
            self._scaler.load_state_dict(state)
