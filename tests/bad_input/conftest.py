"""A working folder for each case."""

from __future__ import annotations

from pathlib import Path

import pytest
from case import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Home:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path, capsys)
