"""Findings: all that is wrong or odd with a data set, collected so that it is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gxsearch.errors import DataError, Fault

MOST = 4


@dataclass
class Findings:
    """Faults stop a search before it starts; warnings are kept in the record of the data set.

    Attributes:
        where: the place of the `data` section (``spec.yaml``), for faults that a setting puts right.
        source: the name of the data set, for faults of its content.
    """

    where: str
    source: str
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def setting(self, code: str, what: str, fix: str = "") -> None:
        """Note a setting of the spec that does not fit the data."""
        self.faults.append(Fault(code, self.where, what, fix))

    def content(self, code: str, part: str, what: str, fix: str = "") -> None:
        """Note that a part of the data set (``X``, ``obs/donor``) is wrong."""
        self.faults.append(Fault(code, f"{self.source}!/{part}", what, fix))

    def warn(self, text: str) -> None:
        """Note something that is allowed and worth knowing."""
        self.warnings.append(text)

    def stop_if_faulty(self) -> None:
        """Raise a `DataError` of all faults, if there are any."""
        if self.faults:
            raise DataError(self.faults)


@dataclass(frozen=True)
class Named:
    """How many rows or genes are of a kind, and the names of the first `MOST`: one more than `shown` shows."""

    total: int
    first: list[str]

    @classmethod
    def of(cls, names: Sequence[str], chosen: np.ndarray) -> Named:
        """Count and name those of `names` (n,) that are `chosen` (n,), bool."""
        return cls(int(chosen.sum()), [str(names[i]) for i in np.flatnonzero(chosen)[:MOST]])


def shown(names: Iterable[object], most: int = 3) -> str:
    """Return the first names, quoted, and dots if there are more."""
    names = [str(name) for name in names]
    return ", ".join(repr(name) for name in names[:most]) + (", ..." if len(names) > most else "")


def counted(n: int, noun: str) -> str:
    """Return the number with its noun in the singular or the plural: ``1 row``, ``1,204 genes``."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{n:,} {noun if n == 1 else plural}"
