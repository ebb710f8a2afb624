"""Stacks of linear layers, and the initial weights that Flux gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "tanh"]

_in_place: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu_, "tanh": torch.tanh_}


def linear_stack(widths: Sequence[int]) -> nn.ModuleList:
    """Return linear layers between successive widths, with Glorot-uniform weights and zero biases (Flux's Dense)."""
    layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layers


def run_stack(layers: Sequence[nn.Module], h: Tensor, activation: Activation) -> Tensor:
    """Apply layers with the activation between them, in place: its gradient needs only its output."""
    act = _in_place[activation]
    for layer in layers[:-1]:
        h = act(layer(h))
    return layers[-1](h)


def activate(h: Tensor, activation: Activation) -> Tensor:
    """Apply an activation in place; `h` must not be needed by any other gradient."""
    return _in_place[activation](h)


Smooth = Literal["elu", "relu", "gelu", "mish", "silu"]
Norm = Literal["batch", "layer"]

_modules: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "silu": nn.SiLU,
}
_norms: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def blocks(widths: Sequence[int], *, norm: Norm, activation: Smooth, dropout: float) -> nn.Sequential:
    """Return Linear - norm - activation - dropout between successive widths; Glorot-uniform weights, zero biases."""
    layers: list[nn.Module] = []
    for layer in linear_stack(widths):
        layers += [layer, _norms[norm](layer.out_features), _modules[activation](), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def linear(n_in: int, n_out: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer with Glorot-uniform weights and a bias of zeros, or none."""
    layer = nn.Linear(n_in, n_out, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Injected(nn.Module):
    """`blocks` that read something besides (n, extra): with the first layer's input or, if `deep`, with every one's."""

    def __init__(
        self, widths: Sequence[int], extra: int, *, deep: bool, norm: Norm, activation: Smooth, dropout: float
    ):
        super().__init__()
        more = [extra if deep or i == 0 else 0 for i in range(len(widths) - 1)]
        look = {"norm": norm, "activation": activation, "dropout": dropout}
        self.layers = nn.ModuleList(
            blocks([a + m, b], **look) for (a, b), m in zip(pairwise(widths), more, strict=True)
        )
        self._reads = [m > 0 for m in more]

    def forward(self, h: Tensor, extra: Tensor | None) -> Tensor:
        """Return the last hidden units of rows (n, widths[0])."""
        for layer, reads in zip(self.layers, self._reads, strict=True):
            h = layer(torch.cat([h, extra], 1) if reads else h)
        return h
