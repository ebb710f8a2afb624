"""A model of settings only, a spec of it, and ways to spoil that spec."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
import pytest

from gxsearch.config import Config, knob
from gxsearch.errors import SpecError
from gxsearch.models.base import GeneModel, TrainConfig
from gxsearch.search.spec import load


class ToySpecModel(GeneModel):
    """A model of settings only; it is never built."""

    class Config(Config):
        width: int = knob(8, doc="width", low=1, high=512)
        heads: int = knob(1, doc="heads; must divide width", low=1)
        layers: int = knob(2, doc="layers", low=1, high=8)
        taper: float = knob(1.0, doc="taper", above=0.0, high=1.0)
        head: Literal["linear", "range"] = knob("linear", doc="output")
        pad: float = knob(0.0, doc="pad of the range", low=0.0, high=1.0)
        hidden: list[int] = knob([8], doc="sizes", min_items=1)
        residual: bool = knob(False, doc="skip connections")

        @pydantic.model_validator(mode="after")
        def _heads_divide(self):
            if self.width % self.heads:
                raise ValueError(f"heads {self.heads} must divide width {self.width}")
            return self

    class Train(TrainConfig):
        optimizer: Literal["adam", "sgd"] = knob("adam", doc="optimizer")
        momentum: float = knob(0.9, doc="of sgd", low=0.0, below=1.0)

    class View:
        axis = "obs"

        class Config(Config):
            bins: int = knob(10, doc="bins", low=2)

    metrics = {"loss": "min", "r2": "max"}
    reference = "none"
    demo = {}

    def __init__(self, config, dims):
        raise AssertionError("a spec is checked without building a model")

    forward = embed = __init__


BASE = """\
gxsearch: 1
name: toy-run
model: toy_spec
data:
  path: x.h5ad
  split: {val: 0.1}
objective: {metric: val/loss}
space:
  model:
    width: {int: [2, 64], log: true}
    layers: {int: [1, 4]}
    taper: {float: [0.25, 1], when: {layers: {ge: 2}}}
    head: {choice: [linear, range]}
    pad: {float: [0.0, 0.5], when: {head: range}}
  train:
    lr: {float: [1e-4, 1e-1], log: true}
search: {sampler: tpe, seed: 3, start: [{width: 4, lr: 1e-2}]}
stop: {asha: {grace: 2, reduction: 3}}
budget: {trials: 40, epochs: 10}
resources: {workers: 1}
"""


def edited(key: str, new: str) -> tuple[str, int]:
    """Return BASE with the line of `key` replaced, and the number of the line marked with #! (or the first)."""
    lines = BASE.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    put = [indent + line for line in new.split("\n")] if new else []
    marked = next((i for i, line in enumerate(put) if "#!" in line), 0)
    return "\n".join(lines[:at] + put + lines[at + 1 :]) + "\n", at + 1 + marked


def write(tmp_path: Path, text: str, name: str = "toy.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def faults_of(file: Path, sets=()):
    with pytest.raises(SpecError) as caught:
        load(file, sets)
    return caught.value.faults
