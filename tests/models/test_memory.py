"""Batches that do not fit into the memory: cut into parts, with the result of the whole."""

from __future__ import annotations

import pytest
import torch

from gxsearch.config import read
from gxsearch.data.batch import Batch
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.errors import TrialError
from gxsearch.models import registry
from gxsearch.training import memory
from gxsearch.training.loop import epochs
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, build

CALM = {
    "vae": {"dropout": 0.0, "mask_min": 0.0, "mask_width": 0.0, "beta": 0.0},
    "nbvae": {"dropout": 0.0, "decoder_dropout": 0.0, "input_dropout": 0.0, "norm": "layer", "beta": 0.0},
}
"""Settings without noise where the model has them, and without batch statistics."""
VIEW = {"fe": {"tile": 8}}


def trained(name: str, monkeypatch, fits: int | None, length: int = 2, **train) -> tuple[list[dict], list[int]]:
    """Train for two epochs on a machine into which so many examples fit; return metrics and sizes of what was read."""
    kind = registry.get(name)
    table = prepare(DataConfig(**kind.demo), where="test", layout=kind.View.layout)
    bench, device = Bench(table, torch.device("cpu")), torch.device("cpu")
    view_config, train = kind.demo.get("view", {}) | VIEW.get(name, {}), {"batch_size": 48, **train}
    job = Job(name, CALM.get(name, {}), train, view_config, length, 0, "val/loss", "min")
    view, examples = bench.view(job)
    model, config = build(job, view, table, started=False)
    sizes, forward = [], type(model).forward

    def limited(self, batch: Batch, progress: float):
        if fits is not None and self.training and len(batch.x) > fits:
            raise torch.OutOfMemoryError(f"tried to allocate {len(batch.x)} rows")
        sizes.extend([len(batch.x)] * self.training)
        return forward(self, batch, progress)

    monkeypatch.setattr(type(model), "forward", limited)
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # codes without noise
    runtime = LocalRuntime(device.type, threads=1)
    found = [metrics for metrics, _ in epochs(runtime, model, examples, config, length=length, seed=0)]
    monkeypatch.undo()
    return found, sizes


@pytest.mark.fault("F14")
@pytest.mark.parametrize(("name", "train"), [("nbvae", {}), ("fe", {"batch_size": 48 * 64})])
@pytest.mark.parametrize("fits", [24, 7])
def test_what_does_not_fit_is_trained_in_parts_with_the_same_result(monkeypatch, name, train, fits):
    whole, sizes = trained(name, monkeypatch, None, **train)

    cut, small = trained(name, monkeypatch, fits, **train)

    assert max(sizes) > fits >= max(small)
    assert "data/parts" not in whole[-1] and cut[-1]["data/parts"] >= max(sizes) / fits / 2
    for a, b in zip(whole, cut, strict=True):
        for key in ("train/loss", "val/loss", "val/r2"):
            assert b[key] == pytest.approx(a[key], rel=1e-5, abs=1e-5), key


def test_batches_that_are_accumulated_are_cut_too(monkeypatch):
    whole, _ = trained("nbvae", monkeypatch, None, accumulate=2)

    cut, _ = trained("nbvae", monkeypatch, 20, accumulate=2)

    assert cut[-1]["val/loss"] == pytest.approx(whole[-1]["val/loss"], rel=1e-5)


@pytest.mark.fault("F14")
def test_after_four_halvings_the_trial_is_told_to_fail(monkeypatch):
    with pytest.raises(TrialError, match=r"E703.*does not fit into the memory, not even in 16 parts.*batch_size"):
        trained("nbvae", monkeypatch, 0)


@pytest.mark.parametrize(("name", "config"), [("vae", {"contrast": "views"}), ("spatial", {})])
def test_a_loss_that_compares_rows_is_not_cut(monkeypatch, name, config):
    monkeypatch.setitem(CALM, name, config)

    with pytest.raises(TrialError, match="E703.*its loss compares the rows of a batch"):
        trained(name, monkeypatch, 1)


def test_a_batch_of_a_share_each_is_cut_with_all_that_belongs_to_its_rows():
    x_ng = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 0.0], [1.0, 4.0], [5.0, 0.0]])
    at = x_ng.nonzero().T
    batch = Batch(x_ng, library=torch.arange(5.0), nonzero=at, gene=torch.zeros(1, 2).long(), known=0.5)

    found = memory.parts(batch, 2)

    assert torch.equal(torch.cat([part.x for part in found]), x_ng)
    assert torch.equal(torch.cat([part.library for part in found]), batch.library)
    assert all(part.total == 10.0 and part.known == 0.5 and part.gene is batch.gene for part in found)
    for part in found:
        dense = torch.zeros_like(part.x)
        dense[part.nonzero[0], part.nonzero[1]] = part.x[part.nonzero[0], part.nonzero[1]]
        assert torch.equal(dense, part.x)


def test_means_of_their_own_count_by_their_rows():
    from gxsearch.models.base import Losses

    halves = [Losses({"nll": torch.tensor(v)}, {"nll": 2.0}, sizes={"nll": n}) for v, n in ((1.0, 10.0), (4.0, 20.0))]
    batch = Batch(torch.zeros(3, 1))

    assert memory.joined(halves).terms["nll"] == pytest.approx(3.0)
    assert memory.loss_of(halves[0], batch, 12) == pytest.approx(0.5)


def test_a_training_that_needs_no_parts_is_what_it_was(monkeypatch):
    kind = registry.get("nbvae")
    assert read(kind.Train, {}, "").accumulate == 1
    first, second = (trained("nbvae", monkeypatch, fits)[0] for fits in (None, 10**9))

    drop = ("time/epoch_s", "data/values_per_s")
    assert [{k: v for k, v in m.items() if k not in drop} for m in first] == [
        {k: v for k, v in m.items() if k not in drop} for m in second
    ]
