"""When trials are judged: as Ray's rules do, but after the warm-up and at the ends of cycles."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from gxsearch.models.base import Rhythm
from gxsearch.search import judge as module
from gxsearch.search.judge import Judge
from gxsearch.search.spec import load

TOY_YAML = Path(__file__).parents[1] / "toy" / "toy.yaml"
RULES = [
    "{asha: {grace: 2, reduction: 2}}",
    "{asha: {grace: 1, reduction: 3}}",
    "{hyperband: {grace: 1, reduction: 2, brackets: 3}}",
    "{median: {grace: 2, min_trials: 2}}",
]
PLAIN = {"model.latent_dim": 2}


def rungs(judge: Judge) -> dict[float, dict[str, float]]:
    """Return what is recorded on each rung of the first bracket, lowest first."""
    return dict(reversed(judge._rule._brackets[0]._rungs))


def asked(judge: Judge, monkeypatch) -> list[tuple[str, float]]:
    """Return a list that fills up with the trial and the time of every question to the rule."""
    told, rule = [], judge._rule.on_trial_result

    def listen(controller, trial, result):
        told.append((trial.trial_id, result["epoch"]))
        return rule(controller, trial, result)

    monkeypatch.setattr(judge._rule, "on_trial_result", listen)
    return told


@given(st.floats(0, 1), st.integers(1, 60))
def test_the_warmup_is_over_after_the_epoch_that_completes_its_share(warmup, length):
    epochs = Rhythm(warmup).warmup_epochs(length)

    assert epochs / length >= warmup - 1e-6
    assert epochs == 0 or (epochs - 1) / length < warmup


@given(st.integers(1, 30), st.integers(1, 120))
def test_a_cycle_is_looked_at_after_its_last_whole_epoch(cycles, length):
    rhythm = Rhythm(0.0, 1 / cycles)

    found = {epoch for epoch in range(1, length + 1) if rhythm.comparable(epoch, length)}

    assert found == {k * length // cycles for k in range(1, cycles + 1)} - {0}


@pytest.mark.parametrize(
    ("rhythm", "length", "epochs"),
    [
        (Rhythm(), 5, [1, 2, 3, 4, 5]),
        (Rhythm(0.4), 5, [3, 4, 5]),
        (Rhythm(0.41), 5, [4, 5]),
        (Rhythm(0.25, 0.25), 40, [20, 30, 40]),
        (Rhythm(0.0, 0.25), 10, [2, 5, 7, 10]),  # cycles end at 2.5, 5, 7.5 and 10
        (Rhythm(0.25, 0.25), 10, [5, 7, 10]),
        (Rhythm(0.0, 0.05), 10, list(range(1, 11))),  # two cycles an epoch
        (Rhythm(1.0), 5, []),
    ],
)
def test_the_epochs_that_are_compared(rhythm, length, epochs):
    assert [e for e in range(1, length + 1) if rhythm.comparable(e, length)] == epochs


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(RULES))
def test_without_warmup_and_cycles_the_verdicts_are_those_of_rays_rule_asked_every_epoch(seed, rule):
    spec = load(TOY_YAML, [f"stop={rule}", "budget.epochs=13"])
    ours, theirs = Judge(spec), _plain_rule(spec)
    draw, alive = random.Random(seed), {}
    for number in range(12):
        ours.add(number, PLAIN)
        module.np.random.seed(module.derive(spec.search.seed, "bracket", number) % 2**32)
        theirs.on_trial_add(module._NoController(), module._Trial(f"{number:05d}"))
        alive[number] = {"epoch": 0, "best": 1.0}
    while alive:
        number = draw.choice(sorted(alive))
        last = alive[number]
        metrics = {"epoch": last["epoch"] + 1, "best": min(last["best"], draw.random())}
        alive[number] = metrics
        trial = module._Trial(f"{number:05d}")
        wanted = theirs.on_trial_result(module._NoController(), trial, metrics)

        assert ours.keep_on(number, metrics) == (wanted != TrialScheduler.STOP)

        if wanted == TrialScheduler.STOP or metrics["epoch"] == 13:
            ours.remove(number, metrics)
            theirs.on_trial_complete(module._NoController(), trial, metrics)
            del alive[number]


def _plain_rule(spec):
    """Return Ray's rule as a search without rhythms used it before there were any."""
    stop, common = spec.stop, {"metric": "best", "mode": "min", "time_attr": "epoch"}
    if stop.kind == "median":
        return MedianStoppingRule(grace_period=stop.grace, min_samples_required=stop.min_trials, **common)
    brackets = stop.brackets if stop.kind == "hyperband" else 1
    sizes = {"max_t": spec.budget.epochs + 1, "grace_period": stop.grace, "reduction_factor": stop.reduction}
    return AsyncHyperBandScheduler(brackets=brackets, **sizes, **common)


