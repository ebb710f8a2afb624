"""Report: one HTML file that tells what a search found, to be read offline, printed, and believed; and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gxsearch.errors import RunError
from gxsearch.results import ablations, curves, gallery, leaderboard, page, tables
from gxsearch.results.far import give_back
from gxsearch.results.gallery import Easel
from gxsearch.results.insight import insight
from gxsearch.results.latent import latent
from gxsearch.results.phenotypes import phenotypes
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.several import several
from gxsearch.results.verdict import verdict


class ConfirmedTable(BaseModel):
    """A table that is shown as it is."""

    columns: list[str] = []
    rows: list[list[str | float | int | None]] = []


class Confirmed(BaseModel):
    """What a report reads of results/confirm.json; there is more in it."""

    sentences: list[str]
    table: ConfirmedTable = ConfirmedTable()


def write(run: RunDir, *, static: bool = False, brief: bool = False) -> Path:
    """Write results/report.html and, beside it, report.md; return the path of the first, which needs no other file.

    With `static`, pictures are drawn by matplotlib and the file holds no script at all. Maps are drawn from
    results/embeddings.h5ad, where `embed.embeddings` has written it. A `brief` one has no t-SNE.

    Raises:
        RunError: when the run cannot be read.
    """
    easel = Easel(run, static=static)
    told = _told(run, easel)
    shown = _shown(run, easel, brief)
    made_by = told["facts"]["gxsearch"]
    html = page.page("report.html", static=static, made_by=made_by, brief=brief, **told, **shown)
    write_atomic(run.report, html.encode())
    write_atomic(run.report_md, _flat(page.template("report.md").render(**told)).encode())
    give_back(run)
    return run.report


def _told(run: RunDir, easel: Easel) -> dict[str, Any]:
    """Return the words and tables of a report, for both of its forms."""
    facts = run.facts()
    best, found = leaderboard.chosen(run), several(run)
    return {
        "facts": facts,
        "path": run.path.name,
        "command": tables.command(facts),
        "verdict": verdict(run),
        "confirmation": _confirmation(run),
        "several": {"sentences": found.sentences(), "table": found.table()} if found else None,
        "board": tables.board(run, easel.importance),
        "tests": tables.tests(run),
        "best": best,
        "settings": tables.settings(facts, best, easel.importance),
        "insight": insight(run, easel.importance),
        "ablations": _ablations(run),
        "data": tables.data(facts["data"]),
        "repeat": tables.repeat(run),
    }


def _shown(run: RunDir, easel: Easel, brief: bool) -> dict[str, Any]:
    """Return the pictures of a report, and what else only its page has."""
    spec, found = run.facts()["spec"], several(run)
    return {
        "trades": gallery.trades(easel, found) if found else [],
        "course": gallery.course(easel, run),
        "importance": gallery.settings(easel, run),
        "slices": gallery.slices(easel, run),
        "too_few": gallery.too_few(easel),
        "terms": gallery.terms(easel, run),
        "latent": latent(easel, run, spec["model"], spec["data"]["label"], brief=brief),
        "curves": curves.pictures(run),
        "phenotypes": phenotypes(easel, run),
        "spec_text": run.spec.read_text(errors="replace") if run.spec.exists() else "",
    }


def _confirmation(run: RunDir) -> dict[str, Any] | None:
    """Return what became of the best trials when they were trained again: sentences, columns and rows; None of none.

    Raises:
        RunError: when results/confirm.json is not of that form.
    """
    if not run.confirmation.exists():
        return None
    try:
        found = Confirmed.model_validate_json(run.confirmation.read_bytes())
    except (OSError, ValueError) as error:
        what = f"cannot be read ({str(error).splitlines()[0]})"
        raise RunError.one("E631", str(run.confirmation), what, "remove it") from None
    return {"sentences": found.sentences, "columns": found.table.columns, "rows": found.table.rows}


def _ablations(run: RunDir) -> list[tuple[str, list[str]]]:
    """Return what changes of the best settings did: a heading and a line a measure."""
    told = ablations.past(run)
    return [(ablations.heading(one), [ablations.sentence(*row) for row in one["measures"].items()]) for one in told]


def _flat(text: str) -> str:
    """Return Markdown with no more than one blank line between its parts."""
    parts = [part.strip("\n") for part in text.split("\n\n")]
    return "\n\n".join(part for part in parts if part.strip()) + "\n"
