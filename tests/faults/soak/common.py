"""Shared by the scripts of this folder: the toy, a small search, and the one line that each prints."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FAULTS = Path(__file__).parents[1]
TOY = FAULTS.parent / "toy"
sys.path[:0] = [str(FAULTS), str(FAULTS.parents[1])]
os.environ["GXSEARCH_MODELS"] = str(TOY)
os.environ.setdefault("OMP_NUM_THREADS", "1")

TRAINED = ("budget.trials=3", "budget.epochs=4", "stop=none")


def small_search(folder: Path, *sets: str, epochs: int = 10**6):
    """Return the run of a search of the toy without Ray, cut after so many epochs."""
    from damage import cut_short

    from gxsearch.search.intake import read_table
    from gxsearch.search.spec import load

    spec = load(TOY / "toy.yaml", sets or TRAINED)
    return cut_short(spec, read_table(spec), folder, epochs)


def script(body: Callable[[Path], tuple[str, bool]]) -> None:
    """Run a script in a temporary folder; print its line, and exit with 0 if all was well, else 1."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        line, well = body(Path(folder))
    print(line)
    sys.exit(0 if well else 1)
