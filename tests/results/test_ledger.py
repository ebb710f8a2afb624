"""The ledger: nothing that was written is lost, and damage is told."""

import pytest

from gxsearch.errors import RunError
from gxsearch.results.ledger import Ledger, events, trials


def write(path, n=3):
    ledger = Ledger(path)
    ledger.append("run_started", trials=1, concurrent=1)
    ledger.append("trial_created", trial=0, params={"model.k": 2}, seed=1)
    for epoch in range(1, n + 1):
        metrics = {"val/mse": 1 / epoch, "best": 1 / epoch, "best_epoch": epoch}
        ledger.append("epoch", trial=0, epoch=epoch, metrics=metrics)
    return ledger


def test_events_come_back_as_they_were_written(tmp_path):
    write(tmp_path / "l").close()

    found = events(tmp_path / "l")

    assert [e["seq"] for e in found] == list(range(5))
    assert found[-1]["metrics"]["val/mse"] == 1 / 3


@pytest.mark.parametrize("torn", [b"{", b'{"seq":5,"event":"epo', b'{"seq":5,"event":"epoch","crc":"00000000"}\n'])
def test_a_torn_last_line_is_dropped_and_writing_goes_on(tmp_path, torn):
    path = tmp_path / "l"
    write(path).close()
    with open(path, "ab") as file:
        file.write(torn)

    assert len(events(path)) == 5
    ledger = Ledger(path)
    ledger.append("run_ended", state="done", reason="")
    ledger.close()

    assert [e["seq"] for e in events(path)] == list(range(6))


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "l"
    write(path).close()
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"1.0", b"0.1", 1)
    path.write_bytes(b"\n".join(lines))

    with pytest.raises(RunError, match=r"E611.*l:3"):
        events(path)


def test_epochs_beyond_the_end_of_a_stopped_trial_do_not_count(tmp_path):
    ledger = write(tmp_path / "l", n=5)
    ledger.append("trial_ended", trial=0, state="stopped", epochs=3, best=1 / 3, best_epoch=3, reason="", seconds=1.0)
    ledger.close()

    (trial,) = trials(tmp_path / "l")

    assert (len(trial.history), trial.best, trial.state) == (3, 1 / 3, "stopped")


def test_an_epoch_told_again_after_a_crash_replaces_the_first_telling(tmp_path):
    ledger = write(tmp_path / "l", n=3)
    ledger.append("epoch", trial=0, epoch=3, metrics={"val/mse": 0.25, "best": 0.25, "best_epoch": 3})
    ledger.close()

    (trial,) = trials(tmp_path / "l")

    assert [m["epoch"] for m in trial.history] == [1, 2, 3]
    assert trial.best == 0.25
