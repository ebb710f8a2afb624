import csv
import json

import pandas as pd
import pytest
from synthetic_run import write_run

from gxsearch.errors import RunError, RunFailed
from gxsearch.results import leaderboard
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import write_atomic


def ended(ledger, number, value, *, state="complete", params=None, epochs=1):
    ledger.append("trial_created", trial=number, params=params or {}, seed=0)
    for epoch in range(1, epochs + 1):
        metrics = {"val/entry_mse": value, "val/x_weight": 1.0, "best": value, "best_epoch": 1}
        ledger.append("epoch", trial=number, epoch=epoch, metrics=metrics)
    end = {"state": state, "epochs": 1, "best": value, "best_epoch": 1, "reason": "", "seconds": 1.0}
    ledger.append("trial_ended", trial=number, **end)


def made(path, values, **spec):
    run = write_run(path, {}, **spec)
    ledger = Ledger(run.ledger)
    for number, value in enumerate(values):
        ended(ledger, number, value)
    ledger.close()
    return run


def test_trials_and_baselines_are_sorted_by_the_objective_and_the_rest_comes_last(finished):
    frame = leaderboard.table(finished)

    order = frame["trial"].tolist()
    ranked = frame.dropna(subset="rank")
    assert order[-4:] == ["pca-8", "4", "5", "6"] and order[-5] == "hopeless" and order[0] == "gene mean"
    assert ranked["rank"].tolist() == [1, 2, 3, 4]
    assert ranked["val/entry_mse"].is_monotonic_increasing
    assert frame.iloc[-3:]["state"].tolist() == ["failed", "diverged", "interrupted"]


def test_measures_are_those_of_the_best_epoch(finished):
    frame = leaderboard.table(finished).set_index("trial")
    best = leaderboard.best(finished)

    told = next(m for m in best.history if m["epoch"] == best.best_epoch)
    assert frame.loc[str(best.number), "val/r2"] == told["val/r2"]
    assert frame.loc[str(best.number), "best_epoch"] == best.best_epoch


def test_epochs_that_a_stopped_trial_ran_too_many_do_not_count(finished):
    row = leaderboard.table(finished).set_index("trial").loc["2"]
    trial = leaderboard.find(finished, 2)

    assert row["epochs"] == 2 and row["best_epoch"] <= 2
    assert (finished.checkpoints(2) / "000004").is_dir()
    assert row["val/entry_mse"] == min(m["val/entry_mse"] for m in trial.history)


def test_more_is_better_where_the_objective_says_so(tmp_path):
    run = made(tmp_path / "r", [1.0, 3.0, 2.0], objective={"metric": "val/entry_mse", "mode": "max"})

    assert leaderboard.table(run)["trial"].tolist() == ["1", "2", "0"]


def test_equal_trials_are_ranked_by_number_and_writing_twice_gives_the_same_bytes(tmp_path):
    run = made(tmp_path / "r", [1.0, 0.5, 1.0, 0.5])

    leaderboard.write(run)
    first = run.leaderboard.read_bytes()
    leaderboard.write(run)

    assert leaderboard.table(run)["trial"].tolist() == ["1", "3", "0", "2"]
    assert run.leaderboard.read_bytes() == first
    assert "val/x_weight" not in first.decode()


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_cell_is_a_formula_and_negative_numbers_stay_numbers(tmp_path, name):
    run = write_run(tmp_path / "r", {})
    ledger = Ledger(run.ledger)
    ended(ledger, 0, -1.5, params={"model.kind": name})
    ledger.close()
    write_atomic(run.baselines, json.dumps([{"name": name, "val/entry_mse": -2.0}]).encode())

    leaderboard.write(run)

    with open(run.leaderboard, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["model.kind"] == rows[0]["trial"] == f"'{name}".replace("\r", " ")
    assert [row["val/entry_mse"] for row in rows] == ["-2.0", "-1.5"]


def test_the_csv_reads_back_as_the_table(own):
    frame = leaderboard.write(own)

    back = pd.read_csv(own.leaderboard)
    assert back.columns.tolist() == frame.columns.tolist() and len(back) == len(frame)
    assert back["model.hidden"].tolist()[1] in ("[8]", "[8, 8]")


def test_a_run_in_which_nothing_worked_has_no_best_trial_but_a_leaderboard(tmp_path):
    run = write_run(tmp_path / "r", {})
    ledger = Ledger(run.ledger)
    ended(ledger, 0, float("nan"), state="diverged")
    ended(ledger, 1, 1.0, state="failed")
    ledger.close()

    assert leaderboard.table(run)["rank"].isna().all()
    with pytest.raises(RunFailed, match="none of 2 trials has a finite value"):
        leaderboard.best(run)


def test_an_unknown_trial_and_a_damaged_baseline_file_are_told_in_one_line(own):
    with pytest.raises(RunError, match=r"error\[E630\].* no trial 99"):
        leaderboard.find(own, 99)
    own.baselines.write_text("[1, 2]")
    with pytest.raises(RunError, match=r"error\[E631\] .*baselines.json: is not a list of rows"):
        leaderboard.table(own)
