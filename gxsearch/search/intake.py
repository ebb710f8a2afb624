"""Intake: the data of a spec, checked before anything is started; apart from the rest, which imports Ray."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from torch.overrides import TorchFunctionMode

from gxsearch.config import read as read_config
from gxsearch.data.graph import FIRST
from gxsearch.data.prepare import prepare
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.errors import Fault, SpecError
from gxsearch.models import registry
from gxsearch.search.spec import Spec, load
from gxsearch.training.probing import Probe

_CORNERS = 64
"""Corners of a space whose models are measured; the first ones have both ends of most settings."""


def read_table(spec: Spec) -> Table:
    """Load, check, split and transform the data of a spec, with the columns that the model's view reads.

    Raises:
        DataError: with all that is wrong with it.
        SpecError: when the settings of the view are wrong.
    """
    view, base = registry.get(spec.model).View, Path(spec.path).resolve().parent
    extra = view.columns(read_config(view.Config, spec.data.view, spec.path, "data.view"))
    negative = spec.data.allow_negative
    options = {"layout": view.layout, "allow_negative": negative, "extra_obs": extra}
    table = prepare(spec.data, where=spec.path, base=base, **options)
    return table if spec.first is None else _awaiting(spec, table)


def _awaiting(spec: Spec, table: Table) -> Table:
    """Return the table with zeros for the vectors of the search that comes first, so that all else can be checked."""
    facts = {**table.facts, "first": load(Path(spec.path).resolve().parent / spec.first).model}
    obsm = {**table.obsm, FIRST: np.zeros((table.n_obs, 2), dtype=np.float32)}
    return dataclasses.replace(table, obsm=obsm, facts=facts)


def dims(spec: Spec, table: Table) -> Dims:
    """Fit the view once in this process, so that data which do not suit the model are found before a trial starts.

    Raises:
        DataError: when the data do not suit the view, or do not allow the objective.
        SpecError: E331, when some settings of the space cannot work on such data.
    """
    kind = registry.get(spec.model)
    Probe.of([one.metric for one in spec.objectives], table)
    found = kind.View.fit(table, read_config(kind.View.Config, spec.data.view, spec.path, "data.view")).dims
    configs = (kind.Config(**spec.space.configs(params)["model"]) for params in spec.space.corners())
    said = dict.fromkeys(kind.objection(config, found) for config in configs)
    faults = [Fault("E331", spec.path, *text.split("; ", 1)) for text in said if text is not None]
    if faults:
        raise SpecError(faults)
    return found


class _Undrawn(TorchFunctionMode):
    """Leaves first weights undrawn: memory that nobody writes to takes no time and no room."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        given = kwargs or {}
        # Functions of torch.nn.init come here whole, and what they call does not.
        whole = isinstance(func, FunctionType) and func.__module__ == "torch.nn.init"
        if not whole and func.__name__ not in ("normal_", "uniform_", "trunc_normal_"):
            return func(*args, **given)
        return args[0] if args else given["tensor"]


def weights(spec: Spec, params: dict[str, Any], sizes: Dims) -> int:
    """Return the number of weights of a draw's model; nothing is drawn or written, so it takes no room."""
    kind = registry.get(spec.model)
    with _Undrawn():
        model = kind(kind.Config(**spec.space.configs(params)["model"]), sizes)
    return sum(p.numel() for p in model.parameters())


def checkpoint_bytes(spec: Spec, sizes: Dims) -> int:
    """Return the size of the largest checkpoint of a space: weights and the two moments of Adam, float32."""
    return 3 * 4 * max(weights(spec, params, sizes) for params in islice(spec.space.corners(), _CORNERS))
