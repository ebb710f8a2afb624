"""Changes: the values of a search space file that have an option of their own, by the names of the options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from gxsearch.errors import Fault, SpecError, did_you_mean
from gxsearch.search.override import written

PLACES = {
    "trials": "budget.trials",
    "epochs": "budget.epochs",
    "time": "budget.time",
    "concurrent": "resources.concurrent",
    "gpus": "resources.gpus",
    "seed": "search.seed",
    "track": "track",
}
"""Where each stands in the file."""


class Changes(TypedDict, total=False):
    """What `gxsearch tune` changes of a file by options."""

    trials: int
    epochs: int
    time: str
    concurrent: int
    gpus: float | Literal["auto"]
    seed: int
    track: Mapping[str, str]


def as_sets(given: Mapping[str, Any]) -> list[str]:
    """Return the values that were given as ``path=value``.

    Raises:
        SpecError: E343 naming every word that is none of these.
    """
    odd = [name for name in given if name not in PLACES]
    if odd:
        raise SpecError(Fault("E343", name, "is no option of this verb", did_you_mean(name, PLACES)) for name in odd)
    return [written(PLACES[name], value) for name, value in given.items() if value is not None]
