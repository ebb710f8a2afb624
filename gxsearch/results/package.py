"""Package: a trained model with all it needs to read new data, from a run's checkpoint or an exported folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from gxsearch.config import read as read_config
from gxsearch.data.manifest import verified
from gxsearch.data.orient import turned
from gxsearch.data.table import DataConfig, Table
from gxsearch.data.view import View
from gxsearch.errors import RunError
from gxsearch.models.base import GeneModel
from gxsearch.results import far, leaderboard
from gxsearch.results.ledger import TrialRecord, trials
from gxsearch.results.run_dir import RunDir, is_number
from gxsearch.training import checkpoint
from gxsearch.training.embedding import embed_table
from gxsearch.training.session import Job, revive

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
GENES = "genes.txt"
VIEW = "view.json"
METRICS = "metrics.json"
JOB = ("model", "params", "train", "view", "epochs", "seed", "metric", "mode", "also")
"""What config.json calls the fields of a `Job`, in their order."""


@dataclass(frozen=True, repr=False)
class Package:
    """A model in eval mode and the way to it from an AnnData.

    Attributes:
        data: how the training table was prepared; new data is prepared alike.
        facts: what was measured of the training table, JSON values.
        origin: run id and name, trial, epoch, seed, searched settings, version; JSON values.
        metrics: measures of the epoch, ``val/`` and, for a search's best trial, ``test/``.
        weights, record: what the checkpoint held.
        key_added: what an AnnData calls it; by default the architecture.
    """

    model: GeneModel
    view: View
    job: Job
    data: DataConfig
    facts: dict[str, Any]
    origin: dict[str, Any]
    metrics: dict[str, Any]
    weights: dict[str, Tensor]
    record: dict[str, Any]
    key_added: str | None = None

    def __repr__(self) -> str:
        trial = (
            f"trial {self.origin['trial']} of {self.origin['name']}, epoch {self.origin['epoch']}"
            if self.origin
            else ""
        )
        return f"{self.name} of {len(self.genes):,} {'samples' if self.turned else 'genes'}   {trial}".rstrip()

    @property
    def name(self) -> str:
        """Name of the architecture."""
        return self.job.model

    @property
    def key(self) -> str:
        """The key of all that it adds to an AnnData."""
        return self.key_added or self.name

    @property
    def genes(self) -> np.ndarray:
        """Gene names in the model's order (g,); those of its samples where genes are the rows (`turned`)."""
        return self.view.genes

    @property
    def turned(self) -> bool:
        """Whether the rows that the model reads are genes (data.orientation)."""
        return turned(self.data)

    def embed(self, adata: AnnData, *, device: str = "cpu") -> np.ndarray:
        """Return a vector per row of `adata` (n, k); per gene of the model where its view embeds genes, and per gene of
        `adata` where the model reads genes as rows.

        Raises:
            DataError: when genes are missing or the values are not of the kind that the model was trained on.
        """
        return self.embed_table(self.read(adata), device=device)

    def embed_table(self, table: Table, *, device: str = "cpu") -> np.ndarray:
        """Return the vectors (n, k) of a table that is prepared already."""
        return embed_table(self.model, self.view, table, torch.device(device))

    def read(self, adata: AnnData) -> Table:
        """Return new data as a table, prepared as the training data was."""
        from gxsearch.data.prepare import like

        kind = type(self.view)
        extra = kind.columns(read_config(kind.Config, self.job.view_config, "", "data.view"))
        options = {"where": "new data", "layout": kind.layout, "extra_obs": extra}
        return like(self.data, self.facts, adata, None if kind.axis == "var" else self.genes, **options)


def of_run(run: RunDir, number: int | None = None) -> Package:
    """Return the model of a run's best trial, or of another, at its best epoch that counts.

    Raises:
        RunFailed: when no trial may win.
        RunError: when there is no such trial, it has no epoch, or its checkpoint is missing or damaged.
    """
    trial = leaderboard.best(run) if number is None else leaderboard.find(run, number)
    state = _checkpoint(run, trial)
    record = {key: state.record[key] for key in ("job", "dims", "view", "epoch")}
    facts = run.facts()
    parts = (DataConfig(**facts["spec"]["data"]), facts["data"], _origin(facts, trial), _metrics(run, trial))
    return _revived(state.model, record, *parts, where=str(run.trial(trial.number)))


