"""A run folder that is deleted or moved away while its search runs: it ends, in one line, and leaves nothing (F11)."""

from __future__ import annotations

import shutil

import pytest
from damage import told
from shell import count, one_line, wait_for

from gxsearch.errors import RunFailed
from gxsearch.results.run_dir import RunDir
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen

slow = pytest.mark.slow


def delete(run: RunDir) -> None:
    """Delete a run folder, though the search writes to it while that is going on."""
    while run.path.exists():
        shutil.rmtree(run.path, ignore_errors=True)


HOW = {"deleted": delete, "moved": lambda run: run.path.rename(run.path.with_name("new"))}


@pytest.mark.fault("F22")
@pytest.mark.parametrize(
    ("verb", "how"),
    [
        ("train", "deleted"),
        pytest.param("train", "moved", marks=slow),
        pytest.param("tune", "deleted", marks=slow),
        pytest.param("tune", "moved", marks=slow),
    ],
)
def test_a_search_whose_folder_is_taken_away_ends_in_a_line(folder, start, verb, how):
    run = RunDir(folder / "runs" / "run")
    command = start(verb, "slow.yaml", "--name", "run", "-q", "-s", "budget.epochs=400", "-s", "stop=none")
    wait_for(lambda: count(run, "epoch") >= 3, why=lambda: command.err)

    HOW[how](run)

    assert command.wait(60) == 7
    line = one_line(command)
    assert line.startswith(f"error[E713] {run.path}: the run folder was deleted or moved")
    command.check_gone()
    if how == "moved":
        with reopen(RunDir.open(run.path.with_name("new")), {}) as opened:
            assert opened.referee.trials[0].state == "running"


@pytest.mark.fault("F22")
def test_what_was_moved_goes_on_where_it_is_and_ends_the_same(toy_spec, toy_table, tmp_path):
    whole = begin(toy_spec(), toy_table, 1, tmp_path / "whole")
    with whole:
        search_here(whole.spec, whole.run, toy_table, whole.referee, lambda: None)
        whole.close("done")
    opened, new, left = begin(toy_spec(), toy_table, 1, tmp_path / "run"), RunDir(tmp_path / "new"), [9]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            opened.run.path.rename(new.path)

    with pytest.raises(RunFailed, match="E713.*if it was moved: gxsearch resume"), opened:
        search_here(opened.spec, opened.run, toy_table, opened.referee, tick)

    again = reopen(new, {})
    with again:
        search_here(again.spec, new, toy_table, again.referee, lambda: None)
        again.close("done")
    assert told(new) == told(whole.run)
