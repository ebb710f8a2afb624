"""Weights of an exported model, read strictly: all that are wanted are there and fit, and none is unknown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from gxsearch.data.manifest import verified
from gxsearch.errors import Fault, RunError

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Loaded:
    """What became of each weight, by name.

    Attributes:
        taken: taken from the file.
        drawn: in the model alone; as drawn.
        left: in the file alone; heads that this model lacks.
    """

    taken: tuple[str, ...]
    drawn: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        told = [f"{len(self.taken)} tensors taken"]
        told += [f"newly drawn: {', '.join(self.drawn)}"] if self.drawn else []
        told += [f"left out: {', '.join(self.left)}"] if self.left else []
        return "; ".join(told)


def load_into(model: nn.Module, folder: str, heads: tuple[str, ...]) -> Loaded:
    """Copy the weights of the exported model in `folder` into `model`.

    Args:
        heads: prefixes of weights that one of the two may lack; all others must be in both, in the same shape.

    Raises:
        RunError: when the file is missing or damaged, or naming every weight that is missing, unknown or misshapen.
    """
    weights, own = read_weights(folder), model.state_dict()
    place = str(Path(folder) / WEIGHTS)
    missing = [name for name in own if name not in weights and not name.startswith(heads)]
    unknown = [name for name in weights if name not in own and not name.startswith(heads)]
    unlike = [n for n in own if n in weights and own[n].shape != weights[n].shape]
    faults = [Fault("E641", place, f"'{n}' is not in the file", "pre-train this kind of model") for n in missing]
    faults += [Fault("E641", place, f"'{n}' is unknown to the model", "pre-train this kind of model") for n in unknown]
    faults += [
        Fault("E642", place, f"'{n}' is {_shape(weights[n])}, the model's is {_shape(own[n])}", "set the sizes alike")
        for n in unlike
    ]
    if faults:
        raise RunError(faults)
    taken = tuple(name for name in own if name in weights)
    model.load_state_dict({name: weights[name] for name in taken}, strict=False)
    left = tuple(name for name in weights if name not in own)
    return Loaded(taken, tuple(name for name in own if name not in weights), left)


def settings(folder: str) -> dict[str, Any]:
    """Return the model settings and sizes of an exported folder as JSON values: ``model``, ``params``, ``dims``.

    Raises:
        RunError: when the folder is missing or damaged, or holds no exported model.
    """
    try:
        return json.loads(verified(Path(folder).expanduser())["config.json"])
    except (KeyError, ValueError) as error:
        raise RunError.one(
            "E640", str(folder), f"holds no exported model ({error!r})", "give RUN/results/best"
        ) from None


def read_weights(folder: str) -> dict[str, Tensor]:
    """Return the weights in an exported folder.

    Raises:
        RunError: when they are not there or not those that were written.
    """
    try:
        return load(verified(Path(folder).expanduser())[WEIGHTS])
    except (KeyError, SafetensorError) as error:
        what = f"holds no weights of an exported model ({error!r})"
        raise RunError.one("E640", str(folder), what, "give RUN/results/best") from None


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a number"
