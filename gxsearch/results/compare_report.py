"""The report of a comparison: one page that works offline, the same as Markdown, and leaderboard.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gxsearch.data import h5ad
from gxsearch.results import compare_words as words
from gxsearch.results import leaderboard as boards
from gxsearch.results import maps, page
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.gallery import Easel, Picture, drawing
from gxsearch.results.latent import ColoredMaps, colored
from gxsearch.results.run_dir import write_atomic


def write(place: CompareDir, told: dict[str, Any], *, static: bool = False) -> Path:
    """Write results/report.html, report.md and leaderboard.csv of a comparison; return the path of the page.

    Raises:
        RunError: when one of its runs cannot be read.
    """
    facts = place.facts()
    names = [entry["name"] for entry in facts["entries"]]
    easel = Easel(place.run(names[0]), static=static)
    data = place.run(names[0]).facts()["data"]
    values = {
        "facts": facts,
        "told": told,
        "words": words.verdict(told),
        "budgets": words.budgets(told),
        "columns": words.columns(told),
        "rows": words.rows(told),
        "settings": _settings(told),
        "data": _data(data, told),
        "path": place.path.name,
    }
    shown = {"dots": dots(easel, told), "maps": _maps(easel, place, names)}
    html = page.page("compare.html", static=static, made_by=facts["gxsearch"], **values, **shown)
    write_atomic(place.report, html.encode())
    write_atomic(place.report_md, page.template("compare.md").render(**values).encode())
    frame = pd.DataFrame(words.flat(told))
    text = frame.rename(columns=boards.cell).map(boards.cell).to_csv(index=False, lineterminator="\n")
    write_atomic(place.leaderboard, text.encode())
    return place.report


def dots(easel: Easel, told: dict[str, Any]) -> Picture:
    """Draw the measure that decides: a row a contender, a dot a training, on validation and on test rows."""
    by = told["by"]
    frame = pd.DataFrame(
        [
            {"name": row["name"], "part": part, "value": value, "kind": row["kind"]}
            for row in told["rows"]
            for part in ("val", "test")
            for value in row[part].get(by, [])
        ]
    )
    caption = f"{by}: {told['meaning']}. A dot is a training; filled: test rows, open: validation rows."
    return easel.picture(lambda: drawing().dots(frame, by), lambda static: static.dots(frame, by), caption)


def _maps(easel: Easel, place: CompareDir, names: list[str]) -> ColoredMaps | None:
    """Draw the embedding of each search's own best trial, and principal components, colored by the label."""
    found, label = [], None
    for name in names:
        run = place.run(name)
        model, label = run.facts()["spec"]["model"], label or run.facts()["spec"]["data"]["label"]
        drawn = maps.row_maps(run, h5ad.read(run.embeddings, str(run.embeddings)), model)
        found += drawn[:1] if found else drawn
    shared = [one for one in found if label in one.points]
    return colored(easel, shared, label, small=True) if shared else None


def _settings(told: dict[str, Any]) -> list[list[str]]:
    """Return the settings that each architecture was trained again with."""
    return [
        [
            row["name"],
            ", ".join(f"{name.partition('.')[2]} {page.short(v)}" for name, v in row["facts"]["params"].items()),
        ]
        for row in told["rows"]
        if row["kind"] == "model"
    ]


def _data(facts: dict[str, Any], told: dict[str, Any]) -> list[tuple[str, str]]:
    held = told["held_out"]
    known = {
        "source": facts.get("source"),
        "rows judged by": ", ".join(f"{part} {n:,}" for part, n in held.items()),
        "sha256 of the data": facts.get("sha256"),
        "sha256 of the split": facts.get("split_sha256"),
    }
    return [(name, str(value)) for name, value in known.items() if value]
