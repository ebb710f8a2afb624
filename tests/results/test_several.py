"""What is made of a search for several objectives: leaderboard, choice, words, report; and one search in whole."""

import json

import pandas as pd
import pytest
from synthetic_run import write_run

from gxsearch import listing
from gxsearch.results import export, leaderboard, report
from gxsearch.results.ledger import Ledger
from gxsearch.results.package import of_run
from gxsearch.results.run_dir import RunDir
from gxsearch.results.several import several
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin

FOUND = {
    0: ("complete", 0.10, 0.20),
    1: ("stopped", 0.20, 0.80),
    2: ("complete", 0.50, 0.90),
    3: ("complete", 0.11, 0.50),
    4: ("complete", 0.30, 0.30),
    5: ("diverged", 0.01, 0.99),
    6: ("complete", 9.00, 0.10),
}
"""State, error and accuracy: 0, 1, 2, 3 are the front, and 1 is its knee."""


def made_up(folder, *also: str, rule: str = "first", within: float = 0.0) -> RunDir:
    """Write a run with these trials; each has a later epoch that is worse by the error and better by the rest."""
    named = [{"metric": metric, "mode": "max"} for metric in also]
    spec = {"also": named, "choose": {"rule": rule, "within": within}} if also else {}
    run = write_run(folder, {"source": "made up"}, **spec)
    ledger = Ledger(run.ledger)
    ledger.append("run_started", trials=len(FOUND), concurrent=1)
    for number, (state, error, accuracy) in FOUND.items():
        draw = {"model.sample_dim": 2, "train.lr": 0.01, "model.hidden": [8]}
        ledger.append("trial_created", trial=number, params=draw, seed=number)
        told = {"best": error, "best_epoch": 1, "time/epoch_s": 0.1}
        for epoch, (e, a) in enumerate([(error, accuracy), (error + 1, 1.0)], 1):
            metrics = told | {"val/entry_mse": e, "val/knn": a, "val/r2": -a}
            ledger.append("epoch", trial=number, epoch=epoch, metrics=metrics)
        ended = {"epochs": 2, "best": error, "best_epoch": 1, "reason": "", "seconds": 0.2}
        ledger.append("trial_ended", trial=number, state=state, **ended)
    ledger.append("run_ended", state="done", reason="")
    ledger.close()
    return run


@pytest.mark.parametrize(
    ("rule", "within", "expected"),
    [("first", 0.0, 0), ("knee", 0.0, 1), ("within", 0.05, 3), ("within", 0.3, 1), ("within", 1.0, 2)],
)
def test_the_trial_that_stands_for_a_run_is_the_one_the_rule_chooses(tmp_path, rule, within, expected):
    run = made_up(tmp_path / "run", "val/knn", rule=rule, within=within)

    assert leaderboard.best(run).number == expected
    assert several(run).trial.number == expected
    assert f"trial {expected}," in listing.best(str(run.path), "yaml").splitlines()[0]
    assert json.loads(listing.status(str(run.path), as_json=True))["best"]["trial"] == expected


def test_trials_are_ranked_by_the_first_objective_and_the_front_is_marked(tmp_path):
    run = made_up(tmp_path / "run", "val/knn", rule="knee")

    frame = leaderboard.table(run)

    assert list(frame.columns)[:6] == ["rank", "trial", "state", "val/entry_mse", "val/knn", "front"]
    assert frame["trial"].tolist() == ["0", "3", "1", "4", "2", "6", "5"]
    assert dict(zip(frame["trial"], frame["front"].fillna(""), strict=True)) == {
        "0": "yes", "1": "yes", "2": "yes", "3": "yes", "4": "no", "6": "no", "5": "",
    }  # fmt: skip
    assert dict(zip(frame["trial"], frame["val/knn"], strict=True))["0"] == 0.20, "that of the best epoch, not the last"


def test_one_objective_has_no_front(tmp_path):
    run = made_up(tmp_path / "run")

    assert several(run) is None
    assert "front" not in leaderboard.table(run)
    report.write(run, static=True)
    assert "Several objectives" not in run.report.read_text() + run.report_md.read_text()


