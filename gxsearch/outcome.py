"""Outcome: what `--json` tells at the end of a verb: figures as numbers, and where everything is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gxsearch.results import leaderboard, ledger
from gxsearch.results.far import shown
from gxsearch.results.several import several

if TYPE_CHECKING:
    from gxsearch.results.compare_dir import CompareDir
    from gxsearch.results.predict import Predicted
    from gxsearch.results.run_dir import RunDir
    from gxsearch.results.similar import Similar


def ending(run: RunDir) -> dict[str, Any]:
    """Return how a search ended.

    Keys: run, trials (state -> number), objective {metric, mode}, best {trial, value, epoch, params}, test (the best
    trial's measures on test rows), baselines (a row each), files; of several objectives also front (a row a trial).
    """
    objective, best = leaderboard.Objective.of(run), leaderboard.best(run)
    found = {
        "run": shown(run.path),
        "trials": dict(Counter(trial.state for trial in ledger.trials(run.ledger))),
        "objective": {"metric": objective.metric, "mode": objective.mode},
        "best": {"trial": best.number, "value": best.best, "epoch": best.best_epoch, "params": best.params},
        "test": leaderboard.scores(run),
        "baselines": leaderboard.baselines(run),
        "files": _files(run, "leaderboard", "best", "embeddings", "report"),
    }
    front = several(run)
    if front is not None:
        rows = front.frame()
        found["front"] = rows[rows["front"]].drop(columns="front").to_dict("records")
    return found


def compared(place: CompareDir) -> dict[str, Any]:
    """Return a comparison: its folder, all that comparison.json holds, and files."""
    from gxsearch.results.comparison import read

    return {"run": str(place.path), **read(place), "files": _files(place, "leaderboard", "best", "report")}


def _files(place: Any, *names: str) -> dict[str, str]:
    return {name: shown(getattr(place, name)) for name in names}


def genes(found: Similar) -> dict[str, Any]:
    """Return how genes are alike: model, measure, among (gene -> gene -> similarity), nearest (in order)."""
    nearest = {
        gene: [
            {"gene": other, "similarity": value} for other, value in zip(part["other"], part["similarity"], strict=True)
        ]
        for gene, part in found.nearest.groupby("gene", sort=False)
    }
    among = found.among.to_dict()
    return {"model": found.vectors.model, "measure": found.measure, "among": among, "nearest": nearest}


def embedded(adata: Any, out: str) -> dict[str, Any]:
    """Return what was added to an AnnData: file, rows, obsm and varm (names -> shapes)."""
    known = adata.uns["gxsearch"]
    obsm = {key: adata.obsm[key].shape for key in adata.obsm if key.removeprefix("X_").removesuffix("_umap") in known}
    varm = {key: adata.varm[key].shape for key in adata.varm if key in known}
    return {"file": out, "rows": adata.n_obs, "obsm": obsm, "varm": varm}


def generated(made: Any) -> dict[str, Any]:
    """Return how much was drawn: curves and how many of them are of centers; or cells and genes."""
    if hasattr(made, "n_obs"):
        return {"cells": made.n_obs, "genes": made.n_vars}
    return {"curves": len(made), "centers": int(made["center"].sum())}


def predicted(made: Predicted) -> dict[str, Any]:
    """Return of each phenotype of how many rows it was inferred, how many are known, and the share that is right."""
    told = {}
    for name, chance_nc in made.chances.items():
        known = made.known[name] != ""
        right = made.classes[name][chance_nc.argmax(1)] == made.known[name]
        share = float(right[known].mean()) if known.any() else None
        told[name] = {"rows": len(known), "known": int(known.sum()), "right": share, "classes": made.classes[name]}
    return told