@pytest.mark.parametrize("rule", RULES)
def test_a_hopeless_trial_is_stopped_only_after_its_warmup(toy_spec, rule):
    spec = toy_spec(f"stop={rule}", "budget.epochs=20", "space.model.warmup=0.5")
    judge = Judge(spec)
    for number in range(6):
        judge.add(number, PLAIN)

    for epoch in range(1, 11):
        assert all(judge.keep_on(number, {"epoch": epoch, "best": 0.1 * number}) for number in range(6))
    stopped = {}
    for epoch in range(11, 21):
        for number in [n for n in range(6) if n not in stopped]:
            if not judge.keep_on(number, {"epoch": epoch, "best": 0.1 * number}):
                stopped[number] = epoch

    assert 5 in stopped and 0 not in stopped
    assert min(stopped.values()) >= 10 + spec.stop.grace


@pytest.mark.parametrize("rule", RULES)
def test_rungs_count_from_the_end_of_each_trials_own_warmup(toy_spec, rule, monkeypatch):
    spec = toy_spec(f"stop={rule}", "budget.epochs=20", "space.model.warmup={choice: [0.0, 0.5]}")
    judge = Judge(spec)
    told = asked(judge, monkeypatch)
    for number, warmup in enumerate((0.0, 0.5)):
        judge.add(number, {**PLAIN, "model.warmup": warmup})

    for epoch in range(1, 21):
        judge.keep_on(0, {"epoch": epoch, "best": 0.1})
        judge.keep_on(1, {"epoch": epoch, "best": 0.1})

    assert [time for trial, time in told if trial == "00000"] == list(range(1, 21))
    assert [time for trial, time in told if trial == "00001"] == list(range(1, 11))


@pytest.mark.parametrize("rule", RULES)
def test_a_trial_with_cycles_is_asked_about_at_their_ends_only(toy_spec, rule, monkeypatch):
    judge = Judge(toy_spec(f"stop={rule}", "budget.epochs=30", "space.model.cycle=0.15", "space.model.warmup=0.15"))
    told = asked(judge, monkeypatch)
    judge.add(0, PLAIN)

    assert all(judge.keep_on(0, {"epoch": epoch, "best": 1 / epoch}) for epoch in range(1, 31))

    ends = [9, 13, 18, 22, 27]  # of cycles of 4.5 epochs, the first of which is warm-up: five epochs
    assert told == [("00000", epoch - 5) for epoch in ends]


def test_a_rung_that_is_passed_between_two_questions_is_not_entered_later(toy_spec):
    spec = toy_spec(
        "stop={asha: {grace: 2, reduction: 2}}", "budget.epochs=40", "space.model.cycle={choice: [0, 0.25]}"
    )
    judge = Judge(spec)
    judge.add(0, {**PLAIN, "model.cycle": 0.25})

    for epoch in range(1, 31):
        assert judge.keep_on(0, {"epoch": epoch, "best": 1 / epoch})

    found = {rung: recorded.get("00000") for rung, recorded in rungs(judge).items()}
    assert found == {2: None, 4: None, 8: -1 / 10, 16: -1 / 20, 32: None}  # Ray turns the sign of what is least


def test_a_trial_with_cycles_is_stopped_at_the_end_of_one(toy_spec):
    judge = Judge(toy_spec("stop={asha: {grace: 2, reduction: 2}}", "budget.epochs=40", "space.model.cycle=0.25"))
    judge.add(0, PLAIN)
    judge.add(1, PLAIN)

    for epoch in range(1, 11):
        judge.keep_on(0, {"epoch": epoch, "best": 0.1})
    kept = [judge.keep_on(1, {"epoch": epoch, "best": 0.9}) for epoch in range(1, 11)]

    assert kept == [True] * 9 + [False]


@pytest.mark.parametrize("rule", RULES)
def test_a_trial_that_ends_within_its_warmup_is_entered_on_no_rung(toy_spec, rule):
    judge = Judge(toy_spec(f"stop={rule}", "budget.epochs=20", "space.model.warmup={choice: [0.0, 0.5]}"))
    for number in range(4):
        judge.add(number, {**PLAIN, "model.warmup": 0.5})
        judge.remove(number, {"epoch": 9, "best": 0.0})
    judge.add(4, {**PLAIN, "model.warmup": 0.0})

    assert all(judge.keep_on(4, {"epoch": epoch, "best": 0.9}) for epoch in range(1, 21))
