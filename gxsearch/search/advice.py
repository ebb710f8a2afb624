"""Advice: which architectures suit a data set that was looked at, which do not, and why; what each would read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gxsearch.data.glance import Glance
from gxsearch.data.roles import Roles
from gxsearch.data.units import Numbers
from gxsearch.errors import DataError, did_you_mean
from gxsearch.models import registry

LEAST_ROWS = 3
_SPARSE = 0.5
_CELL = 1e5
"""Counts of a row below which it is a cell or a spot; bulk samples have millions."""
_TIMES = 2
_CELLS = 200
"""Rows of different times that are a course of samples; more are cells along a pseudotime, which vectors are for."""


@dataclass(frozen=True)
class Advice:
    """What is to be said of one architecture.

    Attributes:
        fits: whether it can work. rank: the lower the better, among those that fit. why: in words.
        numbers: what it would read; transform: by which steps; negative: whether values below zero must be allowed.
    """

    model: str
    fits: bool
    why: str
    rank: int = 9
    numbers: Numbers | None = None
    transform: tuple[str, ...] = ()
    negative: bool = False


def advise(seen: Glance, found: Roles, *, layer: str | None = None, spatial: str | None = None) -> list[Advice]:
    """Return what is to be said of every shipped architecture, the best first, those that do not fit last.

    Raises:
        DataError: E464, when there is no such layer or key of coordinates.
    """
    if layer is not None and seen.of(layer) is None:
        names = [one.layer for one in seen.numbers if one.layer]
        raise DataError.one("E464", "--layer", f"{seen.source} has no layer '{layer}'", did_you_mean(layer, names))
    if spatial is not None and spatial not in seen.spatial:
        what = f"obsm of {seen.source} has no two or three finite numbers a row named '{spatial}'"
        raise DataError.one("E464", "--spatial", what, did_you_mean(spatial, seen.spatial))
    able = [one for one in seen.numbers if one.layer == layer] if layer is not None else seen.numbers
    told = {
        "fe": _of_values(seen, able, "fe"),
        "vae": _of_values(seen, able, "vae"),
        "nbvae": _of_counts(seen, able, "nbvae"),
        "spatial": _of_places(seen, able, spatial),
        "rvagene": _of_times(seen, found, able),
        "transformer": _of_values(seen, able, "transformer"),
    }
    return sorted((told[name] for name in registry.names() if name in told), key=lambda one: (not one.fits, one.rank))


def fitting(advice: list[Advice], model: str) -> Advice:
    """Return what is to be said of a model that fits.

    Raises:
        SpecError: E310 no such model. DataError: E465 it does not fit, and which do.
    """
    registry.get(model, "MODEL")
    own = next((one for one in advice if one.model == model), None)
    if own is None:
        raise DataError.one("E465", model, "a model of your own is not known to init", f"gxsearch models {model}")
    if not own.fits:
        others = [one.model for one in advice if one.fits]
        fix = f"these fit: {', '.join(others)}" if others else "put that right first"
        raise DataError.one("E465", model, f"does not fit these data: {own.why}", fix)
    return own


def _of_values(seen: Glance, able: list[Numbers], model: str) -> Advice:
    """Judge what reads continuous values: logarithms are best, and counts become such."""
    if why := _too_few(seen):
        return Advice(model, False, why)
    kinds = ("logged", "counts", "linear") + (() if model == "transformer" else ("scaled", "signed"))
    fine = sorted(
        (one for one in _named(able) if one.kind in kinds and not one.gaps + one.infinite), key=_preference(kinds)
    )
    if not fine:
        wanted = "values of 0 or more: counts or their logarithms" if model == "transformer" else "finite numbers"
        return Advice(model, False, f"it needs {wanted}; {_what_there_is(able)}")
    numbers = fine[0]
    transform = {"counts": ["normalize", "log1p"], "linear": ["log1p"]}.get(numbers.kind, [])
    if numbers.empty_rows:
        transform = transform[-1:]  # rows of zeros cannot be brought to a total
    negative = numbers.low < 0
    single = numbers.kind == "counts" and _are_cells(numbers)
    rank = {"fe": 2, "vae": 1, "transformer": 4}[model] + 2 * single
    does = {
        "fe": "a vector per sample and per gene, also from few samples",
        "vae": "a vector per row that denoises; the usual choice for bulk tissue and for logged values",
        "transformer": "tokens of genes and phenotypes: predicts these and draws cells; wants many rows, or a GPU",
    }[model]
    how = " of [" + ", ".join(transform) + "]" if transform else ""
    return Advice(model, True, f"{does}; reads {numbers.place}{how}", rank, numbers, tuple(transform), negative)


def _are_cells(numbers: Numbers) -> bool:
    return numbers.zeros > _SPARSE if numbers.total_n is None else bool(np.median(numbers.total_n) < _CELL)


def _named(able: list[Numbers]) -> list[Numbers]:
    """Return X, layers of counts, and layers that are called logarithms or normalized; the only one, if it is."""
    words = ("log", "norm", "data", "expr")
    fine = [one for one in able if not one.layer or one.kind == "counts" or any(w in one.layer.lower() for w in words)]
    return fine if len(able) > 1 else able


def _preference(kinds: tuple[str, ...]):
    """Return the key that sorts matrices: by kind, X before layers, layers that are called counts before others."""
    return lambda one: (kinds.index(one.kind), one.layer is not None, "count" not in (one.layer or "").lower())


def _of_counts(seen: Glance, able: list[Numbers], model: str) -> Advice:
    if why := _too_few(seen):
        return Advice(model, False, why)
    counts = (one for one in able if one.kind == "counts" and not one.gaps + one.infinite)
    fine = sorted(counts, key=_preference(("counts",)))
    if not fine:
        more = "; .raw holds counts: adata.layers['counts'] = adata.raw.X, if it has the same genes" if seen.raw else ""
        return Advice(model, False, f"it needs raw counts; {_what_there_is(able)}{more}")
    rank = 0 if _are_cells(fine[0]) else 5
    why = "for counts of single cells: batches are corrected for, depth is modeled"
    return Advice(model, True, f"{why}; reads {fine[0].place}", rank, fine[0])


def _of_places(seen: Glance, able: list[Numbers], spatial: str | None) -> Advice:
    if not seen.spatial:
        return Advice("spatial", False, "it needs coordinates, and obsm has no key such as 'spatial' (--spatial)")
    found = _of_counts(seen, able, "spatial")
    why = f"reads a spot with its neighbors by obsm['{spatial or seen.spatial[0]}']"
    if not found.fits:
        return found
    return Advice("spatial", True, f"{why}, and counts of {found.numbers.place}", -1, found.numbers)


def _of_times(seen: Glance, found: Roles, able: list[Numbers]) -> Advice:
    if found.time is None:
        return Advice("rvagene", False, "it needs times, and no obs column of numbers is named as one (--time)")
    times = found.columns[found.time].classes
    if seen.shape[1] < LEAST_ROWS or times < _TIMES:
        what = f"{seen.shape[1]} genes at {times} times are too few: 3 genes and 2 times are the least"
        return Advice("rvagene", False, what)
    kinds = ("logged", "counts", "linear", "scaled", "signed")
    fine = sorted((one for one in _named(able) if one.kind in kinds and not one.infinite), key=_preference(kinds))
    if not fine:
        return Advice("rvagene", False, f"it needs finite numbers; {_what_there_is(able)}")
    numbers, gaps = fine[0], fine[0].gaps > 0
    transform = {"counts": ["normalize", "log1p"], "linear": ["log1p"]}.get(numbers.kind, [])
    transform = transform[-1:] if numbers.empty_rows or gaps else transform
    course = times > seen.shape[0] / 2 and seen.shape[0] < _CELLS
    rank = -2 if course else 6
    why = f"embeds genes by their course over '{found.time}' ({times} times); reads {numbers.place}"
    return Advice("rvagene", True, why, rank, numbers, tuple(transform), numbers.low < 0)


def _too_few(seen: Glance) -> str | None:
    n, g = seen.shape
    if n < LEAST_ROWS:
        return f"{n} rows are too few: 2 to train on and 1 to validate on are the least"
    return "one gene is too few: 2 are the least" if g < 2 else None


def _what_there_is(able: list[Numbers]) -> str:
    if not able:
        return "the file holds no values"
    first = able[0]
    more = f", {first.gaps:,} missing" if first.gaps and first.kind == "none" else ""
    return f"{first.place} holds {first.told()}{more}"
