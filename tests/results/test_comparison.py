"""Comparisons and confirmations, from the files to the verdict, without Ray: searches run in this process."""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import contextmanager
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gxsearch
from gxsearch import api, comparing, confirming, events, outcome, standing, steps
from gxsearch.errors import RunError, SpecError
from gxsearch.results import compare_report, comparison, confirmation, leaderboard
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.ledger import trials
from gxsearch.results.package import load
from gxsearch.results.run_dir import RunDir
from gxsearch.search import confirm
from gxsearch.search.comparing import Plan, entries
from gxsearch.search.intake import read_table
from gxsearch.search.spec import Spec
from gxsearch.search.stopped import Interrupted

TOY = Path(__file__).parents[1] / "toy" / "toy.yaml"


def search_in_this_process(opened, quiet, fleet):
    from gxsearch.search.local import search_here

    search_here(opened.spec, opened.run, opened.table, opened.referee, lambda: None)
    opened.close("done")


@contextmanager
def no_ray(*args, **kwargs):
    yield 1


def without_ray(patch):
    for module in (api, comparing, steps):
        patch.setattr(module, "run_search", search_in_this_process)
    patch.setattr("gxsearch.search.launch.connected", no_ray)
    patch.setattr("gxsearch.search.launch.fitting", lambda resources: 1)


