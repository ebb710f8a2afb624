"""Runs on object storage, on one machine and on two: the same as on a disk, whatever happens on the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cut_short import RUNS, Cut, crash

import gxsearch as gx
from gxsearch.errors import GxError, RunError, RunFailed, SpecError, UnsafeError
from gxsearch.results import leaderboard, mirror, package
from gxsearch.results.far import begun, give_back, near, reopened
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir


def told(run: RunDir) -> list[tuple]:
    return [(t.number, t.params, t.state, t.best, t.best_epoch, len(t.history)) for t in trials(run.ledger)]


def test_a_search_in_a_bucket_finds_what_one_on_a_disk_finds(search, tmp_path, machine):
    far, here = search(), search(out=tmp_path / "runs")

    machine("machine-b")
    read = RunDir.open(f"{RUNS}/run")

    assert told(read) == told(far) == told(here)
    assert leaderboard.best(read).number == leaderboard.best(here).number


def test_the_bucket_has_every_file_of_the_run_and_no_claim_is_left(search, store):
    run = search()

    kept = {name.removeprefix("runs/run/"): data for name, (data, _) in store.objects.items()}
    files = [p for p in run.path.rglob("*") if p.is_file() and p.name != "lock" and not p.name.startswith(".")]
    assert files and all(kept[p.relative_to(run.path).as_posix()] == p.read_bytes() for p in files)
    assert not [name for name in kept if name.startswith(".claims/") and name != ".claims/"]


def test_checkpoints_that_are_not_needed_are_in_the_bucket_no_more(search, store):
    run = search()

    kept = {tuple(name.split("/")[3:6:2]) for name in store.objects if name.endswith("model.safetensors")}
    assert kept == {(f"{t.number:03d}", f"{t.best_epoch:06d}") for t in trials(run.ledger)}


def test_a_machine_that_goes_down_is_followed_by_another_that_ends_the_search_as_if_nothing_had_been(
    search, resume, machine, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        crash(patched)
        patched.setattr(mirror, "EVERY_S", 0.05)
        with pytest.raises(Cut):
            search(epochs=6)

        machine("machine-b")
        run = resume_after(patched, resume)

    assert told(run) == told(search(out=tmp_path / "runs"))
    machine("machine-c")
    assert told(RunDir.open(f"{RUNS}/run")) == told(run)


def resume_after(patched, resume) -> RunDir:
    """Go on, and let the storage be settled this time."""
    dead = mirror.Mirror.settle
    patched.undo()
    assert mirror.Mirror.settle is not dead
    with pytest.MonkeyPatch.context() as again:
        again.setattr("gxsearch.results.claim._is_dead", lambda holder, name: True)
        return resume()


def test_the_model_of_a_trial_is_fetched_when_it_is_asked_for(search, machine):
    search()
    machine("machine-b")
    run = RunDir.open(f"{RUNS}/run")
    before = list(run.path.rglob("*.safetensors"))

    found = package.open_package(f"{RUNS}/run")

    assert not before and found.name == "toy"
    assert len(list(run.path.rglob("model.safetensors"))) == 1


def test_a_copy_that_is_read_follows_the_run_and_gives_back_what_is_written(search, machine, store):
    search()
    machine("machine-b")
    run = RunDir.open(f"{RUNS}/run")

    leaderboard.write(run)
    give_back(run)
    machine("machine-c")

    assert RunDir.open(f"{RUNS}/run").leaderboard.read_bytes() == run.leaderboard.read_bytes()


def test_a_trial_of_an_address_is_found(search):
    search()

    assert Path(near(f"{RUNS}/run/2")) == Path(near(f"{RUNS}/run")) / "2"


def test_two_cannot_search_in_one_place(search, resume, toy_spec):
    first, second = begun(RUNS, "run", lambda text: None), begun(RUNS, "run", lambda text: None)
    with first, pytest.raises(RunError, match="E605"), second:
        pass

    assert search().run.is_file()
    with pytest.raises(RunError, match="E603"):
        search()


def test_a_resume_beside_a_search_is_refused(search):
    with pytest.raises(Cut):
        search(epochs=3)

    first, second = reopened(f"{RUNS}/run", lambda text: None), reopened(f"{RUNS}/run", lambda text: None)
    with first, pytest.raises(RunError, match="another process is running this search"), second:
        pass


@pytest.mark.fault("F32")
def test_a_storage_that_fails_for_a_moment_is_not_noticed(search, store, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "EVERY_S", 0.05)
    with begun(RUNS, "probe", lambda text: None):
        store.failing = 3

    run = search()

    assert told(run) == told(search(out=tmp_path / "runs")) and not store.failing


@pytest.mark.fault("F32")
def test_a_storage_that_fails_for_good_ends_the_search_with_all_of_it_kept_here(search, resume, store, monkeypatch):
    monkeypatch.setattr(mirror, "SOON_S", 0.1)
    with pytest.raises(Cut):
        search(epochs=3)
    store.status, store.only = 403, "PUT"

    with pytest.raises(RunFailed) as failed:
        failing(resume, store)

    line = str(failed.value)
    assert line.startswith("error[E714] s3://lab/runs/run") and "access denied" in line and "\n" not in line
    (kept,) = (Path(word) for word in line.split() if word.startswith("/"))
    assert RunDir(kept).run.is_file() and failed.value.exit_code == 7
    store.failing = 0
    assert [t.state for t in trials(resume().ledger)].count("running") == 0


def failing(resume, store) -> None:
    """Go on with a search whose storage begins to fail once it has begun."""
    from gxsearch.results.claim import Claim

    taken = Claim.take

    def take(self: Claim) -> None:
        taken(self)
        store.failing = -1

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Claim, "take", take)
        resume()


def test_a_copy_that_is_behind_is_not_believed(search, resume, machine):
    with pytest.raises(Cut):
        search(epochs=3)
    machine("machine-b")
    ended = resume()
    machine("machine-a")

    again = resume()

    assert told(again) == told(ended)


def test_a_copy_that_is_ahead_goes_on(search, resume, machine, store, monkeypatch):
    with pytest.raises(Cut):
        search(epochs=6)
    ledger = store.objects["runs/run/ledger.jsonl"]
    lines = ledger[0].splitlines(keepends=True)
    store.objects["runs/run/ledger.jsonl"] = (b"".join(lines[:-2]), ledger[1])

    run = resume(epochs=None)

    assert run.ledger.read_bytes().startswith(ledger[0])
    assert store.objects["runs/run/ledger.jsonl"][0] == run.ledger.read_bytes()


def test_a_trial_on_an_empty_machine_goes_on_from_the_newest_whole_checkpoint(search, resume, machine, store):
    with pytest.raises(Cut):
        search(epochs=3, sets=("budget.trials=1", "budget.epochs=9"))
    saved = sorted(name for name in store.objects if name.endswith("manifest.json"))
    newest = saved[-1].replace("manifest.json", "model.safetensors")
    store.objects[newest] = (b"damaged", store.objects[newest][1])
    machine("machine-b")

    run = resume()

    (trial,) = trials(run.ledger)
    assert (trial.state, [m["epoch"] for m in trial.history]) == ("complete", list(range(1, 10)))


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("s3://key:word@lab/runs/x", "E805"),
        ("s3://lab/runs/x?X-Amz-Signature=abc", "E805"),
        ("s3://lab/../runs/x", "E303"),
        ("s3://lab", "E303"),
        ("ftp://lab/runs/x", "E303"),
        ("s3://lab/runs/nothing", "E601"),
    ],
)
def test_addresses_of_no_run_are_refused_in_one_line(store, address, code):
    with pytest.raises(GxError) as refused:
        RunDir.open(address)

    assert [fault.code for fault in refused.value.faults] == [code]
    assert "word" not in str(refused.value) and "abc" not in str(refused.value)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".claims"])
def test_names_stay_within_the_place_of_runs(store, name):
    with pytest.raises(SpecError, match="E303"), begun(RUNS, name, lambda text: None):
        pass

    assert not store.objects


def test_an_object_with_a_name_that_leads_elsewhere_is_refused(search, store, machine):
    search()
    store.objects["runs/run/results/../../../evil"] = (b"x", 0.0)
    machine("machine-b")

    with pytest.raises(UnsafeError, match="E812"):
        RunDir.open(f"{RUNS}/run")


def test_no_secret_is_in_the_run(search, store, tmp_path):
    search()

    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not [p for p in files if b"very-secret-word" in p.read_bytes()]
    assert not [name for name, (data, _) in store.objects.items() if b"very-secret-word" in data]


def test_a_file_address_is_a_path(search, tmp_path):
    run = search(out=f"file://{tmp_path}/runs")

    assert RunDir.open(f"file://{tmp_path}/runs/run").path == run.path == (tmp_path / "runs" / "run").resolve()
    shutil.rmtree(run.path)


def test_python_opens_a_run_by_its_address_and_its_trials_have_models(search, machine):
    made = search()

    machine("machine-b")
    run = gx.Run(f"{RUNS}/run")

    assert run.address == f"{RUNS}/run" and run.path != made.path
    assert run.trials["state"].tolist() == [trial.state for trial in trials(made.ledger)]
    assert gx.open_model(run.best).origin["trial"] == run.best.number == gx.Run(made).best.number
    assert gx.status(run)["state"] == "done"
