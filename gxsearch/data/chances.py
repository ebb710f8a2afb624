"""Chances: what a model is told of the classes of rows: hard classes, probabilities, or nothing."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gxsearch.data.table import Table
from gxsearch.errors import Fault


class TellsClasses(Protocol):
    """Settings of a view that say where classes are."""

    classes: str | None
    unlabeled: str | None
    probabilities: str | None


def class_names(table: Table, config: TellsClasses, faults: list[Fault]) -> list[str]:
    """Return the classes that training rows have, ascending, or those of the columns of probabilities.

    Noted in `faults`: E435 fewer than two classes, E483 probabilities that are none.
    """
    if config.classes is None and config.probabilities is None:
        return []
    train = table.rows("train")
    if config.probabilities is None:
        names = sorted(set(_hard(table, config)[train].tolist()) - {""})
        where, source = "data.view.classes", config.classes
    else:
        names = sorted(name.removeprefix(config.probabilities) for name in _columns(table, config))
        where, source = "data.view.probabilities", f"{config.probabilities}*"
        faults += _no_probabilities(table, config)
    if len(names) < 2:
        what = f"training rows have {len(names)} classes of '{source}'; 2 or more are needed"
        faults.append(Fault("E435", where, what, "choose another column"))
    return names


def chances(table: Table, config: TellsClasses, classes: list[str]) -> np.ndarray:
    """Return the probability of each class (n, c), float32; zeros where nothing is known of a row."""
    if config.probabilities is None:
        place = {name: i for i, name in enumerate(classes)}
        place_n = np.array([place.get(name, -1) for name in _hard(table, config).tolist()], dtype=np.int64)
        return (place_n[:, None] == np.arange(len(classes))).astype(np.float32)
    columns = [table.obs.get(f"{config.probabilities}{name}") for name in classes]
    chance_nc = np.stack([np.zeros(table.n_obs) if c is None else np.nan_to_num(c) for c in columns], 1)
    sum_n1 = chance_nc.sum(1, keepdims=True)
    return np.divide(chance_nc, sum_n1, out=np.zeros_like(chance_nc), where=sum_n1 > 0).astype(np.float32)


def _hard(table: Table, config: TellsClasses) -> np.ndarray:
    if config.classes not in table.obs:  # new rows need not have it
        return np.full(table.n_obs, "")
    name_n = table.obs[config.classes].astype(str)
    return name_n if config.unlabeled is None else np.where(name_n == config.unlabeled, "", name_n)


def _columns(table: Table, config: TellsClasses) -> list[str]:
    return [name for name in table.obs if name.startswith(config.probabilities)]


def _no_probabilities(table: Table, config: TellsClasses) -> list[Fault]:
    where, columns = "data.view.probabilities", _columns(table, config)
    text = [name for name in columns if table.obs[name].dtype.kind != "f"]
    if text:
        return [Fault("E483", where, f"obs/{text[0]} holds no numbers", "give each class a column of probabilities")]
    wrong = [name for name in columns if (np.nan_to_num(table.obs[name]) < 0).any()]
    return [Fault("E483", where, f"obs/{wrong[0]} holds values below 0", "probabilities are 0 to 1")] if wrong else []
