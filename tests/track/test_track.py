"""Trackers: what they are sent, and that nothing that becomes of them changes a search."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from gxsearch.errors import ResourceError, SpecError, UnsafeError
from gxsearch.results.ledger import trials
from gxsearch.search import track as tracks
from gxsearch.search.sections import Track
from gxsearch.search.spec import Spec
from gxsearch.search.tracker import Piece

MLFLOW = {"mlflow": "http://127.0.0.1:9", "patience_s": 60}
"""An address where nothing listens; the stand-in asks nobody."""


def of(calls, name):
    return [call[1:] for call in calls if call[0] == name]


def test_every_trial_is_sent_its_settings_its_epochs_and_its_end(search, fakes):
    run, said = search(track=MLFLOW)

    calls = fakes.calls()
    ids = {name: run_id for run_id, name, _ in of(calls, "create_run")}
    for trial in trials(run.ledger):
        own = ids[f"trial {trial.number:03d}"]
        sent = [told[1:] for told in of(calls, "log_batch") if told[0] == own]
        losses = [told[2] for told in sent if told[:2] == ["metric", "val/mse"]]
        assert losses == [epoch["val/mse"] for epoch in trial.history]
        assert {told[1]: told[2] for told in sent if told[0] == "param"} == {k: str(v) for k, v in trial.params.items()}
        assert [own, "FINISHED"] in of(calls, "set_terminated")
    assert len(ids) == 4 and not said


def test_the_search_is_the_parent_of_its_trials_and_gets_the_results(search, fakes):
    run, _ = search(track=MLFLOW)

    calls = fakes.calls()
    parent = next(run_id for run_id, name, _ in of(calls, "create_run") if name == "run")
    parents = [tags["mlflow.parentRunId"] for _, name, tags in of(calls, "create_run") if name != "run"]
    assert parents == [parent] * 3
    assert [parent, "metric", "test/knn", 0.5] in [told[:4] for told in of(calls, "log_batch")]
    assert [parent, str(run.leaderboard)] in of(calls, "log_artifact")
    assert of(calls, "set_terminated")[-1] == [parent, "FINISHED"]


def test_wandb_gets_a_run_for_each_trial_in_the_group_of_the_search(search, fakes):
    run, said = search(track={"wandb": "me/toys", "patience_s": 60})

    calls = fakes.calls()
    facts = run.facts()
    kinds = [(kind, group, project) for _, kind, group, project, _ in of(calls, "init")]
    assert kinds == [("trial", facts["name"], "toys")] * 3 + [("results", facts["name"], "toys")]
    losses = [metrics["val/mse"] for _, metrics, _ in of(calls, "log")]
    assert losses == [epoch["val/mse"] for trial in trials(run.ledger) for epoch in trial.history]
    assert len(of(calls, "finish")) == 4 and not said


FAULTS = [
    "raise:any",  # the server is down
    "hang:init",
    "hang:log_batch",
    "hang:log_artifact",
    "raise:create_run",
    "raise:log_batch",
    "raise:set_terminated",
    "unauthorized:create_run",
    "die:log_batch",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_search_ends_the_same_whatever_becomes_of_its_tracker(search, fakes, fault):
    plain, _ = search("plain")
    fakes.fault(fault)

    run, said = search("run", track={**MLFLOW, "patience_s": 2})

    assert run.leaderboard.read_bytes() == plain.leaderboard.read_bytes()
    assert len(said) == 1 and said[0].startswith("warning: mlflow was not sent "), said
    assert said[0].endswith(f"gxsearch resume {run.path}") and "\n" not in said[0]
    assert said[0].removeprefix("warning: ") in run.log.read_text()


def test_a_follower_that_is_killed_in_the_middle_is_told_of_and_the_search_goes_on(search, fakes, monkeypatch):
    from gxsearch.search import local

    train, killed = local.train_one, []

    def killing(spec, run, bench, runtime, referee, trial, tick):
        for pid in subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True).stdout.split():
            words = subprocess.run(["ps", "-o", "args=", "-p", pid], capture_output=True, text=True).stdout
            if trial.number == 1 and "gxsearch.search.follow" in words:
                os.kill(int(pid), signal.SIGKILL)
                killed.append(pid)
        train(spec, run, bench, runtime, referee, trial, tick)

    monkeypatch.setattr(local, "train_one", killing)

    run, said = search(track=MLFLOW)

    assert len(killed) == 1 and "its process was ended" in said[0] and len(trials(run.ledger)) == 3


def test_what_a_tracker_refuses_is_left_out_and_the_rest_is_sent(search, fakes):
    fakes.fault("refuse:log_batch")

    run, said = search(track=MLFLOW)

    assert "3 trials and the results (trial 0: Refused: the param is too long)" in said[0]
    assert "resume" not in said[0] and of(fakes.calls(), "set_terminated")


def test_a_resumed_search_goes_on_in_the_same_runs_and_sends_what_was_missed(search, fakes, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        search(track=MLFLOW, stop_after=2)
    fakes.fault("raise:any")
    _, said = search(trials=3)
    assert len(said) == 1
    monkeypatch.delenv("FAKE_TRACKER_FAULT")

    run, said = search(trials=4)

    calls = fakes.calls()
    names = [name for _, name, _ in of(calls, "create_run")]
    assert sorted(names) == ["run", "trial 000", "trial 001", "trial 002", "trial 003"] and not said
    ended = [status for own, status in of(calls, "set_terminated")]
    assert ended.count("KILLED") == 2 and ended[-1] == "FINISHED"  # the search and the trial that was in its middle
    sent = [told for told in of(calls, "log_batch") if told[1:3] == ["metric", "val/mse"]]
    assert {tuple(told) for told in sent if told[5:] != [0]} >= {
        (own, "metric", "val/mse", epoch["val/mse"], told_at, epoch["epoch"])
        for trial in trials(run.ledger)
        for epoch in trial.history
        for own, told_at in [_where(calls, sent, trial.number, epoch)]
    }


def _where(calls, sent, number, epoch):
    own = next(run_id for run_id, name, _ in of(calls, "create_run") if name == f"trial {number:03d}")
    return next((own, told[4]) for told in sent if told[0] == own and told[5] == epoch["epoch"])


def test_epochs_that_do_not_count_are_not_sent():
    epochs = [(epoch, {"val/mse": 1.0}, 0.0) for epoch in (1, 2, 3, 4)]
    piece = Piece(0, ({}, 0, 0.0), epochs)

    now, later = piece.divided(judged=2)
    assert (now.epochs, later.epochs, later.created) == (epochs[:2], epochs[2:], None)

    later.ended = ({"epochs": 3, "state": "stopped"}, 0.0)
    now, later = later.divided(judged=2)
    assert now.epochs == epochs[2:3] and now.ended is not None and later.empty


def test_a_run_folder_that_is_gone_stays_so_and_the_search_hears_nothing_but_the_warning(search, fakes):
    from gxsearch.search.tracking import Trackers

    run, _ = search()
    said: list[str] = []

    fakes.fault("hang:init")
    with Trackers(said.append) as trackers:
        trackers.follow(run, Track(**{**MLFLOW, "patience_s": 2}))
        shutil.rmtree(run.path)

    assert said[0] == "sent to mlflow: http://127.0.0.1:9" and not run.path.exists()
    assert len(said) == 2 and said[1].startswith("warning: mlflow was not sent the results")


def test_a_folder_of_a_stranger_does_not_send_elsewhere_than_it_says(search, fakes):
    run, _ = search()
    run.track.mkdir()
    (run.track / "mlflow.jsonl").write_text('{"asked": "http://a:1", "uri": "http://b:2"}\n')

    search(trials=4)

    assert of(fakes.calls(), "init") == [["http://a:1"]]


def test_a_follower_whose_search_is_gone_ends_by_itself(search, fakes, tmp_path):
    run, _ = search()
    process = subprocess.Popen(
        [sys.executable, "-m", "gxsearch.search.follow", str(run.path), "mlflow", "http://h:1", "http://h:1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )

    process.stdin.close()

    assert process.wait(timeout=120) == 0
    assert of(fakes.calls(), "set_terminated")[-1][1] == "KILLED"


def test_following_costs_the_search_nothing_but_a_process(search, fakes, monkeypatch):
    from gxsearch.search.referee import Referee

    watchers = []
    result = Referee.result
    monkeypatch.setattr(
        Referee, "result", lambda self, *given: (watchers.append(len(self.watchers)), result(self, *given))
    )

    search(track=MLFLOW)

    assert set(watchers) == {1}  # that of the scribe


def test_a_spec_with_trackers_comes_back_from_json_and_has_the_fingerprint_of_one_without(toy_spec):
    spec = toy_spec("track.mlflow=sqlite:///ml.db", "track.wandb=me/toys")

    assert Spec.from_json(spec.to_json()).track == Track(mlflow="sqlite:///ml.db", wandb="me/toys")
    assert spec.sha256 == toy_spec().sha256 and "track" not in toy_spec().to_json()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("mlflo=sqlite:///x.db", "there is no tracker 'mlflo' - did you mean 'mlflow'?"),
        ("mlflow", "says nothing to send to"),
        ("mlflow=./mlruns", "'./mlruns' is nothing that mlflow sends to - write sqlite:///FILE.db"),
        ("wandb=a b", "'a b' is nothing that wandb sends to - write the name of a project"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused_in_a_line(toy_spec, option, message):
    with pytest.raises(SpecError, match="E360") as caught:
        toy_spec(*tracks.as_sets([option]))
    assert message in str(caught.value)

    with pytest.raises(SpecError, match="E360") as caught:
        tracks.chosen(Track(), [option])
    assert message in str(caught.value)


def test_a_tracker_given_twice_is_refused():
    with pytest.raises(SpecError, match="--track wandb: is given twice"):
        tracks.as_sets(["wandb=a", "wandb=b"])


@pytest.mark.parametrize("address", ["http://me:pw@host:5000", "https://host/?token=x", "postgresql://me:pw@db/ml"])
def test_an_address_with_a_password_is_refused_and_not_repeated(toy_spec, address):
    with pytest.raises(UnsafeError, match="E805") as caught:
        toy_spec(f"track.mlflow={address}")

    assert "pw" not in str(caught.value) and "token" not in str(caught.value)


def test_a_missing_package_is_told_before_anything_starts(toy_spec, tmp_path, monkeypatch):
    from gxsearch import api

    monkeypatch.setattr(tracks.importlib.util, "find_spec", lambda name: None)

    for verb in (api.tune, api.train):
        with pytest.raises(ResourceError, match=r"E520\] track.wandb: .* - pip install \"\.\[wandb\]\""):
            verb(toy_spec("track.wandb=toys"), out=tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


def test_mlflow_itself_has_the_search_in_a_database(search, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="pip install '.[mlflow]'")
    monkeypatch.chdir(tmp_path)

    run, said = search(track={"mlflow": "sqlite:///ml.db", "patience_s": 120})

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/ml.db")
    experiment = client.get_experiment_by_name("toy")
    found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"run", "trial 000", "trial 001", "trial 002"} and not said
    for trial in trials(run.ledger):
        history = client.get_metric_history(found[f"trial {trial.number:03d}"].info.run_id, "val/mse")
        assert [(m.step, m.value) for m in history] == [(e["epoch"], e["val/mse"]) for e in trial.history]
    assert found["run"].data.metrics["test/knn"] == 0.5
    assert [one.path for one in client.list_artifacts(found["run"].info.run_id)] == ["leaderboard.csv", "spec.yaml"]


def test_wandb_itself_writes_the_search_without_a_network(search, monkeypatch):
    pytest.importorskip("wandb", reason="pip install '.[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")

    run, said = search(trials=1, track={"wandb": "toys", "patience_s": 120})

    assert len(list(run.track.glob("wandb/offline-run-*/*.wandb"))) == 2 and not said
