"""Phenotypes: what is known of rows besides their values, as categories; learnt from training rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Phenotype:
    """A column of rows, as categories.

    Attributes:
        name: that of the column.
        categories: their names; ascending.
        cuts: where numbers are cut into categories, one less than these; None where categories are names.
    """

    name: str
    categories: tuple[str, ...]
    cuts: tuple[float, ...] | None = None

    @classmethod
    def fit(cls, name: str, values: np.ndarray, bins: int, unspecified: Iterable[str]) -> Phenotype:
        """Learn the categories of training values (n,), text or float64; numbers of more than `bins` values are cut.

        Whole numbers are cut into ranges such as ``58-67`` (both ends belong to it), others into such as
        ``0.5-1.25``, whose end belongs to the next.
        """
        if values.dtype.kind == "f":
            number = np.unique(values[np.isfinite(values)])
            if len(number) > bins:
                return cls(name, *_cut(values[np.isfinite(values)], bins))
            return cls(name, tuple(_text(number).tolist()))
        given = set(np.unique(values).tolist())
        return cls(name, tuple(sorted(word for word in given if not is_unspecified(word, unspecified))))

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the category of each value (n,), int64; -1 for a gap and for what is none of the categories."""
        if self.cuts is not None:
            number = values if values.dtype.kind == "f" else _parsed(values)
            return np.where(np.isfinite(number), np.searchsorted(self.cuts, number, side="right"), -1)
        place = {name: i for i, name in enumerate(self.categories)}
        words, which = np.unique(_text(values) if values.dtype.kind == "f" else values, return_inverse=True)
        return np.array([place.get(word, -1) for word in words.tolist()], dtype=np.int64)[which]

    def unseen(self, values: np.ndarray, unspecified: Iterable[str]) -> int:
        """Return how many values say something, but none of the categories."""
        text = _text(values) if values.dtype.kind == "f" else values
        return sum(not is_unspecified(word, unspecified) for word in text[self.codes(values) < 0].tolist())

    def state(self) -> dict[str, Any]:
        """Return name, categories and cuts as JSON values."""
        cuts = None if self.cuts is None else list(self.cuts)
        return {"name": self.name, "categories": list(self.categories), "cuts": cuts}

    @classmethod
    def load(cls, state: dict[str, Any]) -> Phenotype:
        """Rebuild the phenotype from its `state`."""
        cuts = None if state["cuts"] is None else tuple(state["cuts"])
        return cls(state["name"], tuple(state["categories"]), cuts)


def is_unspecified(word: str, names: Iterable[str]) -> bool:
    """Tell whether a category's name means that it is not specified; case and blanks around it do not matter."""
    return word.strip().casefold() in {"", *(name.strip().casefold() for name in names)}


def balance(code_np: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (n, phenotypes), float32, and the share of `rows` with each phenotype known (phenotypes,).

    The mean over those of `rows` with a phenotype known of what is weighted by it is the mean over the classes that
    are there. Weights are 0 outside of `rows` and where the phenotype is not known.
    """
    weight_np, known_p = np.zeros(code_np.shape, np.float32), np.zeros(code_np.shape[1], np.float32)
    for p in range(code_np.shape[1]):
        known = rows[code_np[rows, p] >= 0]
        if len(known):
            size_c = np.bincount(code_np[known, p])
            weight_np[known, p] = len(known) / (np.count_nonzero(size_c) * size_c[code_np[known, p]])
            known_p[p] = len(known) / len(rows)
    return weight_np, known_p


def _cut(number: np.ndarray, bins: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return names and cuts of about equally many numbers each; fewer than `bins` where many are alike."""
    whole = bool((number == np.round(number)).all())
    cuts = np.unique(np.quantile(number, np.arange(1, bins) / bins))
    cuts = np.unique(np.ceil(cuts)) if whole else cuts
    cuts = cuts[(cuts > number.min()) & (cuts <= number.max())]
    begin, end = [number.min(), *cuts], [*(cuts - 1 if whole else cuts), number.max()]
    if whole:
        ranges = [f"{a:.0f}" if a == b else f"{a:.0f}-{b:.0f}" for a, b in zip(begin, end, strict=True)]
        return tuple(ranges), tuple(cuts.tolist())
    digits = next((d for d in range(3, 17) if len({f"{a:.{d}g}" for a in begin}) == len(begin)), 17)
    return tuple(f"{a:.{digits}g}-{b:.{digits}g}" for a, b in zip(begin, end, strict=True)), tuple(cuts.tolist())


def _text(number: np.ndarray) -> np.ndarray:
    """Return numbers as text, whole ones without a point, a gap as ''."""
    shown = {v: "" if not np.isfinite(v) else f"{v:.0f}" if v == round(v) else repr(v) for v in set(number.tolist())}
    return np.array([shown.get(v, "") for v in number.tolist()], dtype=str)


def _parsed(text: np.ndarray) -> np.ndarray:
    """Return text as numbers, NaN where it is none."""
    words, which = np.unique(text, return_inverse=True)
    return np.array([_number(word) for word in words.tolist()], dtype=np.float64)[which]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
