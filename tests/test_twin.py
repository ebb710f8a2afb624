"""Python has what the command line has: every verb, every option; and the words in which it answers."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata as ad
import click
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from test_cli import TOY_SPEC, cells, home  # noqa: F401 - home is a fixture

import gxsearch as gx
from gxsearch import changes, cli, verbs
from gxsearch.results.run_dir import RunDir, sealed

TOY = Path(__file__).parent / "toy" / "toy.yaml"
VERBS = {**cli.cli.commands, "pseudobulk": verbs.data.commands["pseudobulk"]}
TERMINAL = ("board", "dash", "completion")  # other programs, and a script for the shell
VERBS = {name: verb for name, verb in VERBS.items() if not isinstance(verb, click.Group) and name not in TERMINAL}
TALKS = ("tune", "resume", "train", "compare", "confirm", "refit", "ablate", "replay", "check")
NAMES = {"models": "architectures"}  # gxsearch.models is the folder of the models
CALLED = {  # what Python calls an option otherwise
    ("tune", "older"): "warm",
    ("check", "no_data"): "data",  # the other way round
    ("replay", "trial"): "number",
    ("doctor", "no_ray"): "ray",  # the other way round
}
ELSEWHERE = {  # options that Python has no parameter for, and why
    "as_json": "what is returned is a mapping or a table already",
    "no_color": "nothing is colored",
    "debug": "an error is an exception, with its traceback",
    ("compare", "track"): "sets=['track.mlflow=URI'], for all or for one",
    ("status", "watch"): "a loop of Python's own",
    ("best", "form"): "Trial.params is a mapping",
    ("genes", "file"): "names are any list of Python",
    ("genes", "out"): "what is returned are tables, which pandas writes",
    ("genes", "force"): "nothing is written",
}


def parameters(function) -> set[str]:
    """Return the names of a function's parameters, those of a typed dictionary of keywords too."""
    found = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            found.add(name)
            continue
        (words,) = re.fullmatch(r"Unpack\[(\w+)\]", parameter.annotation).groups()
        found |= set(getattr(sys.modules[function.__module__], words).__annotations__)
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_has_its_twin_in_python(verb):
    options = [one.name for one in VERBS[verb].params if isinstance(one, click.Option)]

    have = parameters(getattr(gx, NAMES.get(verb, verb)))

    wanted = [name for name in options if name not in ELSEWHERE and (verb, name) not in ELSEWHERE]
    wanted = [name for name in wanted if name != "quiet" or verb in TALKS]
    assert [name for name in wanted if CALLED.get((verb, name), name) not in have] == []


def test_every_exception_is_an_option_that_there_is():
    there = {(verb, option.name) for verb, command in VERBS.items() for option in command.params}
    named = {key for key in [*CALLED, *ELSEWHERE] if isinstance(key, tuple)}

    assert named <= there
    assert set(changes.PLACES) == set(changes.Changes.__annotations__) <= {name for _, name in there}


def test_words_of_python_for_settings_are_the_settings():
    from gxsearch import after, api, compared
    from gxsearch.data.pseudobulk import Mixing
    from gxsearch.results.cells import CellWish
    from gxsearch.results.generate import Wish
    from gxsearch.search.comparing import Plan

    assert set(after.Wish.__annotations__) == {*Wish.model_fields, *CellWish.model_fields}
    assert set(api.Mixing.__annotations__) == set(Mixing.model_fields)
    assert set(compared.Judging.__annotations__) == set(Plan.model_fields)


def test_all_that_is_named_is_there_and_nothing_heavy_comes_with_the_errors():
    assert all(getattr(gx, name) is not None for name in gx.__all__)
    assert set(gx.__all__) <= set(dir(gx))
    with pytest.raises(AttributeError, match="tone"):
        gx.tone  # noqa: B018
    code = "import sys, gxsearch as gx; gx.SpecError; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> gx.Run:
    """A training of `fe`, which tests do not change."""
    folder = tmp_path_factory.mktemp("one")
    cells().write_h5ad(folder / "cells.h5ad")
    spec = {"gxsearch": 1, "name": "fe", "model": "fe", "objective": {"metric": "val/entry_mse"}}
    spec |= {"data": {"path": str(folder / "cells.h5ad"), "label": "kind", "split": {"stratify": "kind"}}}
    spec |= {"space": {"model": {"sample_dim": {"int": [2, 4]}, "hidden": {"value": [8]}, "gene_dim": 8}}}
    spec |= {"budget": {"trials": 6, "epochs": 3}, "search": {"startup": 2}}
    return gx.train(spec, sets=["train.batch_size=512"], out=folder / "runs", name="one", quiet=True)


