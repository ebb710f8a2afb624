"""What a search may optimize: the measures of a model's own, and probes of its vectors. Costs nothing to import."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gxsearch.models.base import GeneModel

Mode = Literal["min", "max"]

PROBES: dict[str, Mode] = {
    "knn": "max",
    "logreg": "max",
    "expression_r2": "max",
    "imputation_r2": "max",
    "lobo": "max",
    "silhouette": "max",
    "ari": "max",
    "nmi": "max",
    "calinski_harabasz": "max",
    "isolated": "max",
    "batch_knn": "min",
    "batch_silhouette": "max",
    "ilisi": "max",
}
"""Measures that an objective may name besides a model's own, as ``val/<name>``; in order of importance.

All are of vectors but `imputation_r2`, which is of values given back. `results/evaluation.py` says what each means,
`training/probing.py` takes them.
"""

NEEDS: dict[str, tuple[str, ...]] = {
    "expression_r2": (),
    "imputation_r2": (),
    "lobo": ("label", "batch"),
    "isolated": ("label", "batch"),
    "batch_knn": ("batch",),
    "batch_silhouette": ("label", "batch"),
    "ilisi": ("batch",),
}
"""Settings of `data` that a probe cannot do without; `label` where nothing is said."""


def is_probe(metric: str) -> bool:
    """Tell whether an objective names a probe rather than a measure of a model's own."""
    return metric.removeprefix("val/") in PROBES


def needs(metric: str) -> tuple[str, ...]:
    """Return the settings of `data` that an objective cannot do without: none for a model's own measures."""
    name = metric.removeprefix("val/")
    return NEEDS.get(name, ("label",)) if name in PROBES else ()


def lacking(metric: str, given: Collection[str]) -> list[str]:
    """Return the settings of `data` that a probe needs beyond those that are given."""
    return [setting for setting in needs(metric) if setting not in given]


def measures(model: type[GeneModel]) -> dict[str, Mode]:
    """Return the measures that an objective may name, and which way is better: the model's own, and probes.

    Those of `class_metrics` need what the model's `told_by` names in `data.view`. A probe never takes the place of a
    model's own measure of that name. A model without an encoder has vectors fitted to the rows that probes read, in
    every epoch.
    """
    own = {**model.metrics, **model.class_metrics}
    probes = {name: mode for name, mode in PROBES.items() if name not in own}
    if not _finds_values(model):
        probes.pop("imputation_r2")
    return {f"val/{name}": mode for name, mode in {**own, **probes}.items()}


def _finds_values(model: type[GeneModel]) -> bool:
    """Tell whether some settings of a model let it find hidden values (`training/imputation.py`)."""
    from gxsearch.data.view import Hides
    from gxsearch.models.base import Decodes, FitsNewRows

    hides = issubclass(model.View, Hides) and issubclass(model, Decodes)
    return hides or issubclass(model, FitsNewRows) or "gene_nll" in model.metrics
