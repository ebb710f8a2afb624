"""Every search space of the project runs: its smoke twin ends with a winner, embeddings and a report."""

import subprocess
import sys
from pathlib import Path

import pytest

SPACES = Path(__file__).parents[1] / "search_spaces"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SPACES.glob("*_smoke.yaml")), ids=lambda path: path.stem)
def test_a_smoke_search_leaves_results(path, tmp_path):
    command = [sys.executable, "-m", "gxsearch.cli", "tune", str(path), "-o", str(tmp_path), "--name", "run", "-q"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)

    assert done.returncode == 0, done.stderr[-2000:]
    made = {file.name for file in (tmp_path / "run/results").iterdir()}
    assert {"leaderboard.csv", "best", "embeddings.h5ad", "report.html"} <= made


def test_every_search_space_has_a_smoke_twin():
    names = {path.stem for path in SPACES.glob("*.yaml")}

    assert {name for name in names if not name.endswith("_smoke")} == {name.removesuffix("_smoke") for name in names}
