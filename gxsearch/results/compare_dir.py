"""CompareDir: the one place that knows the names inside the folder of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gxsearch.errors import RunError
from gxsearch.results.run_dir import COMPARISON, RunDir, unsealed


class CompareDir:
    """The folder of one comparison.

    compare.json is written once; each architecture has a run folder by its name; results/ is made from them.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).resolve()
        self.facts_file = self.path / COMPARISON
        self.results = self.path / "results"
        self.verdict = self.results / "comparison.json"
        self.leaderboard = self.results / "leaderboard.csv"
        self.best = self.results / "best"
        self.report = self.results / "report.html"
        self.report_md = self.results / "report.md"

    @classmethod
    def open(cls, path: str | Path) -> CompareDir:
        """Return an existing comparison.

        Raises:
            RunError: E601 when there is none at `path`.
        """
        found = cls(path)
        if not found.facts_file.is_file():
            raise RunError.one("E601", str(path), f"no comparison here ({COMPARISON} is missing)", "give its folder")
        return found

    def run(self, name: str) -> RunDir:
        """Return the run of an architecture."""
        return RunDir(self.path / name)

    def facts(self) -> dict[str, Any]:
        """Read compare.json: id, name, command, created, plan, entries, versions.

        Raises:
            RunError: E602 when it cannot be read, or is not as it was written.
        """
        try:
            found = unsealed(json.loads(self.facts_file.read_bytes()))
            for entry in found["entries"]:
                if not isinstance(entry["name"], str) or not isinstance(entry["spec"], dict):
                    raise ValueError("an entry has no name or no spec")
            if not isinstance(found["plan"], dict):
                raise ValueError("it has no plan")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError.one("E602", str(self.facts_file), f"cannot be read ({error})", "restore it") from None
        return found
