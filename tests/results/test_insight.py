"""What a ledger teaches, against ledgers made so that the answer is known."""

import json
import math

import numpy as np
import pytest
from synthetic_run import write_run

from gxsearch.results.edge import edges, grammar
from gxsearch.results.forecast import expected_best, forecast
from gxsearch.results.insight import insight
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import Ledger, TrialRecord
from gxsearch.results.progress import progress, waste
from gxsearch.results.stopping import stopping
from gxsearch.results.study import resampled
from gxsearch.search.domain import from_json
from gxsearch.search.yaml_file import parse_value

LESS, MORE = Objective("val/loss", "min"), Objective("val/r2", "max")
LR = {"kind": "float", "low": 1e-3, "high": 1e-2, "log": True, "step": None}
WIDTH = {"kind": "int", "high": 64, "log": True}
BATCH = {"kind": "int", "low": 64, "high": 256, "step": 64}


def trial(number, curve, state="complete", reason="", params=None, objective=LESS, seconds=None):
    """Return a trial whose objective goes along a curve."""
    best, history = None, []
    for epoch, value in enumerate(curve, 1):
        if best is None or objective.key(value) < objective.key(best[0]):
            best = value, epoch
        history.append({"epoch": epoch, "best": best[0], "best_epoch": best[1]})
    value, at = best or (None, 0)
    spent = float(len(curve)) if seconds is None else seconds
    return TrialRecord(number, params or {}, 0, history, state, reason, value, at, spent)


def stopped(number, curve):
    return trial(number, curve, "stopped", f"early, at epoch {len(curve)}")


def facts(domains, model="vae"):
    """Return as much of run.json as finding edges takes."""
    return {"space_domains": domains, "spec": {"model": model, "space": {"fixed": {}}}}


def at(*values, name="train.lr"):
    """Return trials, best first, with these values of a setting."""
    return [trial(i, [float(i)], params={name: value}) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("name", "domain", "best", "end", "told"),
    [
        ("train.lr", LR, 1e-2, "upper", "{float: [0.001, 0.1], log: true}"),
        ("train.lr", LR, 1e-3, "lower", "{float: [1e-4, 0.01], log: true}"),
        ("model.dropout", {"kind": "float", "low": 0.2, "high": 0.6}, 0.6, "upper", "{float: [0.2, 0.8]}"),
        ("model.dropout", {"kind": "float", "low": 0.2, "high": 0.6}, 0.2, "lower", "{float: [0.0, 0.6]}"),
        ("model.dropout", {"kind": "float", "low": 0.2, "high": 0.9}, 0.9, "upper", "{float: [0.2, 0.95]}"),
        ("model.latent_dim", WIDTH | {"low": 8}, 64, "upper", "{int: [8, 512], log: true}"),
        ("model.latent_dim", WIDTH | {"low": 4}, 4, "lower", "{int: [1, 64], log: true}"),
        ("train.batch_size", BATCH, 256, "upper", "{int: [64, 320], step: 64}"),
    ],
)  # fmt: skip
def test_a_best_value_at_an_end_is_flagged_with_the_range_to_try_within_the_setting_s_bounds(
    name, domain, best, end, told
):
    found = edges(facts({name: domain}), at(best, name=name))

    assert [(edge.name, edge.end, edge.try_next) for edge in found] == [(name, end, told)]


def test_the_range_to_try_reads_back_as_a_domain_that_reaches_further():
    (edge,) = edges(facts({"train.lr": LR}), at(1e-2))

    domain = from_json(parse_value(edge.try_next, "train.lr"))

    assert domain.log and domain.low == 1e-3 and domain.high == pytest.approx(0.1)


def test_an_end_where_the_setting_itself_ends_is_not_flagged():
    dropout = {"kind": "float", "low": 0.0, "high": 0.5}

    assert edges(facts({"model.dropout": dropout}), at(0.0, name="model.dropout")) == []
    assert edges(facts({"train.batch_size": BATCH}), at(64, name="train.batch_size")) == []  # a step below is none


def test_a_value_that_the_model_refuses_beside_the_others_is_not_suggested():
    domain = {"kind": "float", "low": 0.1, "high": 0.5}
    ranked = at(0.5, name="model.mask_width")
    ranked[0].params["model.mask_min"] = 0.5  # the two may not be more than one together

    (edge,) = edges(facts({"model.mask_width": domain}), ranked)

    assert edge.end == "upper" and edge.try_next is None