def test_a_check_says_what_the_command_line_says(home, call):  # noqa: F811
    _, out, _ = call("check", "fe.yaml")

    found = gx.check("fe.yaml")

    assert f"{found}\n" == repr(found) + "\n" == out
    assert found["facts"]["n_obs"] == 60 and "60 rows x 30 genes" in found._repr_html_()


def test_errors_have_faults_and_are_shown_as_they_are(home):  # noqa: F811
    with pytest.raises(gx.SpecError) as caught:
        gx.load_spec("fe.yaml", "budget.trails=3", "space.model.sample_dm=2")

    assert [fault.code for fault in caught.value.faults] == ["E301", "E301"]
    assert caught.value._render_traceback_() == str(caught.value).splitlines()
    with pytest.raises(gx.SpecError, match="E343. trails.*did you mean 'trials'"):
        gx.tune("fe.yaml", trails=3)
    assert not Path("runs").exists()


def test_a_mapping_is_read_as_a_file_would_be(one):
    values = {"gxsearch": 1, "name": "fe", "model": "fe", "data": {"path": "sim_bulk?n=60&g=30"}}
    values |= {"space": {"train": {"lr": np.float64(1e-3)}}, "budget": {"trials": 3, "epochs": 2}}

    assert gx.load_spec(values).space.fixed["train.lr"] == 1e-3
    with pytest.raises(gx.SpecError, match=r"error\[E301\] mapping: unknown setting 'budget.trails'"):
        gx.load_spec({**values, "budget": {"trails": 3, "epochs": 2}})
    with pytest.raises(gx.SpecError, match="E344"):
        gx.load_spec({**values, "data": object()})


def test_settings_of_a_trial_are_trained_again_from_a_run_a_trial_or_its_path(one, tmp_path):
    given = [one, one.best, f"{one.path}/000", one.best.params]

    values = [
        gx.train(one.spec, trial=trial, out=tmp_path, name=str(i), quiet=True).best.value
        for i, trial in enumerate(given)
    ]

    assert values == [one.best.value] * 4


def test_vectors_are_written_in_place_and_of_a_copy_the_copy_is_returned(one):
    adata = cells()[:9].copy()

    assert gx.tl.embed(adata, one.best.model()) is None
    copy = gx.tl.embed(adata, one, key_added="mine", copy=True)

    assert np.array_equal(adata.obsm["X_fe"], copy.obsm["X_mine"]) and "X_mine" not in adata.obsm
    assert np.array_equal(gx.embed(one.best, cells()[:9].copy()).obsm["X_fe"], adata.obsm["X_fe"])
    assert gx.tl.embed(adata, str(one.path)) is None  # again: a cell is run twice
    with pytest.raises(gx.DataError, match="E479"):
        gx.tl.predict(adata, one)


def test_verbs_that_read_take_runs_and_answer_in_tables(one, tmp_path, call):
    board = gx.trials(one)

    assert "baseline" in set(board["state"]) and gx.trials(one, failed=True).empty
    assert gx.best(one).number == 0 and gx.status(one)["state"] == "done"
    assert f"{gx.status(one)}\n" == call("status", str(one.path))[1]
    assert gx.load(gx.export(one.best, tmp_path / "model")).name == "fe"
    assert list(gx.genes(one, ["gene0", "gene1"], top=2).among) == ["gene0", "gene1"]
    assert set(gx.architectures()["model"]) >= {"fe", "vae"}
    assert "model.sample_dim" in set(gx.architectures("fe")["setting"])
    assert repr(one.best.model()) == "fe of 30 genes   trial 0 of one, epoch 3"


