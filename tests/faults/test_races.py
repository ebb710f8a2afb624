"""Two who start in one folder, killed exports, turned bits: the scripts of soak/, briefly (F10, F20, F33)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parent / "soak"


def soak(name: str, *argv: str) -> str:
    """Run a script; return its line."""
    done = subprocess.run([sys.executable, str(SOAK / name), *argv], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.fault("F20")
@pytest.mark.parametrize("n", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_of_two_who_start_at_once_one_wins_and_the_other_is_told(n):
    assert f"{n} of {n} had one winner" in soak("race.py", "--n", str(n))


@pytest.mark.fault("F33")
@pytest.mark.parametrize("n", [16, pytest.param(50, marks=pytest.mark.slow)])
def test_an_export_that_is_killed_or_has_no_room_is_whole_or_absent(n):
    line = soak("kill_export.py", "--n", str(n))

    assert f"{n} of {n}" in line and "'all'" in line and "'nothing'" in line


@pytest.mark.fault("F10")
def test_every_turned_bit_of_an_export_and_of_a_checkpoint_is_noticed():
    assert "300 of 300" in soak("flip_export.py", "--n", "300")


@pytest.mark.fault("F20")
@pytest.mark.slow
def test_of_two_commands_for_one_name_one_wins():
    assert "3 of 3" in soak("race.py", "--n", "3", "--cli")


@pytest.mark.fault("F05", "F06", "F07")
@pytest.mark.slow
def test_what_decides_a_search_may_be_damaged_anywhere():
    assert "126 of 126" in soak("mutate_state.py", "--n", "126", "--seed", "1")
