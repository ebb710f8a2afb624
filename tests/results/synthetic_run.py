"""A small finished run: four real trainings of `fe` on simulated bulk, and trials that stopped, diverged and failed."""

import json
from pathlib import Path

import torch

from gxsearch.data.table import DataConfig
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

EPOCHS = 4
DATA = {"path": "sim_bulk?n=60&g=30", "label": "cell_type", "batch": ["donor"]}
DOMAINS = {
    "model.sample_dim": {"kind": "int", "low": 2, "high": 8, "log": True, "step": 1},
    "train.lr": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True, "step": None},
    "model.hidden": {"kind": "choice", "options": [[8], [8, 8]]},
}
DRAWS = [
    {"model.sample_dim": 2, "train.lr": 0.01, "model.hidden": [8]},
    {"model.sample_dim": 4, "train.lr": 0.03, "model.hidden": [8, 8]},
    {"model.sample_dim": 3, "train.lr": 0.02, "model.hidden": [8]},
    {"model.sample_dim": 8, "train.lr": 0.001, "model.hidden": [8, 8]},
]


def spec_json(**changes):
    """Return the JSON of a spec, as far as results read it."""
    spec = {"gxsearch": 1, "path": "spec.yaml", "name": "fe-sim", "model": "fe"}
    spec |= {
        "data": DataConfig(**DATA).model_dump(mode="json"),
        "objective": {"metric": "val/entry_mse", "mode": "min"},
    }
    spec |= {"space": {"fixed": {"model.gene_dim": 6}}, "search": {"sampler": "tpe", "seed": 0}}
    spec |= {"stop": {"kind": "asha", "grace": 1}, "budget": {"trials": 7, "epochs": EPOCHS}, "notes": []}
    return spec | changes


def write_run(path: Path, facts: dict, **spec) -> RunDir:
    """Write the files of a run without trials."""
    run = RunDir(path)
    told = {"id": "0123abcd", "name": "fe-sim", "gxsearch": "0.1.0", "command": "gxsearch tune spec.yaml"}
    told |= {"created": "2026-11-20T10:00:00+00:00", "seed": 0, "versions": {"python": "3.11", "torch": "2.13"}}
    told |= {"spec": spec_json(**spec), "space_domains": DOMAINS, "data": facts}
    write_atomic(run.run, json.dumps(told).encode())
    return run


def job(draw: dict, epochs: int = EPOCHS, seed: int = 0) -> Job:
    """Return the training that a draw asks for."""
    model = {"gene_dim": 6, "sample_dim": draw["model.sample_dim"], "hidden": draw["model.hidden"]}
    train = {"lr": draw["train.lr"], "batch_size": 512}
    return Job("fe", model, train, {}, epochs, seed, "val/entry_mse", "min")


def train_all(run: RunDir, table) -> None:
    """Train the draws; the third counts for two of its epochs only, three more trials come to nothing."""
    bench, runtime, ledger = Bench(table, torch.device("cpu")), LocalRuntime("cpu"), Ledger(run.ledger)
    ledger.append("run_started", trials=7, concurrent=1)
    for number, draw in enumerate(DRAWS):
        ledger.append("trial_created", trial=number, params=draw, seed=number)
        history = []
        for metrics, _ in session(job(draw, seed=number), bench, runtime, run.checkpoints(number)):
            fields = {k: v for k, v in metrics.items() if k != "epoch"}
            ledger.append("epoch", trial=number, epoch=metrics["epoch"], metrics=fields)
            history.append(metrics)
        counted = 2 if number == 2 else EPOCHS
        last, state = history[counted - 1], "stopped" if number == 2 else "complete"
        ended = {"epochs": counted, "best": last["best"], "best_epoch": last["best_epoch"], "reason": ""}
        ledger.append("trial_ended", trial=number, state=state, seconds=1.0 + number, **ended)
    for number, (state, reason) in enumerate([("failed", "OOM"), ("diverged", "nan"), ("interrupted", "")], 4):
        ledger.append("trial_created", trial=number, params={**DRAWS[0], "train.lr": 0.09}, seed=number)
        ended = {"epochs": 0, "best": None, "best_epoch": 0, "reason": reason, "seconds": 0.5}
        ledger.append("trial_ended", trial=number, state=state, **ended)
    ledger.append("run_ended", state="done", reason="")
    ledger.close()
