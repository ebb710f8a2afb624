"""The three drivers of the loop give one result: this process, a trial's rank under Ray Train, a TorchTrainer."""

import dataclasses
from pathlib import Path

import pytest
import ray
import torch

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.errors import TrialError
from gxsearch.models import registry
from gxsearch.search.rank import Place, Stepper, train_here
from gxsearch.search.refit import refit
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, build, session

EPOCHS = 3


def pytest_generate_tests(metafunc):
    marked = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if "name" in metafunc.fixturenames and "name" not in marked:
        metafunc.parametrize("name", registry.names())


@pytest.fixture
def table(name):
    kind = registry.get(name)
    return prepare(DataConfig(**kind.demo), where="demo", layout=kind.View.layout, allow_negative=True)


@pytest.fixture
def job(name) -> Job:
    return Job(name, {}, {"batch_size": 1024 if name == "fe" else 32}, {}, EPOCHS, 0, "val/loss", "min")


@pytest.fixture
def expected(job, table) -> list[dict]:
    return [losses(m) for m, _ in session(job, Bench(table, torch.device("cpu")), LocalRuntime(threads=1))]


def losses(metrics: dict) -> dict:
    return {
        k: v
        for k, v in metrics.items()
        if k.startswith("val/") or k in ("train/loss", "epoch", "best", "best_epoch", "last")
    }


def draws_nothing(job: Job, table) -> bool:
    """Whether a model's training is free of noise, so that two workers can equal one."""
    view, examples = Bench(table, torch.device("cpu")).view(job)
    model, config = build(job, view, table, started=False)
    batch = next(iter(examples.train(config.batch_size, torch.Generator().manual_seed(0))))
    before = torch.get_rng_state()
    model.train()(batch, 0.5)
    return torch.equal(torch.get_rng_state(), before)


def test_a_rank_under_ray_train_needs_no_cluster_and_gives_the_losses_of_this_process(job, table, expected, tmp_path):
    heard: list[dict] = []
    running_before = ray.is_initialized()

    train_here(job, Bench(table, torch.device("cpu")), Place(1, 0), tmp_path, lambda m: heard.append(losses(m)) or True)

    assert heard == expected
    assert ray.is_initialized() == running_before


def test_a_stepper_gives_an_epoch_a_step_and_stops_when_told(job, table, expected, tmp_path):
    bench = Bench(table, torch.device("cpu"))
    stepper = Stepper(lambda report: train_here(job, bench, Place(1, 0), tmp_path, report))

    first, second = losses(stepper.next()), losses(stepper.next())
    stepper.stop()

    assert [first, second] == expected[:2]
    assert not (tmp_path / "checkpoints" / f"{EPOCHS:06d}").exists()


def test_what_a_training_raises_reaches_the_step(job, table, tmp_path):
    broken = dataclasses.replace(job, metric="val/nothing")
    bench = Bench(table, torch.device("cpu"))

    stepper = Stepper(lambda report: train_here(broken, bench, Place(1, 0), tmp_path, report))

    with pytest.raises(TrialError, match="E705.*val/nothing"):
        stepper.next()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_torch_trainer_gives_the_losses_of_this_process(slots, name, job, table, expected, tmp_path, workers):
    config = {"job": dataclasses.asdict(job), "folder": str(tmp_path / "trial")}
    Path(config["folder"]).mkdir()

    heard = [losses(m) for m in refit(config, ray.put(table), Place(1, 0, world_size=workers), f"{name}-{workers}")]

    assert [m["epoch"] for m in heard] == [1, 2, 3]
    alike = 1e-6 if workers == 1 else 2e-3 if draws_nothing(job, table) else 0.5  # ranks draw noise of their own
    for found, wanted in zip(heard, expected, strict=True):
        assert found.keys() == wanted.keys()
        assert found == pytest.approx(wanted, rel=alike)
    assert not list((tmp_path / "trial").glob("relay.*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_ends_by_itself_under_a_torch_trainer_too(slots, name, job, table, tmp_path, workers):
    ending = dataclasses.replace(job, train_config={"batch_size": 32, "patience": 2, "min_delta": 1e6}, epochs=9)
    config = {"job": dataclasses.asdict(ending), "folder": str(tmp_path)}

    heard = [m["last"] for m in refit(config, ray.put(table), Place(1, 0, world_size=workers), f"ending-{workers}")]

    assert heard == [0.0, 0.0, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy"])
def test_a_loss_that_is_not_finite_ends_a_torch_trainer_at_once(slots, name, job, table, tmp_path):
    exploding = dataclasses.replace(job, model_config={"explode_at": 2})
    config = {"job": dataclasses.asdict(exploding), "folder": str(tmp_path)}
    heard = []

    with pytest.raises(TrialError, match="E701.*became nan in epoch 2"):
        for metrics in refit(config, ray.put(table), Place(1, 0), "exploding"):
            heard.append(metrics["epoch"])

    assert heard == [1]