def test_choices_and_values_in_the_middle_are_not_flagged():
    domains = {"train.lr": LR, "model.skip": {"kind": "choice", "options": ["none", "pca"]}}

    assert edges(facts(domains), [trial(0, [1.0], params={"train.lr": 3e-3, "model.skip": "pca"})]) == []


def test_most_of_the_best_trials_near_an_end_are_flagged_though_the_best_is_not_there():
    values = [4e-3, 9.5e-3, 9.6e-3, 9.7e-3, 5e-3, *[2e-3] * 5]

    (edge,) = edges(facts({"train.lr": LR}), at(*values))

    assert (edge.end, edge.near, edge.among, edge.value) == ("upper", 3, 5, None)
    assert "most of the best values are at the upper end" in edge.sentence


def test_a_model_that_is_not_installed_has_edges_without_a_range_to_try():
    (edge,) = edges(facts({"train.lr": LR}, model="none-such"), at(1e-2))

    assert edge.try_next is None and "may be chance" in edge.sentence


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        ({"kind": "float", "log": True}, "{float: [1e-5, 100.0], log: true}"),
        ({"kind": "int", "step": 2}, "{int: [0, 100], step: 2}"),
    ],
)
def test_ranges_are_written_as_the_file_of_a_search_space_has_them(domain, text):
    assert grammar(domain, 1e-5, 100) == text


def test_early_stopping_saved_the_epochs_that_were_not_trained_at_each_trial_s_pace():
    found = [trial(0, [3, 2, 1, 1]), stopped(1, [5]), stopped(2, [4, 4])]
    found[1].seconds, found[2].seconds = 2.0, 2.0

    told = stopping(found, LESS, 4)

    assert (told.stopped, told.completed, told.epochs) == (2, 1, 5)
    assert told.seconds == 3 * 2.0 + 2 * 1.0 and told.share == 5 / 12
    assert told.chance is None and "cannot be told: only one trial was trained to the end" in told.sentences[-1]


def test_a_trial_that_the_end_of_the_time_cut_was_not_stopped_early():
    found = [trial(0, [3, 2]), trial(1, [4], "stopped", "time budget")]

    assert stopping(found, LESS, 2).stopped == 0 and stopping(found, LESS, 2).sentences == []


def _parallel(levels, epochs=8):
    """Return curves that never cross: each falls by the same steps from its own level."""
    noise = np.random.default_rng(0)
    return [[level + 1 / epoch + 1e-3 * noise.normal() for epoch in range(1, epochs + 1)] for level in levels]


def test_where_curves_never_cross_a_stopped_trial_would_not_have_won():
    done = [trial(i, curve) for i, curve in enumerate(_parallel(range(8)))]
    cut = [stopped(8 + i, curve[:2]) for i, curve in enumerate(_parallel([3, 5, 9]))]

    told = stopping([*done, *cut], LESS, 8)

    assert told.chance < 0.01 and told.correlation == pytest.approx(1) and told.winner_rank == 1
    assert "below 1 %" in told.sentences[-1]


def test_where_early_values_say_nothing_of_final_ones_many_stopped_trials_may_have_won():
    draw = np.random.default_rng(1)
    done = [trial(i, [10 + draw.normal(), draw.normal()]) for i in range(10)]
    cut = [stopped(10 + i, [10 + draw.normal()]) for i in range(30)]

    told = stopping([*done, *cut], LESS, 2)

    assert told.chance > 0.3 and told.epoch == 1


def test_more_is_better_is_judged_like_less_is_better():
    curves = _parallel(range(8))
    done, cut = curves[:7], curves[7][:2]
    less = [*(trial(i, c) for i, c in enumerate(done)), stopped(7, cut)]
    more = [trial(i, [-v for v in c], objective=MORE) for i, c in enumerate(done)]
    more.append(trial(7, [-v for v in cut], "stopped", "early, at epoch 2", objective=MORE))

    assert stopping(less, LESS, 8) == stopping(more, MORE, 8)


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ([10 - e for e in range(10)], "rising"),
        ([2 + 8 * 0.1**e for e in range(10)], "flat"),
        ([5, 1, 2, 3, 4, 4, 4, 4, 4, 4], "early"),
        ([9, 8, 7, 6, 5, 4, 3, 4, 5, 6], "mixed"),
        ([9, 8, 7, 7], "early"),
    ],
)
def test_learning_curves_are_told_by_their_form(curve, verdict):
    assert progress([trial(0, curve)], LESS, 10).verdict == verdict


