"""A disk that fills up: before a search, while it runs, and in the middle of a line (F11)."""

from __future__ import annotations

import errno
import json
import shutil
from collections import namedtuple

import pytest

from gxsearch.errors import ResourceError, RunFailed
from gxsearch.results import ledger as ledger_file
from gxsearch.results.ledger import Ledger, events, trials
from gxsearch.search import disk
from gxsearch.search.intake import checkpoint_bytes, dims
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen
from gxsearch.training import checkpoint

Usage = namedtuple("Usage", "total used free")


def run_here(opened) -> None:
    with opened:
        search_here(opened.spec, opened.run, opened.table, opened.referee, lambda: None)
        opened.close("done")


def told(run) -> list[tuple]:
    return [(t.number, t.params, t.state, t.best, len(t.history)) for t in trials(run.ledger)]


@pytest.mark.fault("F11")
def test_a_search_that_does_not_fit_is_refused_before_its_folder_is_made(toy_spec, toy_table, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, disk.LEAST_BYTES))

    with pytest.raises(ResourceError, match=r"E506.*MiB are free on the disk.*write to another disk with --out"):
        begin(toy_spec(), toy_table, 2, tmp_path / "run")

    assert not (tmp_path / "run").exists()


@pytest.mark.fault("F11")
def test_the_largest_checkpoint_is_that_of_the_largest_model(toy_spec, toy_table):
    spec = toy_spec("space.model.latent_dim={int: [1, 6]}")

    genes = toy_table.n_vars
    assert checkpoint_bytes(spec, dims(spec, toy_table)) == 12 * (2 * genes * 6 + genes + 6)


@pytest.mark.fault("F11")
def test_a_full_disk_stops_a_search_that_goes_on_when_there_is_room(toy_spec, toy_table, tmp_path, monkeypatch):
    whole = begin(toy_spec(), toy_table, 1, tmp_path / "whole")
    run_here(whole)
    opened, real, left = begin(toy_spec(), toy_table, 1, tmp_path / "run"), checkpoint._put, [9]

    def fills_up(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, data)

    monkeypatch.setattr(checkpoint, "_put", fills_up)
    with pytest.raises(RunFailed, match=r"E711.*the disk is full.*gxsearch resume"):
        run_here(opened)
    monkeypatch.undo()

    assert not list(opened.run.path.rglob("*.tmp")), "no half checkpoint takes the room that is left"
    assert "failed" not in {t.state for t in trials(opened.run.ledger)}, "it is no fault of a trial"
    run_here(reopen(opened.run, {}))
    assert told(opened.run) == told(whole.run)


@pytest.mark.fault("F11")
@pytest.mark.parametrize("event", [1, 4, 11])
def test_a_ledger_that_cannot_be_written_ends_with_the_event_before(toy_spec, toy_table, tmp_path, monkeypatch, event):
    whole = begin(toy_spec(), toy_table, 1, tmp_path / "whole")
    run_here(whole)
    real, count = ledger_file._write, [0]

    def fills_up(handle, data):
        count[0] += 1
        if count[0] > event:
            real(handle, data[: len(data) // 2])  # half of it still fits
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle, data)

    monkeypatch.setattr(ledger_file, "_write", fills_up)
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    with pytest.raises(RunFailed, match="E711"):
        run_here(opened)
    monkeypatch.undo()

    assert [e["seq"] for e in events(opened.run.ledger)] == list(range(event))
    run_here(reopen(opened.run, {}))
    assert told(opened.run) == told(whole.run)


@pytest.mark.fault("F11")
def test_the_room_that_must_be_left_grows_with_the_checkpoints(toy_spec, toy_table, tmp_path, monkeypatch):
    opened = begin(toy_spec("budget.trials=1", "stop=none"), toy_table, 2, tmp_path / "run")
    run_here(opened)
    (newest,) = opened.run.checkpoints(0).glob("[0-9]*")
    size = sum(file.stat().st_size for file in newest.iterdir())

    for free, full in ((disk.LEAST_BYTES + 6 * size, False), (disk.LEAST_BYTES + 6 * size - 1, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(0, 0, free))
        assert disk.Room(opened.run, 2, lambda: list(opened.referee.trials)).look() is full


@pytest.mark.fault("F11")
def test_an_error_of_another_kind_is_not_taken_for_a_full_disk(tmp_path):
    assert not disk.is_out(OSError(errno.EACCES, "Permission denied"))
    assert not disk.is_out(ValueError("No space left on device"))
    assert all(disk.is_out(OSError(number, "")) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@pytest.mark.fault("F11")
def test_a_line_longer_than_what_a_write_takes_is_written_whole(tmp_path, monkeypatch):
    import os

    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("note", text="x" * 100)
    ledger.close()

    assert json.loads((tmp_path / "ledger.jsonl").read_text())["text"] == "x" * 100
