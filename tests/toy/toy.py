"""A sixth architecture in one file: a linear autoencoder of rows; the tests add it through GXSEARCH_MODELS."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, Examples, View, align
from gxsearch.models.base import GeneModel, Losses, Rhythm, TrainConfig
from gxsearch.models.registry import register


class RowExamples(Examples):
    def __init__(self, table: Table, device: torch.device):
        self._x_ng = torch.from_numpy(np.array(table.x_ng, dtype=np.float32)).to(device)
        self._train = torch.from_numpy(table.rows("train")).to(device)
        self._val = torch.from_numpy(table.rows("val")).to(device)
        self.n_values = len(self._train) * self._x_ng.shape[1]

    def steps(self, batch_size: int) -> int:
        return math.ceil(len(self._train) / batch_size)

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        order = torch.randperm(len(self._train), generator=generator).to(self._train.device)
        for rows in self._train[order].split(batch_size):
            total = torch.tensor(len(rows) / world_size)
            yield Batch(x=self._x_ng[rows[rank::world_size]], total=total)

    def validation(self) -> Iterator[Batch]:
        yield Batch(x=self._x_ng[self._val])


class Rows(View):
    class Config(Config):
        pass

    def __init__(self, genes: list[str], n_rows: int):
        self._genes, self._n_rows = genes, n_rows

    @classmethod
    def fit(cls, table: Table, config: Config) -> Rows:
        return cls(table.var_names.tolist(), len(table.rows("train")))

    def state(self) -> dict:
        return {"genes": self._genes, "n_rows": self._n_rows}

    @classmethod
    def load(cls, state: dict) -> Rows:
        return cls(state["genes"], state["n_rows"])

    @property
    def dims(self) -> Dims:
        return Dims(n_rows=self._n_rows, n_genes=len(self._genes))

    @property
    def genes(self) -> np.ndarray:
        return np.array(self._genes)

    def examples(self, table: Table, device: torch.device) -> RowExamples:
        return RowExamples(table, device)

    def cut(self, table: Table, device: torch.device) -> Iterator[Batch]:
        x_ng = align(table.dense().x_ng, table.var_names, self.genes, table.facts.get("source", "table"))
        yield Batch(x=torch.from_numpy(np.array(x_ng)).to(device))


@register("toy")
class Toy(GeneModel):
    """x_hat = W_d (W_e x + a) + b."""

    class Config(Config):
        latent_dim: int = knob(2, doc="length of a row's vector", low=1)
        explode_at: int = knob(0, doc="epoch whose measure is not finite; 0 for none", low=0)
        explode_to: Literal["nan", "inf", "-inf"] = knob("nan", doc="what it is instead")
        explode_in: Literal["validation", "training"] = knob("validation", doc="where: measured, or in the loss itself")
        tells: Literal["numbers", "nothing", "none", "text", "odd none", "odd text"] = knob(
            "numbers", doc="what it gives for its mse, or for the measure beside it"
        )
        fail: bool = knob(False, doc="raise in the first step")
        die_at: int = knob(0, doc="epoch that the process does not survive the first time; 0 for none", low=0)
        hang_at: int = knob(0, doc="epoch in which the process hangs the first time; 0 for none", low=0)
        sleep: float = knob(0.0, doc="seconds that an epoch takes besides", low=0.0)
        meet: str = knob("", doc="folder in which an epoch waits until two processes have been; none when empty")
        warmup: float = knob(0.0, doc="share of the training before trials may be judged", low=0.0, high=1.0)
        cycle: float = knob(0.0, doc="length of a cycle, as a share of the training; 0 for none", low=0.0, high=1.0)

    Train = TrainConfig
    View = Rows
    metrics = {"mse": "min", "r2": "max", "pearson": "max", "loss": "min"}
    reference = "none: a test"
    demo = {"path": "sim_bulk?n=120&g=80", "label": "cell_type"}

    def __init__(self, config: Config, dims: Dims):
        super().__init__(config, dims)
        self.epochs_seen = 0
        self.encoder, self.decoder = (
            nn.Linear(dims.n_genes, config.latent_dim),
            nn.Linear(config.latent_dim, dims.n_genes),
        )

    @classmethod
    def rhythm(cls, config: Config) -> Rhythm:
        return Rhythm(config.warmup, config.cycle)

    def forward(self, batch: Batch, progress: float) -> Losses:
        if self.config.fail:
            raise RuntimeError("the toy was told to fail")
        prediction = self.decoder(self.encoder(batch.x))
        rows = batch.total if batch.total is not None else len(batch.x)
        mse = (prediction - batch.x).square().sum() / (rows * batch.x.shape[1])
        if not self.training:
            self.epochs_seen += 1
            self._misbehave()
        if self._explodes():
            mse = mse * 0.0 + float(self.config.explode_to)
        name, told = self._told(mse)
        return Losses({name: told}, {name: 1.0}, prediction, batch.x)

    def _explodes(self) -> bool:
        here = (self.config.explode_in == "training") == self.training
        return here and self.epochs_seen + self.training == self.config.explode_at

    def _told(self, mse: Tensor) -> tuple[str, Any]:
        odd = {"nothing": ("another", mse), "none": ("mse", None), "text": ("mse", "low")}
        return odd.get(self.config.tells, ("mse", mse))

    def _misbehave(self) -> None:
        time.sleep(self.config.sleep)
        if self.config.meet:
            self._meet(Path(self.config.meet))
        if self.epochs_seen == self.config.die_at:  # counted in this process: it survives when it is resumed
            os.kill(os.getpid(), signal.SIGKILL)
        if self.epochs_seen == self.config.hang_at:
            time.sleep(3600)

    def _meet(self, folder: Path) -> None:
        (folder / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while len(list(folder.iterdir())) < 2:
            assert time.monotonic() < until, "nobody else came"
            time.sleep(0.01)

    def measures(self) -> dict[str, Any]:
        return {"odd": {"odd none": None, "odd text": "high"}.get(self.config.tells, 0.0)}

    def embed(self, batch: Batch) -> Tensor:
        return self.encoder(batch.x)
