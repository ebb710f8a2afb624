"""A trial repeats from its run's own record, and what does not repeat is told."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from gxsearch import api
from gxsearch.cli import main
from gxsearch.data import simulate
from gxsearch.errors import RunError
from gxsearch.results import leaderboard
from gxsearch.results.conclude import conclude
from gxsearch.results.run_dir import RunDir
from gxsearch.search.intake import read_table
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin
from gxsearch.search.spec import load

TOY = Path(__file__).parents[1] / "toy" / "toy.yaml"


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> RunDir:
    """A finished search of six trials, some of them stopped, on a file."""
    folder = tmp_path_factory.mktemp("replay")
    simulate.bulk(n=60, g=20, seed=3).write_h5ad(folder / "data.h5ad")
    spec = load(TOY, ("budget.trials=6", "budget.epochs=4", f"data.path={folder / 'data.h5ad'}"))
    table = read_table(spec)
    with begin(spec, table, 1, folder / "run") as opened:
        search_here(spec, opened.run, table, opened.referee, lambda: None)
        opened.close("done")
    conclude(opened.run, table)
    return opened.run


@pytest.fixture
def own(searched, tmp_path) -> RunDir:
    """A copy that a test may change."""
    return RunDir(shutil.copytree(searched.path, tmp_path / "run"))


def change(run: RunDir, path: str, value) -> None:
    """Change a value of run.json, and leave its sum out."""
    facts = json.loads(run.run.read_text())
    facts.pop("sha256", None)
    *above, last = path.split("/")
    place = facts
    for key in above:
        place = place[key]
    place[last] = value
    run.run.write_text(json.dumps(facts))


def sums(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_winner_repeats_to_the_last_bit_and_the_run_is_only_read(searched):
    before = sums(searched.path)

    told = api.replay(searched.path)

    best = leaderboard.best(searched)
    assert (told["verdict"], told["trial"], told["from"], told["changed"]) == ("identical", best.number, None, {})
    assert told["measures"]["val/mse"] == {"told": best.best, "found": best.best}
    assert any(name.startswith("test/") for name in told["measures"])
    assert sums(searched.path) == before


def test_a_stopped_trial_repeats_as_far_as_it_counted(searched):
    from gxsearch.results.ledger import trials

    stopped = next(trial for trial in trials(searched.ledger) if trial.state == "stopped")

    told = api.replay(searched.path, stopped.number)

    assert (told["verdict"], told["epochs"]) == ("identical", len(stopped.history))
    assert not any(name.startswith("test/") for name in told["measures"])


def test_another_record_does_not_repeat_and_exits_with_7(own, capsys):
    change(own, "spec/space/fixed/train.batch_size", 16)

    with pytest.raises(SystemExit) as stop:
        main(["replay", str(own.path), "-q", "--json"])

    out, err = capsys.readouterr()
    told = json.loads(out)
    assert stop.value.code == 7 and "E715" in err
    assert (told["verdict"], told["from"]) == ("differs", 1)
    assert "nothing that run.json tells has changed" in told["reasons"][0]


def test_a_figure_that_is_off_by_rounding_is_said_to_be_so_with_the_versions_that_changed(own, capsys):
    scores = leaderboard.scores(own)
    name = next(iter(scores))
    own.scores.write_text(json.dumps({**scores, name: scores[name] + 1e-6}))
    change(own, "versions/torch", "1.0")
    change(own, "machine/vector", "abacus")
    change(own, "code", "0" * 64)

    main(["replay", str(own.path), "-q"])

    out = capsys.readouterr().out
    assert "within rounding: up to 1e-06 apart" in out
    assert "may be: other versions: torch" in out and "torch: 1.0, now 2" in out
    assert "may be: another machine" in out and "may be: the code that trains has changed" in out


def test_what_was_found_is_kept_if_asked_for(own):
    told = api.replay(own.path, keep=True)

    assert json.loads(own.replayed.read_text()) == told


def test_data_or_columns_that_have_changed_are_refused(own):
    adata = simulate.bulk(n=60, g=20, seed=3)
    other = own.path / "data.h5ad"
    change(own, "spec/data/path", str(other))
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).to_numpy()[::-1]
    adata.write_h5ad(other)

    with pytest.raises(RunError, match="E604.*the columns of"):
        api.replay(own.path)

    adata.X[0, 0] += 1
    adata.write_h5ad(other)
    with pytest.raises(RunError, match="E604.*the values or names and columns of"):
        api.replay(own.path)


def test_a_trial_that_there_is_not_is_told(own):
    with pytest.raises(RunError, match="E630"):
        api.replay(own.path, 99)


def test_epochs_that_a_resume_asked_for_are_those_of_the_trials_after_it(own):
    from gxsearch.results.ledger import TrialRecord, events
    from gxsearch.search.replay import _epochs
    from gxsearch.search.spec import Spec

    spec = Spec.from_json(own.facts()["spec"])
    lines = [e for e in events(own.ledger) if e["event"] in ("trial_created", "run_started")][:2]
    from gxsearch.results.ledger import Ledger

    own.ledger.unlink()
    ledger = Ledger(own.ledger)
    ledger.append("run_started")
    ledger.append("trial_created", **{k: lines[1][k] for k in ("trial", "params", "seed")})
    ledger.append("run_resumed", budget={"epochs": 9}, edited={})
    ledger.append("trial_created", trial=1, params={}, seed=0)
    ledger.close()

    assert [_epochs(own, TrialRecord(n, {}, 0), spec) for n in (0, 1)] == [4, 9]


def test_going_on_with_a_search_that_is_over_starts_no_ray(own, monkeypatch):
    monkeypatch.setattr("gxsearch.search.launch.connected", None)
    before = leaderboard.best(own)

    assert api.resume(own.path, quiet=True).path == own.path
    assert leaderboard.best(own) == before
