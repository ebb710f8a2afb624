"""--json: one document, or events a line each, that strict readers take; the table of events is what is sent."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import numpy as np
import pytest
from command_line import TOY, process, strict

from gxsearch import answer, events, standing
from gxsearch.cli import cli
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import RunDir

TABLE = {
    kind: set(re.findall(r"[a-z_]+", re.sub(r"\(.*?\)|;.*|:.*", "", fields)))
    for kind, fields in re.findall(r"^\| (\w+) \| (.*) \|$", events.__doc__, re.MULTILINE)
    if kind != "event"
}
"""Event -> the words of its fields."""
DONORS = ("--donor", "donor", "--cell-type", "cell_type")


def verbs(group=cli, path=()):
    for name, verb in group.commands.items():
        yield from verbs(verb, (*path, name)) if hasattr(verb, "commands") else [(*path, name)]


@pytest.mark.parametrize("path", list(verbs()), ids=" ".join)
def test_every_verb_takes_the_options_that_all_have(path):
    verb = cli
    for name in path:
        verb = verb.commands[name]

    options = [word for option in verb.params for word in option.opts]

    assert {"--json", "-q", "--quiet", "--no-color", "--debug"} <= set(options)
    assert len(options) == len(set(options))


def lines_of(done) -> list[dict]:
    return [strict(line) for line in done.stdout.decode().splitlines()]


def in_table(told: list[dict]) -> None:
    for event in told:
        assert list(event)[:3] == ["v", "time", "event"] and event["v"] == 1 and event["time"].endswith("Z")
        fields = {name for name in event if "/" not in name} - {"v", "time", "event"}
        if event["event"] == "result":
            assert event["exit"] == 0 and "files" in event
        else:
            assert fields == TABLE[event["event"]], event["event"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What `train --json` sends, as a process."""
    home = tmp_path_factory.mktemp("home")
    return process("train", TOY, "--name", "one", "--json", "-s", "budget.epochs=3", cwd=home), home / "runs" / "one"


def test_a_training_is_told_as_it_goes_and_its_last_line_is_the_result(trained):
    done, run = trained

    told = lines_of(done)

    kinds = [event["event"] for event in told]
    assert kinds == ["run_started", "trial_started", *["epoch"] * 3, "trial_ended", "run_ended", "result"]
    in_table(told)
    assert {event["run"] for event in told} == {str(run)}
    last = told[-1]
    assert last["best"]["value"] == told[-3]["best"] == min(e["val/mse"] for e in told[2:5])
    assert all(RunDir(run).path in RunDir(path).path.parents for path in last["files"].values())
    assert b"report" in done.stderr and b"{" not in done.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_search_on_ray_tells_the_same_events_and_nothing_else_is_printed(tmp_path):
    sets = ("-n", "3", "--epochs", "3", "-s", "confirm={top: 1, seeds: 2}")
    done = process("tune", TOY, "--name", "one", "--json", *sets, cwd=tmp_path)

    told = lines_of(done)

    in_table(told)
    assert done.returncode == 0 and told[-1]["event"] == "result" and sum(told[-1]["trials"].values()) == 3
    assert {event["event"] for event in told} >= {"run_started", "trial_started", "epoch", "trial_ended", "run_ended"}
    parts = {event["run"] for event in told if event["event"] == "run_started"}
    assert any("/confirm/" in run for run in parts)


@pytest.mark.parametrize(
    "words",
    [
        ("status", "RUN"),
        ("trials", "RUN"),
        ("best", "RUN"),
        ("report", "RUN", "--static"),
        ("export", "RUN", "-o", "model"),
        ("embed", "RUN", "sim_bulk?n=9&g=40", "-o", "new.h5ad"),
        ("models",),
        ("models", "toy"),
        ("check", str(TOY)),
        ("data", "pseudobulk", "sim_phenotypes?n=300&g=30", "-o", "b.h5ad", *DONORS),
        ("ablate", "RUN", "train.lr=0.01", "--seeds", "2"),
        ("replay", "RUN"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_verb_that_ends_with_a_result_writes_one_document(run, call, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)

    status, out, err = call(*(word.replace("RUN", str(run)) for word in words), "--json")

    assert status == 0, err
    assert isinstance(strict(out), dict | list)


def test_an_error_is_a_line_of_json_beside_the_line_for_people(call):
    status, out, err = call("status", "nowhere", "--json")

    told = strict(out)
    assert (status, told["event"], told["code"], told["exit"]) == (6, "error", "E601", 6)
    assert err.startswith("error[E601] nowhere") and told["faults"][0]["where"] == "nowhere"


def test_a_call_that_cannot_be_read_is_told_in_json_too(call):
    status, out, _ = call("tune", "--json")

    assert (status, strict(out)["code"]) == (2, "E200") and "SPEC" in strict(out)["faults"][0]["what"]


def test_after_a_result_no_error_follows_on_standard_output(call, tmp_path):
    (tmp_path / "bad.yaml").write_text("cluster_name: x\nprovider: {type: nonsense}\n")

    status, out, err = call("cluster", "lint", str(tmp_path / "bad.yaml"), "--json")

    assert status == 3 and err.startswith("error[E") and strict(out)["files"][0]["faults"]


def test_an_error_that_nobody_reads_ends_quietly():
    with subprocess.Popen(
        [sys.executable, "-m", "gxsearch.cli", "tune", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.close()
        err = running.stderr.read().decode()

    assert running.returncode == 2 and err.startswith("error[E200]") and err.count("\n") == 1


def test_what_status_tells_is_what_the_table_says(run):
    assert TABLE["status"] == set(standing.facts(str(run)))


def test_best_takes_json_by_either_name(run, call):
    assert call("best", run, "--json") == call("best", run, "--format", "json")


def test_commands_of_a_cluster_are_told_as_a_list(call):
    file = str(TOY.parents[2] / "cluster" / "slurm" / "gxsearch.sbatch")

    status, out, _ = call("cluster", "submit", file, str(TOY), "--dry-run", "--json")

    assert status == 0 and strict(out)["dry_run"] and all("sbatch" in line for line in strict(out)["commands"])


def test_what_is_no_number_in_json_is_null():
    values = {
        "nan": float("nan"),
        "inf": [np.float32("inf"), -np.inf],
        "n": np.int64(3),
        "path": TOY,
        "x": np.float32(0.5),
    }

    told = strict(events.dumps(values))

    assert told == {"nan": None, "inf": [None, None], "n": 3, "path": str(TOY), "x": 0.5}


def test_a_measure_that_is_not_finite_is_sent_as_null(tmp_path):
    heard = []
    ledger = Ledger(tmp_path / "ledger.jsonl")

    with events.heard(heard.append):
        ledger.append("epoch", trial=0, epoch=1, metrics={"val/mse": float("nan"), "best": None, "best_epoch": 0})
    ledger.append("run_ended", state="done", reason="")
    ledger.close()

    assert [strict(events.dumps(event))["val/mse"] for event in heard] == [None]
    assert heard[0]["run"] == str(tmp_path)


def test_events_that_nobody_reads_end_nothing(monkeypatch, capsys):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return 99

    how = answer.Asked(json=True, out=Closed())
    monkeypatch.setattr(answer, "asked", lambda: how)
    monkeypatch.setattr(answer, "hush", lambda stream: None)

    answer.tell(events.event("epoch"))
    answer.tell(events.event("epoch"))

    assert how.deaf and capsys.readouterr().err == "nobody reads the events any more; they end here\n"
