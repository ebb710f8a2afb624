"""Precisions of a training: each gives nearly what fp32 does, and goes on as if it had never stopped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gxsearch.config import read
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.models import registry
from gxsearch.models.base import TrainConfig
from gxsearch.training import checkpoint, precision
from gxsearch.training.loop import epochs
from gxsearch.training.precision import Steps, without_subnormals
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, build

RUNTIME = LocalRuntime("cpu", threads=1)


def training(name: str, how: str, resume=None, length: int = 2, **train):
    """Train a model on its demo data; yield each epoch's metrics and state."""
    kind = registry.get(name)
    columns = kind.View.columns(kind.View.Config(**kind.demo.get("view", {})))
    options = {"layout": kind.View.layout, "allow_negative": True, "extra_obs": columns}
    table = prepare(DataConfig(**kind.demo), where="test", **options)
    train = {"batch_size": 1024 if name == "fe" else 64, "precision": how, **train}
    job = Job(name, {}, train, kind.demo.get("view", {}), length, 0, "val/loss", "min")
    view, examples = Bench(table, RUNTIME.device).view(job)
    model, config = build(job, view, table, started=resume is not None)
    for metrics, state in epochs(RUNTIME, model, examples, config, length=length, seed=0, resume=resume):
        yield metrics, state()


@pytest.mark.parametrize("name", ["fe", "vae", "nbvae"])
def test_half_precision_trains_nearly_as_fp32_does(name):
    *_, (half, _) = training(name, "fp16")
    *_, (full, _) = training(name, "fp32")

    assert half["val/loss"] == pytest.approx(full["val/loss"], rel=0.02)
    assert half["val/loss"] != full["val/loss"], "it was not in half precision"


def test_what_is_resumed_goes_on_at_the_scale_that_was_reached(tmp_path):
    whole, written = [], tmp_path / "000001"
    for metrics, state in training("vae", "fp16", length=3):
        whole.append(metrics["val/loss"])
        if not written.exists():
            checkpoint.write(written, state)

    state = checkpoint.read(written)
    rest = [metrics["val/loss"] for metrics, _ in training("vae", "fp16", resume=state, length=3)]

    assert state.record["scale"]["scale"] > 1
    assert rest == whole[1:]


@pytest.mark.parametrize(("how", "scale"), [("fp16", 2.0**9), ("fp32", None)])
def test_a_step_whose_gradients_overflow_is_left_out_in_half_precision(how, scale):
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.item()
    steps = Steps(
        torch.optim.SGD(layer.parameters(), lr=1.0), torch.device("cpu"), read(TrainConfig, {"precision": how}, "")
    )

    steps.backward(layer(torch.tensor([[torch.inf]])).sum())
    steps.step(layer)

    assert steps.state().get("scale") == scale
    assert (layer.weight.item() == before) == (how == "fp16")


def test_the_norm_of_the_gradient_is_clipped_at_its_true_size():
    config = read(TrainConfig, {"precision": "fp16", "grad_clip": 0.5}, "")
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.item()
    steps = Steps(torch.optim.SGD(layer.parameters(), lr=1.0), torch.device("cpu"), config)

    steps.backward(layer(torch.tensor([[4.0]])).sum())
    steps.step(layer)

    assert before - layer.weight.item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("how", "lets"), [("tf32", True), ("fp32", False), ("bf16", False)])
def test_products_are_rounded_to_tf32_only_where_asked_for_and_not_in_the_next_trial(how, lets):
    precision.set_tf32("tf32" if not lets else "fp32")

    precision.set_tf32(how)

    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == lets


@pytest.mark.parametrize(
    ("device", "workers", "asked", "shared"),
    [("cuda", 2, True, True), ("cuda", 1, True, False), ("cpu", 2, True, False), ("cuda", 2, False, False)],
)
def test_batch_norms_are_shared_by_the_workers_on_gpus(device, workers, asked, shared):
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2)))
    runtime = SimpleNamespace(device=torch.device(device), world_size=workers)
    names = list(model.state_dict())

    model = precision.one_norm(model, read(TrainConfig, {"sync_batchnorm": asked}, ""), runtime)

    assert isinstance(model[1][0], nn.SyncBatchNorm) == shared
    assert list(model.state_dict()) == names, "checkpoints are read with and without"


@without_subnormals()
def half_of_the_smallest():
    return (torch.tensor(torch.finfo(torch.float32).tiny) / 2).item()


def test_subnormal_numbers_are_zero_while_a_model_works_and_not_after_it():
    def told():
        return (torch.tensor(torch.finfo(torch.float32).tiny) / 2).item()

    assert told() > 0
    with without_subnormals():
        assert half_of_the_smallest() == 0
        assert told() == 0
    assert told() > 0
