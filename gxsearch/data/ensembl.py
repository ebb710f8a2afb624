"""Gene names matched as people mean them: by name, else as Ensembl ids whose versions do not matter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

VERSIONED = re.compile(r"^(ENS[A-Z]*[GTP]\d{11})\.\d+$")


def unversioned(name: str) -> str:
    """Return ENSG00000141510 for ENSG00000141510.17, of any species; any other name as it is."""
    found = VERSIONED.match(name)
    return found[1] if found else name


def places(want: Sequence[str], have: Iterable[str]) -> tuple[list[int], list[str]]:
    """Return where each wanted name stands among unique names, -1 where it does not, and the ambiguous names.

    A name stands for itself, and where it is not there for the one name that differs from it in the version of an
    Ensembl id only (either may lack it). Where several do, it is ambiguous, and its place is -1 too.
    """
    have = list(have)
    exact = {name: place for place, name in enumerate(have)}
    found, ambiguous = [exact.get(name, -1) for name in want], []
    if -1 not in found:
        return found, ambiguous
    loose: dict[str, list[int]] = {}
    for place, name in enumerate(have):
        loose.setdefault(unversioned(name), []).append(place)
    for i, name in enumerate(want):
        near = loose.get(unversioned(name), []) if found[i] < 0 else []
        if len(near) == 1:
            found[i] = near[0]
        elif near:
            ambiguous.append(name)
    return found, ambiguous


def partners(want: Sequence[str], have: Sequence[str]) -> list[int]:
    """Return where each wanted name stands among unique names, as `places`, but no place for two names.

    Where two names come to the same place, it is that of the name that is written the same; the other has -1.
    """
    found, _ = places(want, have)
    times = Counter(found)
    return [i if i < 0 or times[i] == 1 or have[i] == name else -1 for name, i in zip(want, found, strict=True)]