def of_training(state: checkpoint.State, facts: dict[str, Any]) -> Package:
    """Return the model of a checkpoint of a training with a run's settings (`facts`: its run.json) outside of it."""
    record = {key: state.record[key] for key in ("job", "dims", "view", "epoch")}
    parts = (DataConfig(**facts["spec"]["data"]), facts["data"], {}, state.record["metrics"])
    return _revived(state.model, record, *parts, where="the training")


def load(path: str | Path) -> Package:
    """Read an exported model folder; nothing in it is executed.

    Raises:
        RunError: when it is no whole export of ours, or a byte differs from what was written.
    """
    folder = Path(path)
    files = verified(folder)
    try:
        config, view = json.loads(files[CONFIG]), json.loads(files[VIEW])
        job = Job(*(config[key] for key in JOB[:-1]), also=config.get("also", []))
        record = {
            "job": dataclasses.asdict(job),
            "dims": config["dims"],
            "view": view["state"],
            "epoch": config["epoch"],
        }
        parts = (DataConfig(**view["data"]), view["facts"], config["origin"], json.loads(files[METRICS]))
        weights = load_tensors(files[WEIGHTS])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise RunError.one("E632", str(folder), f"not an exported model ({error!r})", "gxsearch export RUN") from None
    return _revived(weights, record, *parts, where=str(folder))


def open_package(source: str | os.PathLike[str] | Package) -> Package:
    """Return the model of a run folder's best trial, of a trial (RUN/NNN), or of an exported folder."""
    if isinstance(source, Package):
        return source
    path = Path(far.near(os.fspath(source)))
    if RunDir(path).run.is_file():
        return of_run(RunDir.open(path))
    if is_number(path.name) and RunDir(path.parent).run.is_file():
        return of_run(RunDir.open(path.parent), int(path.name))
    return load(path)


def _checkpoint(run: RunDir, trial: TrialRecord) -> checkpoint.State:
    """Read the best epoch that counts; a stopped trial may have gone on to better ones, which do not."""
    where = str(run.trial(trial.number))
    counted = [int(metrics["epoch"]) for metrics in trial.history]
    if trial.best_epoch not in counted:
        raise RunError.one("E633", where, "the trial has no epoch that counts", "choose another: gxsearch trials RUN")
    folder = run.checkpoints(trial.number) / f"{trial.best_epoch:06d}"
    far.fetch(folder)
    keep = run.facts()["spec"].get("resources", {}).get("keep", math.inf)
    if len(trials(run.ledger)) > keep and not (folder.parent.is_dir() and any(folder.parent.iterdir())):
        fix = "set resources.keep higher the next time; or: gxsearch train SPEC --trial RUN/NNN"
        raise RunError.one("E637", where, "the weights of this trial were not kept: others did better", fix)
    state = checkpoint.read(folder)
    if state.record.get("epoch") != trial.best_epoch:
        what = f"the checkpoint of epoch {trial.best_epoch} says that it is of epoch {state.record.get('epoch')}"
        raise RunError.one("E634", where, what, "gxsearch train RUN/TRIAL makes a new one")
    return state


def _revived(weights: dict[str, Tensor], record: dict[str, Any], *parts: Any, where: str) -> Package:
    try:
        model, view, job = revive(weights, record)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError.one("E635", where, f"the weights do not fit this version's model ({reason})") from None
    return Package(model, view, job, *parts, weights, record)


def _origin(facts: dict[str, Any], trial: TrialRecord) -> dict[str, Any]:
    run = {"run": facts["id"], "name": facts["name"], "gxsearch": facts["gxsearch"], "versions": facts["versions"]}
    params = {"params": trial.params, "seed": trial.seed}
    return {**run, "trial": trial.number, "epoch": trial.best_epoch, "state": trial.state, **params}


def _metrics(run: RunDir, trial: TrialRecord) -> dict[str, Any]:
    """Return the measures of the epoch; those on test rows were taken of the best trial only."""
    is_best = leaderboard.best(run).number == trial.number if trial.ranked else False
    return leaderboard.at_best(trial) | (leaderboard.scores(run) if is_best else {})
