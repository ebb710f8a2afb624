"""A search begins from the best settings of older runs, of other data and other spaces too."""

import json
import shutil
from pathlib import Path

import pytest

from gxsearch import api
from gxsearch.cli import main
from gxsearch.errors import RunError, SpecError
from gxsearch.results import leaderboard
from gxsearch.results.run_dir import RunDir
from gxsearch.search.intake import read_table
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin
from gxsearch.search.spec import Spec, load
from gxsearch.search.warm import fitted, warmed

TOY = Path(__file__).parents[1] / "toy" / "toy.yaml"


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> RunDir:
    """A search of six trials on other data."""
    spec = load(TOY, ("budget.trials=6", "budget.epochs=2", "stop=none", "data.path=sim_bulk?n=60&g=20&seed=7"))
    table = read_table(spec)
    with begin(spec, table, 1, tmp_path_factory.mktemp("older") / "older") as opened:
        search_here(spec, opened.run, table, opened.referee, lambda: None)
        opened.close("done")
        return opened.run


def test_the_best_trials_of_an_older_run_come_after_the_spec_s_own_first_draws(toy_spec, older):
    spec = toy_spec("search.start=[{latent_dim: 2}]")

    found = warmed(spec, [older.path], top=3)

    best = leaderboard.ranked(older)[:3]
    assert found.search.start == [{"model.latent_dim": 2}, *(trial.params for trial in best)]
    assert found.notes[-1].endswith("trials " + ", ".join(f"{t.number:03d}" for t in best))
    assert Spec.from_json(found.to_json()) == found  # what run.json keeps, and a resumed search reads


def test_values_outside_the_new_ranges_are_left_to_be_drawn_and_told(toy_spec, older):
    best = leaderboard.best(older).params["model.latent_dim"]
    spec = toy_spec(f"model.latent_dim.int=[{best + 1},{best + 2}]")

    found = warmed(spec, [older.path], top=1)

    assert set(found.search.start[0]) == {"train.lr"}
    assert f"drawn anew: model.latent_dim {best} (not in whole {best + 1}" in found.notes[-1]


def test_what_older_trials_had_fixed_or_by_default_counts_where_the_new_search_draws_it(toy_spec, older):
    spec = toy_spec("train.batch_size.choice=[16,32]", "train.lr=1e-2")

    found = warmed(spec, [older.path], top=2)

    assert {draw["train.batch_size"] for draw in found.search.start} == {32}
    assert not any("train.lr" in draw for draw in found.search.start)


def test_draws_of_several_runs_take_turns_and_none_comes_twice(toy_spec, older, tmp_path):
    other = api.train(toy_spec("model.latent_dim=3", "train.lr=2e-2"), out=tmp_path, name="other", quiet=True)

    found = warmed(toy_spec(), [older.path, other.path, older.path], top=2)

    first, second = (trial.params for trial in leaderboard.ranked(older)[:2])
    assert found.search.start == [first, {"model.latent_dim": 3, "train.lr": 0.02}, second]
    assert found.notes[-1].endswith("none that this search does not begin with")


def test_a_search_trains_the_draws_it_is_given_first(toy_spec, older, tmp_path):
    spec = warmed(toy_spec("budget.trials=3", "budget.epochs=1", "stop=none"), [older.path], top=2)

    table = read_table(spec)
    with begin(spec, table, 1, tmp_path / "new") as opened:
        search_here(spec, opened.run, table, opened.referee, lambda: None)
        opened.close("done")

    found = {trial.number: trial.params for trial in leaderboard.ranked(opened.run)}
    assert [found[0], found[1]] == [trial.params for trial in leaderboard.ranked(older)[:2]]
    assert found[2] not in (found[0], found[1])
    assert opened.run.facts()["spec"]["search"]["start"] == [found[0], found[1]]


def test_a_setting_whose_parent_is_drawn_anew_is_drawn_anew_too(toy_spec):
    space = toy_spec("model.latent_dim.int=[1,2]", "train.lr={float: [0.01, 0.1], when: {latent_dim: 2}}").space

    assert fitted(space, {"model.latent_dim": 5, "train.lr": 0.05}) == ({}, {"model.latent_dim": 5})
    assert fitted(space, {"model.latent_dim": 1, "train.lr": 0.05}) == ({"model.latent_dim": 1}, {})
    assert fitted(space, {"model.latent_dim": 2, "train.lr": 0.05})[0] == {"model.latent_dim": 2, "train.lr": 0.05}


def test_what_cannot_be_begun_from_is_refused_all_at_once(toy_spec, older, own_of_another_model, tmp_path):
    with pytest.raises(RunError) as missing:
        warmed(toy_spec(), [tmp_path / "a", older.path, tmp_path / "b"])
    with pytest.raises(SpecError, match="E340.*this run is of vae, and the search of toy"):
        warmed(toy_spec(), [own_of_another_model])
    with pytest.raises(SpecError, match="E341"):
        warmed(toy_spec("search.sampler=grid", "train.lr=1e-2"), [older.path])
    with pytest.raises(SpecError, match="E342.*widen the ranges"):
        warmed(toy_spec("model.latent_dim=2", "train.lr.float=[0.5,0.6]"), [older.path])

    assert [fault.code for fault in missing.value.faults] == ["E601", "E601"]


@pytest.fixture
def own_of_another_model(older, tmp_path):
    """A copy of the older run that says it is of another model."""
    path = shutil.copytree(older.path, tmp_path / "copy")
    facts = json.loads((path / "run.json").read_text())
    facts["spec"]["model"] = "vae"
    facts.pop("sha256")
    (path / "run.json").write_text(json.dumps(facts))
    return path


def test_the_command_line_takes_the_same_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["tune", str(TOY), "--from", str(tmp_path / "none"), "--top", "2"])

    assert "E601" in capsys.readouterr().err
