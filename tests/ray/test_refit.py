"""The best settings once more, under a TorchTrainer: as in this process, and from the run alone."""

import pytest
from click.testing import CliRunner

from gxsearch import api
from gxsearch.cli import cli
from gxsearch.errors import RunError
from gxsearch.results import leaderboard
from gxsearch.results.run_dir import RunDir


@pytest.fixture
def run(toy_spec, tmp_path):
    return api.train(toy_spec("budget.epochs=3"), out=tmp_path, name="old", quiet=True)


@pytest.mark.slow
def test_a_refit_under_a_torch_trainer_gives_what_this_process_gives_and_goes_on_for_longer(run, tmp_path):
    before = (run.ledger.read_bytes(), run.leaderboard.read_bytes())

    done = CliRunner().invoke(cli, ["refit", str(run.path), "--out", str(tmp_path), "--name", "new", "-q"])
    longer = api.refit(run.path, epochs=5, out=tmp_path, name="longer", quiet=True)

    assert done.exit_code == 0, done.output
    new = leaderboard.best(RunDir.open(tmp_path / "new"))
    assert [m["val/mse"] for m in new.history] == [m["val/mse"] for m in leaderboard.best(run).history]
    assert len(leaderboard.best(longer).history) == 5
    assert (longer.best / "manifest.json").exists()
    assert (run.ledger.read_bytes(), run.leaderboard.read_bytes()) == before, "the old run is only read"


def test_there_is_no_refit_of_a_trial_that_is_not_there(run):
    with pytest.raises(RunError, match="E630"):
        api.refit(run.path, 7)
