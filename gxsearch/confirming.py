"""Confirming: the verb `confirm`, for a search that has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gxsearch.errors import RunError
from gxsearch.results.far import reopened
from gxsearch.results.run_dir import RunDir
from gxsearch.search.stopped import told
from gxsearch.steps import run_confirm, serving


def confirm(
    run: str | Path,
    *,
    top: int = 3,
    seeds: int = 3,
    splits: int = 1,
    address: str = "local",
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train the best trials of a search again, and return what `results.confirmation.write` says of them.

    What was trained already is not trained again.

    Raises:
        RunError: E609 when the search has not ended. SpecError: E328 when other splits cannot be had.
    """
    from gxsearch.results import confirmation, report
    from gxsearch.search import confirm as stage
    from gxsearch.search.launch import connected
    from gxsearch.search.opening import reopen
    from gxsearch.search.packing import check_address, settled
    from gxsearch.search.sections import Confirm

    asked = Confirm(top=top, seeds=seeds, splits=splits)
    with reopened(run, say) as place, told(place):
        folder = RunDir.open(place)
        if not stage.done(folder):
            fix = f"go on with: gxsearch resume {run}"
            raise RunError.one("E609", str(run), "the search has not come to its end", fix)
        with reopen(folder, {}) as opened:
            opened.close("done")
        check_address(opened.spec.resources, address)
        stage.check(opened.spec, asked)
        trials = stage.picked(folder, top)
        if stage.unfinished(folder, opened.spec, asked, trials):
            opened.take(settled(opened.spec, opened.table, say))
            with connected(address, opened.spec.resources) as fit, serving() as fleet:
                run_confirm(opened, asked, fit, quiet, say, fleet, trials)
        say("test rows")
        found = confirmation.write(folder, opened.table)
        report.write(folder)
    assert found is not None, "nothing was trained again"
    return found