def written(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    text = TOY.read_text().replace("name: toy", f"name: {name}").replace("n=120&g=40", "n=400&g=40")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of one model: a narrow one that hardly trains, and one that does."""
    folder = tmp_path_factory.mktemp("specs")
    narrow = written(folder, "narrow", ("latent_dim: {int: [1, 6]}", "latent_dim: 1"), ("[1e-4, 1e-1]", "[1e-4, 2e-4]"))
    return narrow, written(folder, "wide", ("{int: [1, 6]}", "{int: [5, 6]}"), ("[1e-4, 1e-1]", "[1e-2, 5e-2]"))


@pytest.fixture(scope="module")
def compared(files, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        out = tmp_path_factory.mktemp("runs")
        return comparing.compare(
            files, trials=2, sets=["stop=none", "budget.epochs=5"], out=out, name="both", quiet=True
        )


def test_a_comparison_is_told_as_strict_json_and_its_state_with_each_search(compared):
    told = json.loads(events.dumps(outcome.compared(compared)), parse_constant=lambda word: pytest.fail(word))
    state = standing.facts(str(compared.path))

    assert told["sentences"] == comparison.read(compared)["sentences"] == state["verdict"]
    assert Path(told["files"]["leaderboard"]).is_file() and state["state"] == "done" and state["asked"] == 4
    assert {name: found["state"] for name, found in state["searches"].items()} == {"narrow": "done", "wide": "done"}
    assert "is better than" in standing.status(str(compared.path), as_json=False)


def test_a_planted_winner_is_found_and_the_verdict_says_how_sure_that_is(compared):
    told = comparison.read(compared)

    ranks = {row["name"]: row["rank"] for row in told["rows"]}
    assert ranks["wide"] < ranks["narrow"]
    judged = {pair["name"]: pair for pair in told["judgment"]["pairs"]}
    assert judged["narrow"]["called"] == "better" and judged["narrow"]["p"] < 0.05
    assert judged["narrow"]["low"] > 0 and judged["narrow"]["rows"] > 10 and judged["narrow"]["seeds"] == 3
    assert any("is better than narrow" in line for line in told["sentences"])


def test_classics_and_controls_stand_in_the_leaderboard_and_chance_is_at_the_end(compared):
    told = comparison.read(compared)
    kinds = [row["kind"] for row in told["rows"]]
    assert kinds.count("model") == 2 and kinds.count("control") == 2 and kinds.count("classic") >= 4
    frame = pd.read_csv(compared.leaderboard)
    assert frame["name"].tolist() == [row["name"] for row in told["rows"]]
    shuffled = frame.set_index("name").filter(like="shuffled", axis=0)
    assert shuffled[f"test/{told['by']}"].item() < frame[f"test/{told['by']}"].max() - 0.2
    assert {"val/knn", "test/logreg", "test/expression_r2", "own_native_value"} <= set(frame)


def test_every_architecture_is_trained_over_the_same_seeds(compared):
    seeds = []
    for name in ("narrow", "wide"):
        first = RunDir(compared.run(name).confirming / "00")
        events = [json.loads(line) for line in first.ledger.read_text().splitlines()]
        seeds.append([event["seed"] for event in events if event["event"] == "trial_created"])
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 3


def test_settings_are_trained_again_for_as_long_as_their_search_had_time(compared, tmp_path, monkeypatch):
    run = RunDir(shutil.copytree(compared.run("wide").path, tmp_path / "run"))
    spec, (best, *_) = Spec.from_json(run.facts()["spec"]), leaderboard.ranked(run)
    cut = dataclasses.replace(best, history=best.history[:2])
    monkeypatch.setattr(leaderboard, "find", lambda run, number: cut)
    asked = Plan(seeds=2).confirm

    assert confirm.unfinished(run, spec, asked, [best.number])
    confirm.confirm(
        run, spec, read_table(spec), 1, asked, [best.number], lambda opened: search_in_this_process(opened, True, None)
    )

    again = trials(RunDir(run.confirming / "00").ledger)
    assert [(trial.state, len(trial.history)) for trial in again] == [("complete", 2)] * 2
    assert not confirm.unfinished(run, spec, asked, [best.number])


def test_the_best_architecture_is_exported_and_loads_without_the_comparison(compared):
    told = comparison.read(compared)
    package = load(compared.best)
    assert package.job.model_config["latent_dim"] in (5, 6) and told["exported"] == "wide"


def test_the_report_tells_the_verdict_first_and_harmless_names_only(compared):
    told = comparison.read(compared)
    row = next(row for row in told["rows"] if row["name"] == "narrow")
    row["name"] = "<script>alert(1)</script>"
    for static in (False, True):
        html = compare_report.write(compared, told, static=static).read_text()
        assert html.index(escape(told["judgment"]["sentences"][0])) < html.index("<h2>Leaderboard")
        assert "<script>alert" not in html and ("plotly" in html) != static
    assert "<script>" not in compared.report_md.read_text()
    compare_report.write(compared, comparison.read(compared))  # as it was, for the tests that follow


def test_a_comparison_that_was_stopped_goes_on_to_the_same_verdict(compared, files, tmp_path, monkeypatch):
    without_ray(monkeypatch)
    count = iter(range(100))

    def stopped(opened, quiet, fleet):
        if next(count) == 2:  # the search of the second file; before it came a search and a confirmation
            raise Interrupted(opened.run, 2)
        search_in_this_process(opened, quiet, fleet)

    for module in (comparing, steps):
        monkeypatch.setattr(module, "run_search", stopped)
    how = {"trials": 2, "sets": ["stop=none", "budget.epochs=5"], "out": tmp_path, "name": "both", "quiet": True}
    with pytest.raises(Interrupted, match="stopped; 2 trials are kept .*go on with: gxsearch resume .*both$"):
        comparing.compare(files, **how)
    with pytest.raises(RunError, match="E631.*has not come to its end"):
        comparison.read(CompareDir(tmp_path / "both"))

    place = comparing.go_on(tmp_path / "both", quiet=True)

    assert place.leaderboard.read_bytes() == compared.leaderboard.read_bytes()
    assert comparison.read(place)["judgment"] == comparison.read(compared)["judgment"]


@pytest.mark.parametrize(
    ("changes", "how", "said"),
    [
        ([("n=400", "n=390")], {}, "E329.*rows are not"),
        ([("label: cell_type}", "label: cell_type, split: {seed: 3}}")], {}, "E329.*held-out rows are not those"),
        ([("name: wide", "name: narrow")], {}, "E329.*have the name narrow"),
        ([], {"by": "kn"}, "E311.*--by.*did you mean 'knn'"),
        ([], {"by": "batch_knn"}, "E311.*--by"),
        ([], {"sets": ["vae:budget.epochs=3"]}, "E324.*no file of the model 'vae'"),
        ([], {"seeds": 1}, "E3.*seeds"),
        ([], {"splits": 0}, "E3.*splits"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_started(files, tmp_path, changes, how, said):
    text = files[1].read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    other = tmp_path / "other.yaml"
    other.write_text(text)
    with pytest.raises(SpecError, match=said):
        comparing.compare([files[0], other], out=tmp_path / "runs", **how)
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_time_is_shared_equally(files):
    given = entries(files, Plan(minutes=10))
    assert len({entry.spec.budget.time_s for entry in given}) == 1
    assert 0 < given[0].spec.budget.time_s * len(given) < 600 and given[0].spec.budget.trials is None


def test_a_confirmation_trains_the_best_trials_over_paired_seeds_and_splits(toy_spec, tmp_path, monkeypatch):
    without_ray(monkeypatch)
    spec = toy_spec("stop=none", "budget.epochs=4", "budget.trials=4", "confirm={top: 2, seeds: 2, splits: 2}")
    run = api.tune(spec, out=tmp_path, name="run", quiet=True)

    told = confirmation.read(run)
    assert told["splits"] == 2 and told["seeds"] == 2
    assert [len(one["values"]) for one in told["candidates"]] == [4, 4]
    best = json.loads((run.path / "run.json").read_text())["data"]
    parts = [json.loads(RunDir(path).run.read_text())["data"] for path in sorted(run.confirming.iterdir())]
    assert parts[0]["split_sha256"] == best["split_sha256"] != parts[1]["split_sha256"]
    assert [len(trials(RunDir(path).ledger)) for path in sorted(run.confirming.iterdir())] == [4, 4]
    assert escape(told["sentences"][0]) in run.report.read_text()

    monkeypatch.setattr(steps, "run_search", lambda opened, quiet, fleet: pytest.fail("it was trained already"))
    assert confirming.confirm(run.path, top=2, seeds=2, splits=2)["judgment"] == told["judgment"]


def test_a_search_that_has_not_ended_is_not_confirmed(toy_spec, tmp_path, monkeypatch):
    without_ray(monkeypatch)

    def stopped(opened, quiet, fleet):
        opened.close("interrupted")
        raise Interrupted(opened.run, 2)

    monkeypatch.setattr(api, "run_search", stopped)
    with pytest.raises(Interrupted):
        api.tune(toy_spec(), out=tmp_path, name="run", quiet=True)
    with pytest.raises(RunError, match="E609.*has not come to its end"):
        confirming.confirm(tmp_path / "run")


def test_the_verbs_are_there_in_python():
    assert callable(gxsearch.compare) and callable(gxsearch.confirm)


def test_trials_that_are_equal_cannot_be_told_apart_and_the_smaller_is_taken():
    from gxsearch.results.judgment import Candidate, judge

    rng = np.random.default_rng(0)
    weight = np.full(100, 0.01)
    common = rng.random((3, 100)) < 0.8
    score = common.astype(float)
    twin = [Candidate(name, size, score @ weight, score, weight) for name, size in (("a", 9), ("b", 5))]
    judged = judge(twin, "max")
    assert judged.others[0].called == "tie" and judged.choice == "b" and judged.others[0].p == 1.0
