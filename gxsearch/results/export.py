"""Export: a trial's model as a folder of weights, JSON and a model card, in the layout of a Hugging Face hub."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gxsearch.data.manifest import MANIFEST
from gxsearch.data.tokens import TokensView
from gxsearch.errors import RunError, UnsafeError
from gxsearch.models import registry
from gxsearch.results import leaderboard, package
from gxsearch.results.card import card, shown
from gxsearch.results.far import give_back
from gxsearch.results.package import CONFIG, GENES, JOB, METRICS, VIEW, WEIGHTS, Package, load
from gxsearch.results.run_dir import RunDir
from gxsearch.training import checkpoint
from gxsearch.training.session import exported_weights

__all__ = ["export", "load"]

CARD = "README.md"
TOKENIZER = "tokenizer.json"
"""What a model of tokens has beside; view.json holds the same, so that it is for other programs to read."""


def export(run: RunDir, number: int | None = None, out: str | Path | None = None) -> Path:
    """Write the model of the best trial, or of trial `number`, at its best epoch; return the folder.

    The folder is `out`, or results/best, or results/exports/NNN. It holds config.json, model.safetensors,
    genes.txt (one id per line, in the model's order), view.json, metrics.json, README.md, of a model of tokens
    tokenizer.json, and manifest.json (the sha256 of the others). An earlier export there is replaced at once; nothing
    else is.

    Raises:
        RunFailed: when no trial may win.
        RunError: when the trial or its checkpoint is missing or damaged, or `out` holds something else.
        UnsafeError: when `out` is a link.
    """
    folder = Path(os.path.abspath(out)) if out is not None else run.best if number is None else run.exported(number)
    _check_target(folder)
    checkpoint.publish(folder, files(package.of_run(run, number), leaderboard.baselines(run)))
    give_back(run)
    return folder


def files(found: Package, baselines: Sequence[dict[str, Any]] = ()) -> dict[str, bytes | dict[str, Tensor]]:
    """Return the files of an exported folder by name, without the manifest; `baselines` stand in the model card."""
    data = {**found.data.model_dump(mode="json"), "path": shown(found.data.path)}
    facts = {**found.facts, **({"source": shown(found.facts["source"])} if found.facts.get("source") else {})}
    view = {"data": data, "facts": facts, "state": found.record["view"]}
    return {
        CONFIG: _json(_config(found)),
        WEIGHTS: exported_weights(registry.get(found.name), found.weights),
        GENES: "".join(f"{' '.join(name.split())}\n" for name in found.genes.tolist()).encode(),
        VIEW: _json(view),
        METRICS: _json(found.metrics),
        CARD: card(found, baselines).encode(),
        **({TOKENIZER: found.view.tokenizer.to_json().encode()} if isinstance(found.view, TokensView) else {}),
    }


def _config(found: Package) -> dict[str, Any]:
    head = {"gxsearch": found.origin["gxsearch"], "library_name": "gxsearch"}
    job = dict(zip(JOB, dataclasses.astuple(found.job), strict=True))
    return {**head, **job, "dims": found.record["dims"], "epoch": found.record["epoch"], "origin": found.origin}


def _check_target(folder: Path) -> None:
    if folder.is_symlink():
        raise UnsafeError.one("E810", str(folder), "the export folder is a link", "give the folder it points to")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or not (folder / MANIFEST).is_file() or not (folder / VIEW).is_file():
        raise RunError.one("E636", str(folder), "is there already and is no export of ours", "give another -o")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