def test_a_trial_that_came_to_nothing_is_on_no_front(tmp_path):
    found = several(made_up(tmp_path / "run", "val/knn"))

    assert [trial.number for trial in found.trials] == [0, 1, 2, 3, 4, 6]
    assert found.growth[-1] == pytest.approx(((0.2 - 0.1) * 8.9 + 0.3 * 8.89 + 0.3 * 8.8 + 0.1 * 8.5) / (8.9 * 0.8))
    assert found.growth[0] == pytest.approx(0.1 * 8.9 / (8.9 * 0.8))


def test_three_objectives_are_drawn_by_the_first_and_each_other(tmp_path):
    run = made_up(tmp_path / "run", "val/knn", "val/r2")
    found = several(run)

    assert found.names == ["val/entry_mse", "val/knn", "val/r2"]
    assert found.on_front.tolist() == [True, True, True, True, True, True], "what one lacks in val/knn it has in val/r2"
    report.write(run)
    assert run.report.read_text().count('class="live"') >= 3


def test_a_front_without_a_knee_says_so(tmp_path, monkeypatch):
    for number in (1, 3, 4, 6):
        monkeypatch.delitem(FOUND, number)

    found = several(made_up(tmp_path / "run", "val/knn", rule="knee"))

    assert found.why() == "Trial 0 is chosen: the front has no knee, so that val/entry_mse decides."


@pytest.mark.parametrize("static", [False, True])
def test_the_report_tells_the_front_the_rule_and_the_choice(tmp_path, static):
    run = made_up(tmp_path / "run", "val/knn", rule="knee")

    report.write(run, static=static)

    page, text = run.report.read_text(), run.report_md.read_text()
    for told in (page, text):
        assert "Several objectives" in told
        assert "Trial 1 is chosen: the knee of the front" in told
        assert "4 of 6 trials are on the front" in told
    assert "| trial 001 | 0.2000 | 0.8000 | chosen |" in text
    assert "is best:" not in text


def test_far_worse_trials_are_drawn_at_the_edge_and_the_border_is_the_front(tmp_path):
    plane = several(made_up(tmp_path / "run", "val/knn", rule="knee")).plane(1)

    kinds = dict(zip(plane.points["trial"], plane.points["kind"], strict=True))
    assert kinds == {0: "front", 1: "chosen", 2: "front", 3: "front", 4: "other", 6: "other"}
    assert plane.steps["trial"].tolist() == [0, 3, 1, 2]
    assert plane.points["x"].max() == plane.spans[0][1] < 1.0
    assert plane.points["text"].tolist()[1] == "trial 1: val/entry_mse 0.2000, val/knn 0.8000"


def test_one_trial_that_is_best_by_all_leaves_nothing_to_trade(tmp_path, monkeypatch):
    monkeypatch.setitem(FOUND, 0, ("complete", 0.05, 1.0))

    found = several(made_up(tmp_path / "run", "val/knn", rule="knee"))

    assert found.on_front.sum() == 1
    assert found.why() == "Trial 0 is the best by val/entry_mse and by val/knn: nothing has to be traded."


def test_a_search_for_two_objectives_exports_the_trial_of_its_rule(toy_spec, toy_table, tmp_path):
    aims = ("objective=[{metric: val/mse}, {metric: val/knn}]", "choose={within: 1}")
    spec = toy_spec(*aims, "budget.trials=6", "budget.epochs=3", "stop=none")
    opened = begin(spec, toy_table, 1, tmp_path / "run")
    search_here(spec, opened.run, toy_table, opened.referee, lambda: None)
    opened.close("done")
    run = opened.run

    leaderboard.write(run)
    export.export(run)
    report.write(run)

    board = pd.read_csv(run.leaderboard)
    own = board[board["rank"].notna()]
    winner = own.sort_values(["val/knn", "val/mse"], ascending=[False, True]).iloc[0]
    assert winner["front"] == "yes"
    config = json.loads((run.best / "config.json").read_text())
    assert config["origin"]["trial"] == int(winner["trial"]) == of_run(run).origin["trial"]
    assert config["also"] == ["val/knn"]
    assert "val/knn" in listing.ending(run) and f"Trial {winner['trial']}" in listing.ending(run)
    assert "Several objectives" in run.report.read_text()
