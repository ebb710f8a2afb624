"""A spec.yaml that is edited between a start and a resume: budget and resources may change, nothing else (F23, F24)."""

from __future__ import annotations

import pytest

from gxsearch.errors import SpecError
from gxsearch.results.ledger import trials
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen


def go_on(opened) -> None:
    with opened:
        search_here(opened.spec, opened.run, opened.table, opened.referee, lambda: None)
        opened.close("done")


@pytest.fixture
def run(toy_spec, toy_table, tmp_path):
    """A search of three trials that is done."""
    opened = begin(toy_spec("stop=none"), toy_table, 1, tmp_path / "run")
    opened.close("interrupted")
    return opened.run


def edit(run, old: str, new: str) -> None:
    text = run.spec.read_text()
    assert old in text
    run.spec.write_text(text.replace(old, new))


@pytest.mark.fault("F23", "F24")
@pytest.mark.parametrize(
    ("old", "new", "section"),
    [
        ("latent_dim: {int: [1, 6]}", "latent_dim: {int: [1, 4]}", "space"),
        ("startup: 4", "startup: 4, sampler: random", "search"),
        ("startup: 4", "startup: 4, seed: 1", "search"),
        ("model: toy", "model: fe", "model"),
        ("val/mse", "val/r2", "objective"),
        ("n=120", "n=60", "data"),
    ],
)
def test_what_decides_the_trials_may_not_be_edited(run, old, new, section):
    edit(run, old, new)
    before = run.ledger.read_bytes()

    with pytest.raises(SpecError, match=rf"E327.*spec.yaml:\d+:\d+: '{section}' was changed since the search began"):
        reopen(run, {})

    assert run.ledger.read_bytes() == before


@pytest.mark.fault("F23")
def test_a_budget_that_was_edited_holds(run):
    edit(run, "trials: 12", "trials: 3")

    go_on(reopen(run, {}))

    assert len(trials(run.ledger)) == 3


@pytest.mark.fault("F23")
def test_the_command_line_goes_before_the_file_and_a_later_resume_before_an_older_edit(run):
    edit(run, "trials: 12", "trials: 3")

    go_on(reopen(run, {"trials": 2}))
    assert len(trials(run.ledger)) == 2
    go_on(reopen(run, {"trials": 4}))
    assert len(trials(run.ledger)) == 4
    go_on(reopen(run, {}))
    assert len(trials(run.ledger)) == 4


@pytest.mark.fault("F23")
def test_resources_may_be_edited(run):
    run.spec.write_text(run.spec.read_text() + "\nresources: {cpus: 2, stall_s: 60}\n")

    with reopen(run, {}) as opened:
        assert (opened.spec.resources.cpus, opened.spec.resources.stall_s) == (2.0, 60.0)


@pytest.mark.fault("F23")
@pytest.mark.parametrize(("new", "code"), [("trials: none", "E303"), ("trails: 3", "E301"), ("trials: [", "E304")])
def test_a_faulty_edit_is_refused_at_its_line(run, new, code):
    edit(run, "trials: 12", new)

    with pytest.raises(SpecError, match=rf"{code}.*spec.yaml:\d+:\d+"):
        reopen(run, {})


@pytest.mark.fault("F23")
def test_comments_and_spaces_change_nothing(run):
    run.spec.write_text("# mine\n\n" + run.spec.read_text())

    with reopen(run, {}) as opened:
        assert not opened.referee.trials
