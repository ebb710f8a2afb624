"""A folder to work in, and the command line in it: in this process, or as a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shell import PACE, TOY, Cluster, Command


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder, with the toy's spec in it, and one whose epochs take a while."""
    (tmp_path / "toy.yaml").write_text(TOY)
    (tmp_path / "slow.yaml").write_text(TOY.replace("{int: [1, 6]}", f"{{int: [1, 6]}}, sleep: {PACE}"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(folder) -> Iterator[Callable[..., Command]]:
    """Return a function that starts `gxsearch` in the working folder; what is left of it is ended after the test."""
    started: list[Command] = []

    def begin(*argv: str, **settings: Any) -> Command:
        started.append(Command(folder, *argv, **settings))
        return started[-1]

    yield begin
    for command in started:
        command.stop()


@pytest.fixture
def cluster(folder, request) -> Iterator[Cluster]:
    """A cluster that wants a token, as yet of its head alone, which has a CPU, or as many as the test's parameter."""
    with tempfile.TemporaryDirectory(prefix="gxnodes-") as scratch:
        made = Cluster(folder, scratch, f"--num-cpus={getattr(request, 'param', 1)}")
        yield made
        made.stop()


@pytest.fixture
def call(folder, call) -> Callable[..., tuple[int, str, str]]:
    """`call` of all tests, within the folder of these."""
    return call
