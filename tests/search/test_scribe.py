"""TensorBoard's HParams tab has every searched setting with its domain, and every objective."""

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata

from gxsearch.results.run_dir import RunDir
from gxsearch.search.referee import Standing
from gxsearch.search.scribe import Scribe
from gxsearch.training.board import Board


def summaries(folder):
    """Return the summaries of a folder's event files by tag."""
    files = sorted(folder.glob("events.out.tfevents.*"))
    values = [value for file in files for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    return {value.tag: value for value in values}


def declared(folder):
    experiment = summaries(folder)[metadata.EXPERIMENT_TAG]
    return metadata.parse_experiment_plugin_data(experiment.metadata.plugin_data.content)


def told(folder):
    started = summaries(folder)[metadata.SESSION_START_INFO_TAG]
    return metadata.parse_session_start_info_plugin_data(started.metadata.plugin_data.content).hparams


def test_settings_are_declared_with_their_ends_and_all_objectives_are_metrics(toy_spec, tmp_path):
    spec = toy_spec("objective=[{metric: val/mse}, {metric: val/r2}]", "search.sampler=nsga2", "stop=none")

    Scribe(spec, RunDir(tmp_path))

    found = declared(tmp_path)
    ends = {info.name: (info.domain_interval.min_value, info.domain_interval.max_value) for info in found.hparam_infos}
    assert ends == {"model.latent_dim": (1.0, 6.0), "train.lr": (1e-4, 1e-1)}
    assert [info.name.tag for info in found.metric_infos] == ["hparam/val/mse", "hparam/val/r2"]


def test_a_trial_that_ended_shows_every_objective_at_its_best_epoch(toy_spec, tmp_path):
    spec = toy_spec("objective=[{metric: val/mse}, {metric: val/r2}]", "search.sampler=nsga2", "stop=none")
    trial = Standing(3, {"model.latent_dim": 2, "train.lr": 0.01}, 0, final=[1.5, 0.25])
    trial.history = [{"best": 1.5, "best_epoch": 1}]

    Scribe(spec, RunDir(tmp_path)).watch("ended", trial)

    found = summaries(RunDir(tmp_path).trial(3))
    values = {tag: value.tensor.float_val[0] for tag, value in found.items() if tag.startswith("hparam/")}
    assert values == {"hparam/val/mse": 1.5, "hparam/val/r2": 0.25}


@pytest.mark.parametrize(
    ("options", "value", "shown"),
    [
        ([1, 0.5], 1, 1.0),
        (["auto", 3], 3, "3"),
        ([None, "pca"], None, "None"),
        ([[8], [8, 8]], [8, 8], "[8, 8]"),
        ([True, False], True, True),
        ([1, 2], 2, 2.0),
    ],
)
def test_options_of_several_types_are_declared_and_shown_in_one(tmp_path, options, value, shown):
    domains = {"model.x": {"kind": "choice", "options": options}}
    board = Board(tmp_path)

    board.domains(domains, {})
    board.hparams({"model.x": value}, {}, "000", domains)
    board.close()

    (info,) = declared(tmp_path).hparam_infos
    own = told(tmp_path)["model.x"]
    kind = own.WhichOneof("kind")
    assert getattr(own, kind) == shown
    assert shown in [getattr(option, kind) for option in info.domain_discrete.values]
