"""Where the study of a search is kept: what its sampler sees of it, and what is in the file."""

import random
import warnings

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from gxsearch.search import journal
from gxsearch.search.study import Study, _suggest
from gxsearch.training.loop import derive

WHEN = "space.model.explode_at={choice: [0, 1], when: {latent_dim: {ge: 3}}}"
"""A setting that only some draws have."""


def end(study, rng: random.Random, number: int) -> tuple[str, float]:
    """Report two epochs of a trial and tell its end; return what was told."""
    for epoch in (1, 2):
        study.report(number, rng.random(), epoch)
    state, value = rng.choice(["complete", "stopped", "failed"]), rng.random()
    study.tell(number, state, [value], "")
    return state, value


def searched(spec, path, trials: int, running: int) -> list[dict]:
    """Return the draws of a search in which the oldest trial ends whenever more than `running` run."""
    study, rng, draws = Study(spec, path), random.Random(0), []
    for number in range(trials):
        draws.append(study.ask(number))
        if number >= running:
            end(study, rng, number - running)
    study.flush()
    return draws


def test_a_short_search_draws_what_plain_optuna_draws(toy_spec, tmp_path):
    spec, running, rng = toy_spec("search.startup=5", WHEN), 3, random.Random(0)
    plain, asked = optuna.create_study(direction="minimize"), []
    states = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}

    draws = searched(spec, tmp_path / "journal", 60, running)

    for number in range(60):
        plain.sampler = TPESampler(n_startup_trials=5, seed=derive(spec.search.seed, "draw", number) % 2**32)
        asked.append(plain.ask())
        drawn = spec.space.draw(lambda name, domain: _suggest(asked[-1], name, domain))
        assert draws[number] == drawn, f"trial {number}"
        if number >= running:
            trial = asked[number - running]
            for epoch in (1, 2):
                trial.report(rng.random(), epoch)
            state, value = states[rng.choice(list(states))], rng.random()
            plain.tell(trial, value if state == TrialState.COMPLETE else None, state=state)


def test_of_a_long_search_the_sampler_sees_the_latest_the_best_and_the_last_running(toy_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "LATEST", 6)
    monkeypatch.setattr(journal, "BEST", 3)
    monkeypatch.setattr(journal, "RUNNING", 2)
    study = Study(toy_spec("search.startup=5"), tmp_path / "journal")

    for number in range(40):
        study.ask(number)
        if number < 35:
            study.report(number, 1.0, 1)
            best = number in (4, 9, 14)
            study.tell(number, "complete" if best else "stopped", [number / 100], "")

    seen = study._study.get_trials(deepcopy=False)
    assert [trial.number for trial in seen] == [4, 9, 14, *range(29, 35), 38, 39]
    assert len(study._study.get_trials()) == 40


def test_a_long_search_repeats_itself_and_differs_from_one_whose_sampler_sees_all(toy_spec, tmp_path, monkeypatch):
    spec = toy_spec("search.startup=5", WHEN)
    whole = searched(spec, tmp_path / "whole", 60, 4)
    for name, n in {"LATEST": 12, "BEST": 5, "RUNNING": 3}.items():
        monkeypatch.setattr(journal, name, n)

    first, second = searched(spec, tmp_path / "first", 60, 4), searched(spec, tmp_path / "second", 60, 4)

    assert first == second
    assert first[:12] == whole[:12]
    assert first != whole


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_draws_that_are_known_are_taken_as_they_were_and_new_ones_go_on(toy_spec, tmp_path, sampler):
    spec = toy_spec("search.startup=5", f"search.sampler={sampler}", WHEN)
    draws = searched(spec, tmp_path / "once", 30, 3)

    study, rng = Study(spec, tmp_path / "again"), random.Random(0)
    for number, draw in enumerate(draws):
        assert study.ask(number, draw if number < 20 else None) == draw
        if number >= 3:
            end(study, rng, number - 3)


def test_the_file_holds_what_optuna_can_open(toy_spec, tmp_path):
    spec = toy_spec("search.startup=5", WHEN)
    draws = searched(spec, tmp_path / "journal", 20, 2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    opened = optuna.load_study(study_name=spec.name, storage=storage)

    assert len(opened.trials) == len(draws)
    assert sum(trial.state == TrialState.RUNNING for trial in opened.trials) == 2
    for draw, trial in zip(draws, opened.trials, strict=True):
        assert set(trial.params) == set(draw)
        assert len(trial.intermediate_values) == (0 if trial.state == TrialState.RUNNING else 2)
