"""What a user meets without Ray: exit code, one line, nothing lost (F08-F13, F19-F24, F29, F33-F35)."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from damage import damage, go_on
from shell import Command, count, one_line, refused, wait_for

from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.opening import reopen


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a training with its results."""
    from shell import TOY

    folder = tmp_path_factory.mktemp("trained")
    (folder / "toy.yaml").write_text(TOY)
    command = Command(folder, "train", "toy.yaml", "--name", "run", "-q")
    assert command.wait() == 0, command.err
    return folder


@pytest.fixture
def run(trained, folder) -> RunDir:
    """A copy of the training in the working folder."""
    return RunDir(shutil.copytree(trained / "runs" / "run", folder / "runs" / "run"))


def newest(run: RunDir) -> Path:
    return max(run.checkpoints(0).glob("[0-9]*"))


@pytest.mark.fault("F08", "F09")
@pytest.mark.parametrize("how", ["cut", "missing"])
def test_an_export_of_a_damaged_checkpoint_is_refused(run, call, how):
    if how == "cut":
        os.truncate(newest(run) / "model.safetensors", 100)
    else:
        shutil.rmtree(newest(run))

    refused(call("export", "runs/run", "-o", "model"), "E623" if how == "cut" else "E622")

    assert not Path("model").exists()


@pytest.mark.fault("F10")
def test_a_model_of_which_a_bit_turned_is_refused(run, call):
    damage(run.best / "model.safetensors", random.Random(3))

    assert "model.safetensors" in refused(
        call("embed", "runs/run/results/best", "sim_bulk?n=20&g=40", "-o", "x.h5ad"), "E623"
    )

    assert not Path("x.h5ad").exists()


@pytest.mark.fault("F11")
def test_a_folder_that_there_is_no_room_for_is_not_half_made(folder, start):
    command = start("train", "toy.yaml", "--name", "run", "-q", room=1500)

    assert command.wait() == 6
    assert "E607" in one_line(command) and "File too large" in one_line(command)
    assert not list((folder / "runs").iterdir())


@pytest.mark.fault("F11")
def test_a_training_whose_files_do_not_fit_ends_in_a_line_and_goes_on_when_they_do(folder, start):
    command = start("train", "toy.yaml", "--name", "run", "-q", room=5000)

    assert command.wait() == 7
    assert "E711" in one_line(command) and "gxsearch resume" in one_line(command)
    run = RunDir(folder / "runs" / "run")
    assert not [t for t in trials(run.ledger) if t.state == "failed"]
    go_on(reopen(run, {}))
    assert [(t.state, len(t.history)) for t in trials(run.ledger)] == [("complete", 8)]


@pytest.mark.fault("F19")
def test_a_name_that_is_taken_is_refused_and_what_it_names_untouched(run, call):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    assert "gxsearch resume" in refused(call("train", "toy.yaml", "--name", "run", "-q"), "E603")
    assert "gxsearch resume" in refused(call("tune", "toy.yaml", "--name", "run", "-q"), "E603")

    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.fault("F19")
def test_a_folder_in_which_no_search_was_begun_is_no_dead_end(folder, call):
    (folder / "runs" / "run").mkdir(parents=True)  # killed before it wrote anything

    assert "another --name" in refused(call("train", "toy.yaml", "--name", "run"), "E603")
    refused(call("resume", "runs/run"), "E601")


@pytest.mark.fault("F19")
def test_searches_that_begin_in_one_second_get_folders_of_their_own():
    from gxsearch.results.run_dir import fresh_name

    assert len({fresh_name("toy") for _ in range(50)}) > 45


@pytest.mark.fault("F20")
def test_a_search_that_runs_is_shown_and_not_gone_on_with(folder, start, call):
    command = start("train", "slow.yaml", "--name", "run", "-q", "-s", "budget.epochs=4000")
    run = RunDir(folder / "runs" / "run")
    wait_for(lambda: count(run, "epoch") >= 1, why=lambda: command.err)

    assert "another process is running this search" in refused(call("resume", "runs/run"), "E605")
    for verb in ("status", "trials"):
        assert call(verb, "runs/run")[0] == 0
    assert count(run, "run_resumed") == 0


