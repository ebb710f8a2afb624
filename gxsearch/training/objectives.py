"""What a search may optimize: the measures of a model's own, and probes of its vectors. Costs nothing to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gxsearch.models.base import GeneModel

Mode = Literal["min", "max"]

PROBES: dict[str, Mode] = {"knn": "max"}
"""Measures that an objective may name besides a model's own, as ``val/<name>``; they need `data.label`."""


def measures(model: type[GeneModel]) -> dict[str, Mode]:
    """Return the measures that an objective may name, and which way is better: the model's own, and probes.

    Those of `class_metrics` need what the model's `told_by` names in `data.view`.

    Probes read the vectors of rows that were not trained on, which only an encoder gives at once.
    """
    probes = PROBES if hasattr(model.View, "cut") else {}
    return {f"val/{name}": mode for name, mode in {**model.metrics, **model.class_metrics, **probes}.items()}
