"""Findings of the lint: faults that are gathered, each once, and told in the order of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gxsearch.cluster.sheet import items
from gxsearch.errors import Fault, GxError, SpecError, UnsafeError, did_you_mean
from gxsearch.search.yaml_file import Document, Where


class Findings:
    """Gathers what is wrong with a file."""

    def __init__(self) -> None:
        self._faults: dict[Fault, None] = {}

    def add(self, code: str, where: str, what: str, fix: str) -> None:
        """Add a fault, once."""
        self._faults[Fault(code, where, what, fix)] = None

    def typos(self, doc: Document, path: Where, known: Iterable[str]) -> None:
        """Add the keys of a group that are nearly one of `known`; others may be right and not known here."""
        known = list(known)
        values: Any = doc.values
        for part in path:
            values = values.get(part) if isinstance(values, dict) else items(values)[part]
        for key in values if isinstance(values, dict) else ():
            hint = "" if key in known else did_you_mean(key, known)
            if hint.startswith("did"):
                self.add("E381", doc.where((*path, key), key=True), f"unknown key '{key}'", hint)

    def sorted(self) -> list[Fault]:
        """Return the faults in the order of their lines."""
        return sorted(self._faults, key=lambda fault: (_place(fault.where), fault.code))


def refuse(faults: list[Fault]) -> None:
    """Raise what was found, if anything: UnsafeError when it could do harm, SpecError else."""
    if faults:
        kind: type[GxError] = UnsafeError if any(fault.code[1] == "8" for fault in faults) else SpecError
        raise kind(faults)


def _place(where: str) -> tuple[str, int, int]:
    found = re.fullmatch(r"(.*?):(\d+):(\d+)", where)
    return (found[1], int(found[2]), int(found[3])) if found else (where, 0, 0)
