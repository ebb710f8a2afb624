"""What a search left behind is damaged, moved, copied or looked at elsewhere (F05-F10, F18, F22, F25, F34)."""

from __future__ import annotations

import json
import os
import random
import shutil
import time

import pytest
from damage import cut_short, damage, files, go_on, survives, told

from gxsearch.errors import GxError, RunError
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir, sealed
from gxsearch.search.opening import reopen
from gxsearch.search.spec import load

SPEC = ("budget.trials=5", "budget.epochs=5")


@pytest.fixture(scope="module")
def searched(tmp_path_factory, toy_table):
    """A search of five trials that went down after twelve epochs, and what it would have found."""
    from pathlib import Path

    spec, folder = load(Path(__file__).parents[1] / "toy" / "toy.yaml", SPEC), tmp_path_factory.mktemp("searched")
    whole = cut_short(spec, toy_table, folder / "whole", 10**6)
    return cut_short(spec, toy_table, folder / "cut", 12), told(whole)


@pytest.fixture
def run(searched, tmp_path):
    """A copy of the search that went down."""
    return RunDir(shutil.copytree(searched[0].path, tmp_path / "run"))


@pytest.mark.fault("F05", "F06", "F07")
@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_refused_or_does_not_matter(searched, run, tmp_path, seed):
    rng = random.Random(seed)
    what = damage(rng.choice(files(run)), rng)

    how, copy = survives(run, searched[1], tmp_path / "copy")

    assert how in ("refused", "the same"), what
    ended = {t.number: t for t in trials(searched[0].ledger) if t.state != "running"}
    if how == "the same":
        assert all(trials(copy.ledger)[n].best == trial.best for n, trial in ended.items())


STATE = ["run.json", "ledger.jsonl", "study.journal", "spec.yaml", "lock"]


@pytest.mark.fault("F05", "F06", "F07")
@pytest.mark.parametrize("name", STATE)
@pytest.mark.parametrize("how", ["missing", "empty", "halved", "noise"])
def test_the_state_of_a_run_is_never_taken_for_a_fresh_one(searched, run, tmp_path, name, how):
    path = run.path / name
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "halved": data[: len(data) // 2], "noise": os.urandom(64)}[how])

    ended, copy = survives(run, searched[1], tmp_path / "copy")

    # The ledger's last line may be torn, and the journal is made from it; what decides the search must be whole.
    free = ("study.journal", "lock") if name != "spec.yaml" else ("spec.yaml",) * (how == "missing")
    if name in free:
        assert ended == "the same"
    elif name != "ledger.jsonl" or how != "halved":
        assert ended == "refused"
        before = [(t.number, len(t.history)) for t in trials(searched[0].ledger)]
        if name != "ledger.jsonl":
            assert [(t.number, len(t.history)) for t in trials(copy.ledger)] == before


@pytest.mark.fault("F08")
def test_the_newest_checkpoint_that_is_whole_is_gone_on_from(searched, run, tmp_path):
    (running,) = [t for t in trials(run.ledger) if t.state == "running"]
    newest = max(run.checkpoints(running.number).glob("[0-9]*"))
    damage(newest / "model.safetensors", random.Random(0))

    assert survives(run, searched[1], tmp_path / "copy")[0] == "the same"


@pytest.mark.fault("F09")
def test_a_training_without_any_checkpoint_begins_anew_and_ends_the_same(searched, run, tmp_path):
    (running,) = [t for t in trials(run.ledger) if t.state == "running"]
    shutil.rmtree(run.checkpoints(running.number))

    assert survives(run, searched[1], tmp_path / "copy")[0] == "the same"


@pytest.mark.fault("F10")
def test_every_turned_bit_of_a_checkpoint_is_noticed(searched, run):
    from gxsearch.training import checkpoint

    (running,) = [t for t in trials(run.ledger) if t.state == "running"]
    newest = max(run.checkpoints(running.number).glob("[0-9]*"))
    for path in sorted(newest.iterdir()):
        data = path.read_bytes()
        for at in random.Random(1).sample(range(len(data)), min(60, len(data))):
            path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            with pytest.raises(RunError):
                checkpoint.read(newest)
        path.write_bytes(data)
    assert checkpoint.read(newest).record["epoch"] == int(newest.name)


@pytest.mark.fault("F22")
def test_a_copy_goes_on_by_itself_and_leaves_the_original_alone(searched, run, tmp_path):
    before = {path: path.read_bytes() for path in files(searched[0])}

    how, copy = survives(searched[0], searched[1], tmp_path / "elsewhere")

    assert how == "the same"
    assert {path: path.read_bytes() for path in files(searched[0])} == before


@pytest.mark.fault("F22")
def test_a_run_that_was_moved_goes_on_where_it_is(searched, run, tmp_path):
    moved = RunDir(shutil.move(run.path, tmp_path / "else" / "where"))

    go_on(reopen(moved, {}))

    assert told(moved) == searched[1] and not run.path.exists()


@pytest.mark.fault("F18")
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_clock_and_its_zone_do_not_matter(searched, run, tmp_path, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    for path in files(run):
        os.utime(path, (0, 0))  # every file is of 1970
    try:
        assert survives(run, searched[1], tmp_path / "copy")[0] == "the same"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.fault("F25")
def test_the_run_of_another_version_is_gone_on_with(searched, run, tmp_path):
    facts = run.facts()
    facts["versions"] = {name: "0.0.1" for name in facts["versions"]}
    run.run.write_bytes(sealed(facts))

    assert survives(run, searched[1], tmp_path / "copy")[0] == "the same"


@pytest.mark.fault("F10")
@pytest.mark.parametrize("seed", range(12))
def test_an_exported_model_is_whole_or_refused(searched, run, tmp_path, seed):
    from gxsearch.results import export, package

    go_on(reopen(run, {}))
    folder = export.export(run, 0, tmp_path / "model")
    rng = random.Random(seed)
    path = rng.choice(sorted(p for p in folder.iterdir() if p.suffix != ".md"))
    what, before = damage(path, rng), path.read_bytes()

    try:
        package.load(folder)
    except GxError:
        return
    assert path.name not in json.loads((folder / "manifest.json").read_text()) or path.read_bytes() != before, what