@pytest.mark.fault("F22")
def test_a_copy_is_gone_on_with_where_it_is(run, call, trained):
    copy = shutil.copytree(run.path, run.path.with_name("copy"))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    shutil.rmtree(copy / "results")

    assert call("resume", "runs/copy", "-q")[0] == 0  # its training is done: its results are made again

    assert (copy / "results" / "report.html").exists()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.fault("F23")
def test_an_edit_that_would_change_the_trials_is_refused_at_its_line(run, call):
    run.spec.write_text(run.spec.read_text().replace("startup: 4", "startup: 5"))

    assert "spec.yaml:10" in refused(call("resume", "runs/run"), "E327")


@pytest.mark.fault("F29")
def test_more_gpus_than_there_are_is_told_at_once(folder, start):
    begun = os.times().children_user
    command = start("tune", "toy.yaml", "--gpus", "8", "--name", "run")

    assert command.wait() == 5
    assert "E502" in one_line(command) and not (folder / "runs").exists()
    assert os.times().children_user - begun < 10.0  # seconds of a CPU: those of a clock depend on who else uses it


@pytest.mark.fault("F34")
def test_a_torn_last_line_is_no_fault_and_a_damaged_one_is_told_by_number(run, call):
    whole = run.ledger.read_bytes()
    run.ledger.write_bytes(whole[:-20])
    for verb in ("status", "trials", "best"):
        assert call(verb, "runs/run")[0] == 0

    lines = whole.split(b"\n")
    run.ledger.write_bytes(b"\n".join([*lines[:3], lines[3][:-9], *lines[4:]]))
    for verb in ("status", "trials", "best", "export", "resume"):
        assert "ledger.jsonl:4" in refused(call(verb, "runs/run"), "E611")


@pytest.mark.fault("F03")
def test_what_a_killed_process_had_half_written_is_taken_away(run):
    halves = [run.checkpoints(0) / ".000009.123.tmp", run.checkpoints(0) / ".000009.123.old"]
    for half in halves:
        half.mkdir()
        (half / "model.safetensors").write_bytes(b"half")

    reopen(run, {}).close("done")

    assert not any(half.exists() for half in halves) and newest(run).exists()


@pytest.mark.fault("F01")
def test_a_trial_whose_process_dies_again_and_again_fails_alone():
    from types import SimpleNamespace

    from gxsearch.search.disk import Room
    from gxsearch.search.liaison import RETRIES, Draws, Stage

    told = []
    run = RunDir("nowhere")
    spec = SimpleNamespace(objective=SimpleNamespace(mode="min"))
    referee = SimpleNamespace(spec=spec, run=run, unfinished=[], ended=lambda *end: told.append(end))
    draws = Draws(SimpleNamespace(stage=Stage(referee, Room(run, 1, list), lambda trial: {}, numbers={"a": 3})))

    draws.on_trial_complete("a", error=False)
    draws.on_trial_complete("a", error=True)

    assert told == [(3, "failed", f"its process was lost {RETRIES + 1} times")]


@pytest.mark.fault("F21")
def test_two_trainings_of_one_name_share_nothing_that_ray_train_keeps(tmp_path, monkeypatch):
    from gxsearch.search import refit
    from gxsearch.search.rank import Place

    kept: list[tuple[Path, int]] = []

    class Trainer:
        def __init__(self, given: dict, name: str, scratch: str):
            self.place = Path(scratch)

        def fit(self) -> None:
            kept.append((self.place, len(list(self.place.iterdir()))))
            (self.place / "run-000").mkdir()  # where a training of this name would be gone on with

    monkeypatch.setattr(refit, "_trainer", Trainer)
    for _ in range(2):
        assert list(refit.refit({"folder": str(tmp_path)}, None, Place(cpus=1, gpus=0), "run-000")) == []

    (one, before), (other, then) = kept
    assert one != other and before == then == 0 and not one.exists() and not other.exists()