def test_without_a_trial_trained_to_the_end_nothing_is_told_of_more_epochs():
    assert progress([stopped(0, [3, 2])], LESS, 9).verdict == "unknown"


def test_what_came_to_nothing_is_added_up():
    found = [
        trial(0, [3, 1, 2, 2], params={"a": 1}),
        trial(1, [3, 2], params={"a": 1}),
        trial(2, [3], "diverged", params={"a": 2}),
        trial(3, [], "failed", params={"a": 3}, seconds=0.5),
    ]

    told = waste(found)

    assert told.lost == {"failed": (1, 0, 0.5), "diverged": (1, 1, 1.0)}
    assert (told.duplicates, told.beyond, told.epochs) == (1, 2, 7)
    assert waste(found, repeats=2).duplicates == 0


def test_the_expected_best_is_the_mean_over_all_subsets():
    values = np.array([1.0, 2.0, 4.0, 7.0])

    assert expected_best(values, 1) == values.mean() and expected_best(values, 4) == 1.0
    assert expected_best(values, 2) == pytest.approx((1 * 3 + 2 * 2 + 4) / 6)


def test_the_forecast_is_right_on_the_average_of_uniform_values():
    draw, n = np.random.default_rng(0), 32
    told = [forecast(draw.uniform(size=n), LESS, "random", 0) for _ in range(60)]

    true = 1 / (n + 1) - 1 / (2 * n + 1)

    assert np.mean([one.gain for one in told]) == pytest.approx(true, rel=0.35)
    assert np.mean([one.low <= true <= one.high for one in told]) > 0.7


def test_a_sampler_that_learns_is_said_to_make_the_forecast_rough():
    values = np.linspace(0, 1, 20)

    tpe, random = (forecast(values, LESS, sampler, 10) for sampler in ("tpe", "random"))

    assert tpe.gain == random.gain and random.exchangeable and not tpe.exchangeable
    assert "take it as rough" in tpe.sentences[-1] and "rough" not in " ".join(random.sentences)


def test_seven_trials_are_too_few_for_a_forecast():
    told = forecast(np.arange(7.0), MORE, "random", 0)

    assert told.gain is None and math.isnan(told.low) and "cannot be told from 7" in told.sentences[0]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Forty trials of which one setting decides, near the end of its range, and two do nothing."""
    names = ("train.lr", "model.dropout", "model.mask_width")
    domains = {name: {"kind": "float", "low": 0.1, "high": 0.5} for name in names}
    run = write_run(
        tmp_path_factory.mktemp("runs") / "long", {"warnings": []}, model="vae", search={"sampler": "random"}
    )
    run.run.write_text(json.dumps(run.facts() | {"space_domains": domains}))
    draw, ledger = np.random.default_rng(0), Ledger(run.ledger)
    for number in range(40):
        params = {name: float(draw.uniform(0.1, 0.5)) for name in names}
        ledger.append("trial_created", trial=number, params=params, seed=0)
        value = 1 - params["train.lr"]
        for epoch in range(1, 5):
            now = value + 1 / epoch
            metrics = {"val/entry_mse": now, "best": now, "best_epoch": epoch}
            ledger.append("epoch", trial=number, epoch=epoch, metrics=metrics)
        end = {"epochs": 4, "best": value + 0.25, "best_epoch": 4, "reason": "", "seconds": 1.0}
        ledger.append("trial_ended", trial=number, state="complete", **end)
    ledger.close()
    return run


def test_the_setting_that_decides_is_told_from_those_that_do_nothing(long):
    found = resampled(long)

    assert next(iter(found.shares)) == "train.lr" and found.unsure == {"model.dropout", "model.mask_width"}
    assert sum(found.shares.values()) == pytest.approx(1)
    assert all(low <= found.shares[name] <= high for name, (low, high) in found.bands.items())
    assert resampled(long) == found


def test_four_trials_have_no_bands(finished):
    assert resampled(finished).bands == {}


def test_all_of_it_is_told_in_sentences(long):
    told = insight(long)

    assert [edge.name for edge in told.edges] == ["train.lr"] and told.edges[0].end == "upper"
    sentences = dict(told.told)
    assert sentences["Settings"] == ["train.lr matters; the other 2 cannot be told from settings without effect."]
    assert "still improving at the end" in sentences["Epochs"][0] and "Early stopping" not in sentences
    assert "Doubling the trials would gain about" in sentences["More trials"][0]
