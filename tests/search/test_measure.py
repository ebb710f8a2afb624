"""A dry run tells what trainings take, from a few steps of them; corners that fail or do not fit are named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gxsearch.cli import main
from gxsearch.data.batch import Batch
from gxsearch.errors import ResourceError, SpecError
from gxsearch.search import corners, dry, measuring, memory
from gxsearch.search.draw import job_of
from gxsearch.search.intake import dims, read_table
from gxsearch.search.sections import Budget, Confirm, Resources
from gxsearch.search.spec import load
from gxsearch.training.measure import Clock, Gauge, Sample, measure
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import build

ROOT = Path(__file__).parents[2]
GIB = 2**30
DRAW = {"model.latent_dim": 3, "train.lr": 0.01}
LAME = """\
gxsearch: 1
name: lame
model: toy
data: {path: "sim_bulk?n=120&g=40", label: cell_type}
objective: {metric: val/mse}
space:
  model:
    latent_dim: {choice: [2, 30000, 15000000]}
    fail: {choice: [false, true]}
    sleep: {choice: [0.0, 60.0]}
  train: {lr: {float: [1e-4, 1e-1], log: true}, batch_size: 32}
budget: {trials: 12, epochs: 8}
"""


class Rows(Sample):
    """Sixty batches to train on and forty to validate on, of five rows each; every one takes no time."""

    class _All:
        n_values = 60

        def steps(self, batch_size):
            return 60

        def train(self, batch_size, generator, *, rank=0, world_size=1):
            return (Batch(x=torch.zeros(5, 2)) for _ in range(60))

        def validation(self):
            return (Batch(x=torch.zeros(5, 2)) for _ in range(40))

    def __init__(self):
        super().__init__(self._All(), torch.device("cpu"), 200)


def test_a_measured_model_has_the_weights_of_a_trained_one(toy_spec, toy_table, tmp_path):
    spec, device = toy_spec(), torch.device("cpu")
    job, gauge = job_of(spec, DRAW, 0), Gauge(toy_table, device)

    found = measure(job, gauge, LocalRuntime("cpu"), tmp_path)

    model, _ = build(job, gauge.bench.view(job)[0], toy_table, started=False)
    assert found.parameters == sum(p.numel() for p in model.parameters()) == 3 * 40 + 3 + 40 * 3 + 40
    assert found.epoch_s > 0 and found.start_s >= 0 and found.card == 0 and not found.diverged


def test_a_training_that_diverges_is_measured_all_the_same(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.model.explode_at=1")

    found = measure(job_of(spec, DRAW, 0), Gauge(toy_table, torch.device("cpu")), LocalRuntime("cpu"), tmp_path)

    assert found.diverged and found.epoch_s > 0


def test_a_whole_epoch_is_put_together_from_its_parts():
    clock = Clock(epochs=2, whole_s=10.0, steps=20, train_s=4.0, batches=3, val_s=1.5, idle_s=0.5)

    assert clock.epoch_s(steps=100, batches=7) == pytest.approx(100 * 0.2 + 7 * 0.5 + (10 - 4 - 1.5 - 0.5) / 2)
    assert Clock(steps=2, train_s=1.0).epoch_s(10, 5) == pytest.approx(5.0)


def test_an_epoch_is_cut_after_whole_steps_of_the_optimizer_and_held_out_batches_are_counted():
    rows, generator = Rows(), torch.Generator()
    rows.limit(least=4, seconds=0.0, multiple=4)

    assert len(list(rows.train(5, generator))) == 4 and len(list(rows.validation())) == 1
    assert (rows.clock.steps, rows.clock.batches, rows.validations) == (4, 1, 40)
    rows.limit(least=1, seconds=3600.0, multiple=1)
    assert len(list(rows.train(5, generator))) == 60 and len(list(rows.validation())) == 40
    assert rows.clock.idle_s < 1.0


def test_held_out_batches_that_are_too_many_to_count_are_taken_from_the_rows(monkeypatch):
    rows = Rows()
    monkeypatch.setattr("gxsearch.training.measure.COUNTING_S", 0.0)

    rows.count()

    assert rows.validations == 200 / 5


def test_the_largest_and_the_slowest_corner_are_among_those_that_are_measured():
    spec = load(ROOT / "search_spaces" / "vae_smoke.yaml")
    sizes = dims(spec, read_table(spec))

    found, whole = corners.chosen(spec, sizes)

    assert len(found) == corners.MOST < whole == sum(1 for _ in spec.space.corners())
    names = {point.name: point for point in found}
    assert found[0].weights == max(point.weights for point in found)
    largest, slowest = names["largest"].params, names["slowest"].params
    assert largest["model.hidden"] == [1024, 512, 256] and largest["model.latent_dim"] == 64
    assert (largest["train.batch_size"], slowest["train.batch_size"]) == (128, 64)
    assert not {"lr=0.0001", "dropout=0.5"} & set(names)  # they change neither memory nor time


def test_draws_are_those_of_the_seed(toy_spec, toy_table):
    spec, other = toy_spec(), toy_spec("search.seed=1")
    sizes = dims(spec, toy_table)

    first, again, third = (corners.drawn(one, sizes) for one in (spec, spec, other))

    assert len(first) == corners.DRAWS and first == again != third
    fixed = toy_spec("space.model.latent_dim=2", "space.train.lr=0.01")
    assert len(corners.drawn(fixed, sizes)) == 1


def spec_of(budget: Budget, confirm: Confirm | None = None, **resources: float) -> SimpleNamespace:
    return SimpleNamespace(budget=budget, confirm=confirm or Confirm(), resources=Resources(**resources))


def test_the_estimate_is_trials_times_their_mean():
    spec = spec_of(Budget(trials=30, epochs=5), Confirm(top=2, seeds=3), gpus=0.5)

    told = dry.estimate(spec, [60.0, 120.0, 180.0], 4, price=2.0)

    assert told["trial_s"] == [120.0, 60.0, 180.0] and told["trials"] == [30, 6]
    assert told["trial_hours"] == pytest.approx(36 * 120 / 3600)
    assert told["gpu_hours"] == pytest.approx(1.2 / 2)
    assert told["wall_s"] == pytest.approx(36 * 120 / 4)
    assert told["price"] == pytest.approx(2.0 * 0.3) and told["cut"] is None


def test_time_cuts_a_search_or_sets_its_trials():
    cut = dry.estimate(spec_of(Budget(trials=30, epochs=5, time_s=600.0)), [120.0], 2, None)
    open_end = dry.estimate(spec_of(Budget(epochs=5, time_s=600.0)), [120.0], 2, None)

    assert cut["cut"] == 10 and cut["trials"] == [30, 0] and cut["price"] is None
    assert open_end["trials"] == [10, 0] and open_end["cut"] is None


def test_as_many_trials_fit_as_leave_room_for_the_data(toy_table, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda: 8 * GIB)

    assert memory.side_by_side(toy_table, GIB) == 5  # (8 - 0.4 of the driver) / (1 + 0.4)
    assert memory.side_by_side(toy_table, 9 * GIB) == 0


def rows(*states: str) -> dict:
    point = {"params": DRAW, "parameters": 7, "room": GIB, "why": "ValueError: no"}
    return {"device": "cpu", "points": [{"name": f"a{i}", "state": s, **point} for i, s in enumerate(states)]}


def test_a_corner_that_fails_is_a_fault_of_the_space_and_one_that_does_not_fit_of_the_machine():
    assert dry.fault(rows("measured", "slow"), "x.yaml") is None
    large, failed = dry.fault(rows("measured", "too large"), "x.yaml"), dry.fault(rows("too large", "raised"), "x.yaml")
    assert isinstance(large, ResourceError) and "the corner a1, 7 weights, does not fit into 1.0 GiB" in str(large)
    assert isinstance(failed, SpecError) and "E332] x.yaml: the corner a1 fails: ValueError: no" in str(failed)


def test_a_process_that_tells_nothing_is_told_of(toy_spec, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(RuntimeError, match="the process that measures ended with code 1: it said nothing"):
        list(measuring.findings(toy_spec(), [DRAW], device="cpu"))


def test_corners_are_measured_and_those_that_fail_do_not_fit_or_never_end_are_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "lame.yaml").write_text(LAME)
    monkeypatch.setattr(memory, "total", lambda: 2 * GIB)
    monkeypatch.setattr(dry, "drawn", lambda spec, sizes: [])

    with pytest.raises(SystemExit) as stop:
        main(["check", str(tmp_path / "lame.yaml"), "--measure", "--within", "5", "--json"])

    out, err = capsys.readouterr()
    told = {row["name"]: row for row in json.loads(out)["measured"]["points"]}
    assert stop.value.code == 3
    assert told["fail=True"]["why"] == "RuntimeError: the toy was told to fail"
    assert told["latent_dim=15000000"]["state"] == "too large" and told["sleep=60"]["state"] == "slow"
    assert told["middle"]["parameters"] == 2 * 40 + 2 + 40 * 2 + 40 and json.loads(out)["measured"]["estimate"] is None
    wide = told["latent_dim=30000"]
    weights = 4 * wide["parameters"]
    assert weights == 4 * (30_000 * (40 + 1 + 40) + 40)
    assert 4 * weights <= wide["memory"] <= 8 * weights  # weights, gradients, two moments; and the checkpoint's copies
    assert told["middle"]["memory"] < weights
    assert "error[E332]" in err and "the corner fail=True fails: RuntimeError: the toy was told to fail" in err
    assert "error[E513]" in err and "the corner latent_dim=15000000, 1,215,000,040 weights, does not fit into" in err


def test_check_tells_what_a_search_takes(monkeypatch, capsys):
    monkeypatch.setattr(corners, "MOST", 2)
    monkeypatch.setattr(corners, "DRAWS", 1)
    sets = ["-s", "budget.time=1s", "-s", "budget.trials=1000"]

    main(["check", str(ROOT / "search_spaces" / "fe_smoke.yaml"), "--measure", "--price", "2", "-q", *sets])

    out, err = capsys.readouterr()
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert not err and out.endswith("ok\n")
    assert "2 of 20 corners, the largest and slowest among them, and 1 draws at random, on 1 CPU" in lines["measured"]
    assert "23,739" in lines["largest"] and "by CPUs" in lines["fits"] and "by memory" in lines["fits"]
    assert "1,000 trials of" in lines["search"] and "trial-hours" in lines["search"]
    assert "budget.time 1 s ends it after about" in lines["budget.time"] and "hours of a machine" in lines["price"]


@pytest.mark.parametrize("options", [["--price", "1"], ["--within", "9"], ["--measure", "--no-data"]])
def test_what_is_of_a_dry_run_only_is_refused_without_one(options, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["check", str(ROOT / "search_spaces" / "fe_smoke.yaml"), *options])

    assert stop.value.code == 2 and "--measure" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_card_is_measured(toy_spec):
    (found,) = measuring.findings(toy_spec("resources.gpus=1"), [DRAW], device="cuda")

    assert found.state == "measured" and 0 < found.card < found.card_total
