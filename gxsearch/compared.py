"""Compared: the verb `compare` as Python has it, and a comparison: its table, its verdict, the model to take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from gxsearch.results.compare_dir import CompareDir
from gxsearch.run import Run
from gxsearch.screen import sayer
from gxsearch.searching import Given, Say, Source, in_python, load_spec, runs
from gxsearch.told import preformatted

if TYPE_CHECKING:
    import pandas as pd

    from gxsearch.results.package import Package


class Judging(TypedDict, total=False):
    """How architectures are compared: settings of `search.comparing.Plan`."""

    minutes: float
    trials: int
    by: str
    top: int
    seeds: int
    splits: int


class Exported:
    """A model in a folder of its own."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name

    def model(self) -> Package:
        """Read the model; nothing is executed."""
        from gxsearch.results.package import load

        return load(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{self.name}   {self.path}"


class Comparison:
    """The folder of a comparison that has come to its verdict.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: Comparison | str | os.PathLike[str]):
        """Open a comparison.

        Raises:
            RunError: E601 when there is none.
        """
        self.folder = CompareDir.open(os.fspath(path))
        self.path = self.folder.path

    @property
    def table(self) -> pd.DataFrame:
        """A row per contender, best first: what results/leaderboard.csv has.

        Columns: rank, name, kind, k (dimensions), size (weights), told_labels, the mean of each measure on both parts
        (``val/``, ``test/``) and, with ``_sd``, its deviation over the trainings, and what its own search went by.
        """
        import pandas as pd

        from gxsearch.results import compare_words

        return pd.DataFrame(compare_words.flat(self._told()))

    @property
    def differences(self) -> pd.DataFrame:
        """A row per contender that the leader is compared with, on test rows where there are any.

        Columns: name, difference (positive for the leader), low and high (its 95 % interval, missing where none can
        be told), p (corrected for the number of comparisons), called (better, worse or tie: the leader).
        """
        import pandas as pd

        columns = ["name", "difference", "low", "high", "p", "called"]
        pairs = self._told()["judgment"]["pairs"]
        return pd.DataFrame([[pair[name] for name in columns] for pair in pairs], columns=columns)

    @property
    def verdict(self) -> list[str]:
        """What may be said, a sentence an item, the leader first and what to take last."""
        return list(self._told()["sentences"])

    @property
    def best(self) -> Exported:
        """The best of the architectures, trained again by its best settings: results/best."""
        return Exported(self.folder.best, self._told()["exported"])

    @property
    def runs(self) -> dict[str, Run]:
        """The searches by their names in the comparison."""
        return {entry["name"]: Run(self.folder.run(entry["name"]).path) for entry in self.folder.facts()["entries"]}

    @property
    def report(self) -> Path:
        """The page that the comparison ended with, results/report.html."""
        return self.folder.report

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        from gxsearch.verdicts import compared

        return compared(self.folder) if self.folder.verdict.is_file() else f"{self.path.name}   not at its end"

    def _repr_html_(self) -> str:
        return preformatted(repr(self))

    def _told(self) -> dict[str, Any]:
        from gxsearch.results.comparison import read

        return read(self.folder)


def compare(
    specs: Sequence[Given],
    *,
    data: str | None = None,
    sets: Sequence[str] = (),
    out: Source | None = None,
    name: str | None = None,
    address: str = "local",
    quiet: bool = False,
    say: Say | None = None,
    **judging: Unpack[Judging],
) -> Comparison:
    """Compare architectures on one data set, on one split, with an equal budget.

    Args:
        specs: search spaces, each as `tune` takes them.
        data: the data set of all, instead of those that they name.
        sets: ``path=value`` for all, or ``model:path=value`` for those of one model.
        out, name, address, quiet, say: as in `tune`.
        judging: minutes (of all searches together) or trials (of each); by, the measure that decides; top, seeds,
            splits.

    Raises:
        SpecError, DataError, ResourceError: before anything was started.
        Interrupted: a signal came; `resume` goes on.
    """
    from gxsearch import comparing

    with in_python():
        given = [load_spec(one) if isinstance(one, Mapping) else one for one in specs]
        options = {"data": data, "sets": sets, "name": name, "address": address, "quiet": quiet}
        say = say or sayer(quiet)
        return Comparison(comparing.compare(given, out=runs(out), say=say, **options, **judging).path)


def resumed(folder: Source, *, address: str, quiet: bool, say: Say) -> Comparison:
    """Go on with a comparison that was stopped; what is finished stays."""
    from gxsearch.comparing import go_on

    return Comparison(go_on(Path(folder), address=address, quiet=quiet, say=say).path)
