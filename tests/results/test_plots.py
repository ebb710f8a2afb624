import json

import numpy as np
import pandas as pd
import pytest
from synthetic_run import DOMAINS, write_run

from gxsearch.results import drawing, plots, study
from gxsearch.results.ledger import Ledger


@pytest.fixture
def long(tmp_path):
    """Thirty trials whose value is that of the learning rate, with a setting that is active in every other one."""
    domains = {**DOMAINS, "model.taper": {"kind": "float", "low": 0.0, "high": 1.0}}
    run = write_run(tmp_path / "long", {"warnings": []})
    facts = run.facts() | {"space_domains": domains}
    run.run.write_text(json.dumps(facts))
    draw, ledger = np.random.default_rng(0), Ledger(run.ledger)
    ledger.append("run_started", trials=30, concurrent=1)
    for number in range(30):
        params = {"model.sample_dim": int(draw.integers(2, 9)), "train.lr": float(10 ** draw.uniform(-4, -1))}
        params |= {"model.hidden": [8] if number % 3 else [8, 8]} | ({"model.taper": 0.5} if number % 2 else {})
        ledger.append("trial_created", trial=number, params=params, seed=0)
        value = abs(np.log10(params["train.lr"]) + 2.5)
        metrics = {"val/entry_mse": value, "best": value, "best_epoch": 1}
        ledger.append("epoch", trial=number, epoch=1, metrics=metrics)
        state = "stopped" if number % 4 else "complete"
        end = {"state": state, "epochs": 1, "best": value, "best_epoch": 1, "reason": "", "seconds": 1.0}
        ledger.append("trial_ended", trial=number, **end)
    ledger.append("run_ended", state="done", reason="")
    ledger.close()
    return run


def test_the_setting_that_decides_is_the_most_important_and_shares_sum_to_one(long):
    found = study.importance(long)

    assert next(iter(found.shares)) == "train.lr" and found.shares["train.lr"] > 0.5
    assert set(found.shares) == set(long.facts()["space_domains"])
    assert sum(found.shares.values()) == pytest.approx(1) and found.n_trials == 30


def test_four_trials_are_too_few_to_tell_importance(finished):
    found = study.importance(finished)

    assert not found.enough and found.shares == {} and found.n_trials == 4
    assert found.first(list(DOMAINS), 2) == list(DOMAINS)[:2]


def test_the_best_so_far_never_gets_worse_and_failed_trials_have_no_value(finished):
    frame = plots.history_data(finished)

    assert frame["best"].dropna().is_monotonic_decreasing
    assert frame.set_index("state").loc["failed", "value"] != frame.set_index("state").loc["failed", "value"]
    assert frame["number"].tolist() == list(range(7))


def test_learning_curves_end_where_a_stopped_trial_stopped_counting(finished):
    frame = plots.curves_data(finished)

    assert frame.groupby("trial")["epoch"].max().to_dict() == {0: 4, 1: 4, 2: 2, 3: 4}


def test_every_figure_is_drawn_and_its_axes_are_titled(long):
    drawn = [plots.history_figure(long), plots.curves_figure(long), plots.importance_figure(long)]
    drawn += [plots.slice_figure(long, "train.lr"), plots.slice_figure(long, "model.hidden")]

    assert all(figure.layout.xaxis.title.text for figure in drawn)
    assert drawn[0].layout.yaxis.title.text == "val/entry_mse (lower is better)"
    assert {trace.name for trace in drawn[0].data} == {"best so far", "complete", "stopped"}
    assert len(plots.parallel_figure(long).data) == 30


def test_five_trials_are_bold_and_the_others_are_one_faint_series(long):
    traces = plots.curves_figure(long).data

    assert len(traces) == 6 and [t.name for t in traces].count("other trials") == 1


def test_a_setting_that_was_not_active_leaves_a_gap_in_its_line(long):
    data = plots.parallel_data(long, study.importance(long))

    active = data.lines.set_index("trial")["model.taper"]
    assert active[active.index % 2 == 0].isna().all() and (active[active.index % 2 == 1] == 0.5).all()
    values = data.lines[[axis.name for axis in data.axes]].to_numpy()
    assert np.nanmin(values) >= 0 and np.nanmax(values) <= 1


@pytest.mark.parametrize(
    ("domain", "value", "where"),
    [
        ({"kind": "float", "low": 1e-4, "high": 1e-2, "log": True}, 1e-3, 0.5),
        ({"kind": "int", "low": 2, "high": 6}, 3, 0.25),
        ({"kind": "choice", "options": [[8], "b"]}, "b", 0.75),
    ],
)
def test_a_value_lies_where_its_scale_says(domain, value, where):
    assert plots.place(domain, value) == pytest.approx(where)


def test_values_far_worse_than_the_rest_are_drawn_at_the_bad_edge(tmp_path):
    level = plots.Level(plots.Objective("val/loss", "min"), 0.0, 2.0)

    assert level.clip(pd.Series([1.0, 1e9, np.nan])).tolist() == [1.0, 2.0, 2.0]
    assert plots.Level(plots.Objective("val/r2", "max"), 0.0, 1.0).clip(pd.Series([-9.0])).tolist() == [0.0]


def test_limits_hold_the_best_trial_and_the_nearest_baseline(finished):
    level, frame = plots.level(finished), plots.history_data(finished)

    assert level.low <= min(frame["value"].min(), 0.5) and level.baseline == ("gene mean", 0.5)


def test_the_loss_of_one_term_that_always_weighs_the_same_is_not_shown(finished):
    assert plots.terms_data(finished).empty


def test_terms_and_weights_that_change_are_those_of_the_best_trial(tmp_path):
    run = write_run(tmp_path / "r", {"warnings": []})
    ledger = Ledger(run.ledger)
    for number, best in enumerate((2.0, 1.0)):
        ledger.append("trial_created", trial=number, params={}, seed=0)
        for epoch in (1, 2, 3):
            told = {"train/mse": best + epoch, "train/mse_weight": 1.0, "train/kl": 9.0, "train/kl_weight": epoch / 3}
            told |= {"val/mse": best, "val/kl": 8.0, "val/kl_weight": 1.0, "val/entry_mse": best, "train/loss": 5.0}
            ledger.append("epoch", trial=number, epoch=epoch, metrics={**told, "best": best, "best_epoch": 1})
        end = {"epochs": 3, "best": best, "best_epoch": 1, "reason": "", "seconds": 1.0}
        ledger.append("trial_ended", trial=number, state="complete", **end)
    ledger.close()

    frame = plots.terms_data(run)

    assert set(map(tuple, frame[["name", "series"]].to_numpy())) == {
        ("mse", "train"), ("mse", "val"), ("kl", "train"), ("kl", "val"), ("kl_weight", "train"),
    }  # fmt: skip
    assert frame.loc[frame["name"] == "kl_weight", "value"].tolist() == [1 / 3, 2 / 3, 1.0]
    assert frame.loc[(frame["name"] == "mse") & (frame["series"] == "val"), "value"].tolist() == [1.0] * 3


def test_a_line_a_series_is_drawn_and_a_legend_only_for_several():
    frame = pd.DataFrame({"series": ["a", "a", "<b>"], "x": [1, 2, 1], "y": [0.1, 0.2, 0.3]})

    several, single = drawing.lines(frame, ("k", "y")), drawing.lines(frame[:2], ("k", "y"))

    assert [trace.name for trace in several.data] == ["a", "&lt;b&gt;"]
    assert several.layout.showlegend and not single.layout.showlegend
