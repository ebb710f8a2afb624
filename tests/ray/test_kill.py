"""A search that is killed, interrupted or terminated, and then resumed, through the command line as a user would."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gxsearch.errors import RunError
from gxsearch.results.ledger import events, trials
from gxsearch.results.run_dir import RunDir

pytestmark = pytest.mark.slow

TOY_SPEC = (Path(__file__).parents[1] / "toy" / "toy.yaml").read_text()
SLOW_SPEC = TOY_SPEC.replace("latent_dim: {int: [1, 6]}", "latent_dim: {int: [1, 6]}, sleep: 0.15")


def start(folder: Path, *argv: str) -> subprocess.Popen:
    """Start the command line in a process group of its own, as a terminal does."""
    command = [sys.executable, "-m", "gxsearch.cli", *argv]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def ended(run: RunDir) -> int:
    try:
        return sum(event["event"] == "trial_ended" for event in events(run.ledger))
    except RunError:
        return 0


def ours(run: RunDir) -> list[str]:
    """Return the processes on this machine whose open files or arguments name the run's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(run.path.parent).encode() in (process / "cmdline").read_bytes() or str(
                run.path.parent
            ) in os.readlink(process / "cwd"):
                found.append(process.name)
        except OSError:
            continue
    return found


def told(run: RunDir) -> list[tuple]:
    return [(t.number, t.params, t.state, t.best, len(t.history)) for t in trials(run.ledger)]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "toy.yaml").write_text(SLOW_SPEC)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunDir:
    """The same search, left alone."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "toy.yaml").write_text(SLOW_SPEC)
    process = start(folder, "tune", "toy.yaml", "--name", "run", "-q")
    assert process.wait(timeout=280) == 0, process.stderr.read()
    return RunDir(folder / "runs" / "run")


def resumed(folder: Path, run: RunDir) -> list[tuple]:
    process = start(folder, "resume", "runs/run", "-q")
    assert process.wait(timeout=280) == 0, process.stderr.read()
    assert run.report.exists()
    return told(run)


@pytest.mark.parametrize("after", [1, 6])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(folder, whole, after):
    run = RunDir(folder / "runs" / "run")
    process = start(folder, "tune", "toy.yaml", "--name", "run", "-q")
    wait_for(lambda: ended(run) >= after)

    process.kill()
    process.wait()
    before = {t.number: t for t in trials(run.ledger) if t.state != "running"}
    wait_for(lambda: not ours(run))

    assert resumed(folder, run) == told(whole)
    after_resume = {t.number: t for t in trials(run.ledger)}
    assert len(after_resume) == 12
    assert all(after_resume[number].history == trial.history for number, trial in before.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_search_says_how_to_go_on_and_does(folder, whole, number, code):
    run = RunDir(folder / "runs" / "run")
    process = start(folder, "tune", "toy.yaml", "--name", "run", "-q")
    wait_for(lambda: ended(run) >= 2)

    process.send_signal(number)
    _, err = process.communicate(timeout=120)

    assert process.returncode == code
    assert "gxsearch resume" in err and "Traceback" not in err
    wait_for(lambda: not ours(run))
    assert resumed(folder, run) == told(whole)
