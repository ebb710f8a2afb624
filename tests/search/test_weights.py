"""Which trials keep their weights, in a whole search."""

import pytest

from gxsearch.errors import RunError
from gxsearch.results import leaderboard, package
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen
from gxsearch.search.referee import Standing
from gxsearch.search.weights import unneeded


def run_here(spec, table, folder) -> RunDir:
    opened = begin(spec, table, 1, folder)
    search_here(spec, opened.run, table, opened.referee, lambda: None)
    opened.close("done")
    return opened.run


def kept(run: RunDir) -> set[int]:
    return {int(path.parents[2].name) for path in run.path.glob("trials/*/checkpoints/*/manifest.json")}


def test_the_best_trials_of_a_search_keep_their_weights_and_no_others(toy_spec, toy_table, tmp_path):
    spec = toy_spec("budget.trials=8", "budget.epochs=3", "resources.keep=3")

    run = run_here(spec, toy_table, tmp_path / "run")

    assert kept(run) == {trial.number for trial in leaderboard.ranked(run)[:3]}
    assert package.of_run(run).origin["trial"] == leaderboard.best(run).number
    assert len(leaderboard.table(run)) == 8


def test_a_trial_whose_weights_were_not_kept_is_refused_in_a_line(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("budget.trials=3", "budget.epochs=3", "resources.keep=1"), toy_table, tmp_path / "run")

    with pytest.raises(RunError, match="E637.*were not kept"):
        package.of_run(run, leaderboard.ranked(run)[-1].number)


def ended(number: int, mse: float, knn: float, state: str = "complete") -> Standing:
    told = {"epoch": 1, "val/mse": mse, "val/knn": knn, "best": mse, "best_epoch": 1}
    return Standing(number, {}, 0, [told], state)


def test_trials_of_a_front_and_running_ones_keep_their_weights(toy_spec):
    spec = toy_spec("objective=[{metric: val/mse}, {metric: val/knn}]", "stop=none", "resources.keep=2")
    best, second, third, good_at_knn = ended(0, 1.0, 0.1), ended(1, 2.0, 0.1), ended(2, 3.0, 0.1), ended(3, 9.0, 0.9)
    failed, running = ended(4, 0.5, 0.95, "failed"), ended(5, 8.0, 0.1, "running")

    found = unneeded(spec, [running, failed, good_at_knn, third, second, best])

    assert found == [third, failed]


def test_a_resumed_search_that_is_to_keep_fewer_deletes_the_others(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("budget.trials=5", "budget.epochs=3"), toy_table, tmp_path / "run")
    before = kept(run)
    run.spec.write_text(run.spec.read_text() + "\nresources: {keep: 2}\n")

    with reopen(run, {}) as opened:
        opened.close("done")

    assert before == {trial.number for trial in trials(run.ledger)}
    assert kept(run) == {trial.number for trial in leaderboard.ranked(run)[:2]}