def test_a_trial_repeats_and_says_so(one):
    told = gx.replay(one.best, quiet=True)

    assert told["verdict"] == "identical" and str(told).startswith("trial 000   the same to the last bit")


def test_the_report_is_written_again_and_its_figures_are_returned(one, tmp_path):
    copy = gx.Run(shutil.copytree(one.path, tmp_path / "one"))
    copy.report.unlink()

    assert gx.report(copy, static=True) == copy.report and copy.report.is_file()
    for draw in (gx.pl.history, gx.pl.curves):
        assert isinstance(draw(copy), go.Figure)
        assert isinstance(draw(copy, static=True), Figure)
    assert "<svg" in gx.pl.history(copy, static=True)._repr_svg_()
    assert "<pre" in copy._repr_html_() and "image/svg+xml" in copy._repr_html_()


def test_vectors_are_drawn_in_the_plane_colored_by_a_column_or_a_gene():
    adata = cells()
    adata.obsm["X_flat"], adata.obsm["X_deep"] = np.random.default_rng(0).normal(size=(2, 60, 2))[0], adata.X[:, :5]
    adata.obsm["X_deep_umap"] = adata.obsm["X_flat"]

    figure = gx.pl.embedding(adata, "X_flat", color="kind")

    assert [trace.name for trace in figure.data] == ["a", "b", "c"] and figure.layout.showlegend
    assert np.allclose(figure.data[0].x, adata.obsm["X_flat"][:20, 0])
    assert np.allclose(gx.pl.embedding(adata, "X_deep", color="gene3").data[0].marker.color, adata.X[:, 3])
    assert len(gx.pl.embedding(adata, "X_deep").data) == 1
    legend = gx.pl.embedding(adata, "X_flat", color="kind", static=True).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    with pytest.raises(gx.DataError, match="E496.*did you mean 'X_flat'"):
        gx.pl.embedding(adata, "X_flatt")
    with pytest.raises(gx.DataError, match="E497.*did you mean 'kind'"):
        gx.pl.embedding(adata, "X_flat", color="kin")


def test_what_cannot_be_drawn_is_told(one):
    with pytest.raises(gx.RunError, match="E616.*too few trials"):
        gx.pl.importance(one)
    with pytest.raises(gx.RunError, match="E616.*one objective"):
        gx.pl.front(one)
    with pytest.raises(gx.SpecError, match="E347.*was not searched"):
        gx.pl.slice(one, "model.depth")
    with pytest.raises(gx.RunError, match="E616"):
        gx.pl.parallel(one)


def test_a_search_that_is_stopped_tells_python_how_to_go_on(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("gxsearch.search.local.train_one", stop)
    (tmp_path / "toy.yaml").write_text(TOY_SPEC)

    with pytest.raises(gx.Interrupted) as caught:
        gx.train(tmp_path / "toy.yaml", out=tmp_path / "runs", name="cut", quiet=True)

    assert caught.value.exit_code == 130
    assert str(caught.value).endswith(f"go on with: gxsearch.resume({str(tmp_path / 'runs' / 'cut')!r})")
    monkeypatch.undo()
    assert gx.Run(tmp_path / "runs" / "cut").status == "interrupted"


def test_a_comparison_that_has_not_ended_is_told_of(tmp_path):
    (tmp_path / "compare.json").write_bytes(sealed({"entries": [], "plan": {}}))

    place = gx.Comparison(tmp_path)

    assert "not at its end" in repr(place) and place.runs == {}
    with pytest.raises(gx.RunError, match="E631.*not come to its end"):
        place.verdict  # noqa: B018
    with pytest.raises(gx.SpecError, match="E346"):
        gx.resume(place, trials=3)
    with pytest.raises(gx.RunError, match="E601"):
        gx.Comparison(tmp_path / "nowhere")


def test_a_run_is_a_path(one):
    assert RunDir.open(one).path == one.path and ad.read_h5ad(RunDir(one).embeddings).n_obs == 60
    assert pd.read_csv(Path(one) / "results" / "leaderboard.csv").shape[0] == len(gx.trials(one))
