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


Smooth = Literal["elu", "relu", "gelu"]
Norm = Literal["batch", "layer"]

_modules: dict[str, type[nn.Module]] = {"elu": nn.ELU, "relu": nn.ReLU, "gelu": nn.GELU}
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
