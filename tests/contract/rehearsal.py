"""The demo data of an architecture, prepared once, and a short training on it."""

from functools import cache
from pathlib import Path

import torch

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.data.view import View
from gxsearch.models import registry
from gxsearch.models.base import GeneModel
from gxsearch.training.loop import Metrics
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

CPU = torch.device("cpu")
NOT_REPEATED = ("time/epoch_s", "data/values_per_s", "saved")


@cache
def demo_table(name: str) -> Table:
    """Return the demo data of an architecture."""
    kind = registry.get(name)
    columns = kind.View.columns(kind.View.Config(**kind.demo.get("view", {})))
    options = {"layout": kind.View.layout, "allow_negative": True, "extra_obs": columns}
    return prepare(DataConfig(**kind.demo), where="demo", **options)


def make_job(name: str, *, seed: int = 0, epochs: int = 4) -> Job:
    """Return a job of an architecture's defaults, on the view that its demo asks for."""
    return Job(name, {}, {}, registry.get(name).demo.get("view", {}), epochs, seed, "val/loss", "min")


def train(
    job: Job, table: Table, folder: Path | None = None, *, stop_after: int | None = None
) -> tuple[list[Metrics], GeneModel, View]:
    """Train; return every epoch's metrics that a repeat must give again, the model and the view."""
    torch.set_num_threads(1)
    bench, history = Bench(table, CPU), []
    epochs = session(job, bench, LocalRuntime(), folder)
    for metrics, trained in epochs:
        model = trained
        history.append({name: value for name, value in metrics.items() if name not in NOT_REPEATED})
        if len(history) == stop_after:
            epochs.close()
    return history, model, bench.view(job)[0]
