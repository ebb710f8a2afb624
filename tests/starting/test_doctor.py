"""`gxsearch doctor`: what is right, worth knowing and wrong on a machine, part by part; exit code 5 if anything is."""

import errno
import json
import os
from pathlib import Path

import pytest

from gxsearch.search import machine, storage
from gxsearch.search.answer import asked
from gxsearch.search.doctor import diagnose

PARTS = {"python", "packages", "cpus", "threads", "memory", "runs", "cache", "temporary", "writing", "clock"}
PARTS |= {"other rays", "open files", "token", "proxies", "gpus"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine with nothing special in its environment; the working folder is its own."""
    for name in (*machine.THREADS, "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "GXSEARCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    for name in machine.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def states(found) -> dict[str, str]:
    return {one.part: one.state for one in found}


def test_every_part_is_told_and_nothing_is_left_behind(home, call):
    code, out, err = call("doctor", "--no-ray", "--json")
    found = json.loads(out)

    assert {one["part"] for one in found} >= PARTS and {one["state"] for one in found} <= {"ok", "note", "wrong"}
    wrong = [one["part"] for one in found if one["state"] == "wrong"]
    assert code == (5 if wrong else 0) and ("E516" in err) == bool(wrong)
    assert not list(home.iterdir())


def test_lines_say_the_state_first(home, call):
    _, out, _ = call("doctor", "--no-ray")

    assert all(line.split()[0] in ("ok", "note", "wrong") for line in out.splitlines())
    assert len(out.splitlines()) >= len(PARTS)


def test_a_folder_that_cannot_be_is_wrong(home, call):
    (home / "file").write_text("")

    code, out, err = call("doctor", "--no-ray", "-o", "file/runs")

    assert code == 5 and "writing" in err and "is no folder" in out


def test_a_disk_that_is_full_or_read_only_is_wrong_and_is_left_as_it_was(home, monkeypatch):
    for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):

        def fail(handle, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(storage.os, "fsync", fail)
        (found,) = storage.written(str(home / "runs"))
        assert found.state == "wrong" and os.strerror(number) in found.what
    assert not list(home.iterdir())


def test_locks_that_are_not_kept_are_wrong(home, monkeypatch):
    monkeypatch.setattr(storage.fcntl, "flock", lambda file, how: None)

    (found,) = storage.written(str(home))

    assert found.state == "wrong" and os.strerror(errno.ENOLCK) in found.what


@pytest.mark.parametrize(("free", "state"), [(10**6, "wrong"), (10**9, "note"), (10**12, "ok")])
def test_room_on_the_disk(free, state, home, monkeypatch):
    usage = storage.shutil.disk_usage(home)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda place: usage._replace(free=free))

    assert states(storage.rooms("runs"))["runs"] == state


def test_the_disk_of_temporary_files_should_not_be_far(home, monkeypatch):
    monkeypatch.setattr(storage, "_kind", lambda place: "nfs4")

    assert states(storage.rooms(None)) == {"cache": "ok", "temporary": "note"}


@pytest.mark.parametrize(("apart", "state"), [(0.2, "ok"), (-60.0, "note")])
def test_the_clock_of_the_disk(apart, state):
    assert storage._clock(apart).state == state


def test_a_clock_of_the_past_is_wrong(monkeypatch):
    monkeypatch.setattr(storage.time, "time", lambda: 86400.0)

    assert storage._clock(0.0).state == "wrong"


@pytest.mark.parametrize(("value", "state"), [("1", "note"), ("4,2", "note"), ("all", "wrong")])
def test_variables_of_threads(value, state, home, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)

    assert states(machine.cpus())["threads"] == state


@pytest.mark.parametrize(("free", "state"), [(2**29, "wrong"), (2**31, "note"), (2**35, "ok")])
def test_memory(free, state, monkeypatch):
    monkeypatch.setattr(machine, "_available", lambda: free)

    assert states(machine.memories())["memory"] == state


def test_memory_that_is_free_is_at_most_what_there_is():
    assert 0 < machine._available() <= machine.memory.total()


def test_other_versions_are_told_and_another_ray_is_wrong(monkeypatch):
    assert states(machine.versions())["python"] in ("ok", "note")
    monkeypatch.setattr(machine, "pins", lambda: {"numpy": "0.1", "ray": "1.0.0"})
    found = list(machine.versions())

    assert [one.state for one in found if one.part == "packages"] == ["wrong", "note"]
    assert any("numpy" in one.what and "(0.1)" in one.what for one in found)


def test_a_package_that_is_not_there_is_wrong(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package"))

    assert any(one.state == "wrong" and "no-such-package" in one.what for one in machine.versions())


def test_the_environment_is_told_without_secrets(home, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy.example:3128")
    found = list(machine.environment())

    assert states(found) == {"RAY_ADDRESS": "note", "token": "ok", "proxies": "note"}
    assert "secret" not in str(found) and "proxy.example" in str(found)
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert states(machine.environment())["proxies"] == "ok"


def test_a_token_that_others_can_read_is_told(home):
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("0" * 64)
    token.chmod(0o644)

    assert states(machine.environment())["token"] == "note"
    token.chmod(0o600)
    assert states(machine.environment())["token"] == "ok" and "0000" not in str(list(machine.environment()))


def test_rays_that_run_are_seen_by_their_programs(monkeypatch):
    import sys

    assert os.getpid() in set(machine._running((Path(sys.argv[0]).name, Path(sys.executable).name, "python")))
    monkeypatch.setattr(machine, "_running", lambda names: iter([7, 5]))
    assert next(machine.processes()).what.startswith("2 processes of Ray run already (pid 5, 7)")


def test_who_does_not_answer_is_ended():
    found = asked("ray", "local", 0.2)

    assert found["error"] == "no answer within 0.2 s"


def test_who_fails_says_why():
    assert "E303" in asked("bucket", "ftp://bucket/runs", 60)["error"]


def test_addresses_with_passwords_are_refused_before_anything_is_asked(home, call):
    code, out, err = call("doctor", "--no-ray", "-o", "s3://key:secret@bucket/runs")

    assert code == 8 and "E805" in err and "secret" not in out + err


def test_a_ray_that_answers_is_told_with_its_times(monkeypatch):
    answer = {"nodes": 2, "cpus": 8.0, "gpus": 1.0, "python": "3.11.0", "started_s": 1.0, "task_s": 0.1}
    monkeypatch.setattr("gxsearch.search.doctor.asked", lambda what, address, seconds: answer)
    monkeypatch.setattr("gxsearch.search.doctor.platform.python_version", lambda: "3.11.0")
    last = list(diagnose(address="10.0.0.1:6379"))[-1]
    assert (last.state, last.what) == (
        "ok",
        "at 10.0.0.1:6379: 2 nodes, 8 CPUs, 1 GPUs; 1.0 s to join, 0.1 s for a task",
    )

    answer["python"] = "3.12.0"
    assert list(diagnose(address="10.0.0.1:6379"))[-1].state == "wrong"


@pytest.mark.ray
def test_ray_starts_here_and_answers():
    found = asked("ray", "local", 240)

    assert found.get("cpus") == 1 and found["task_s"] > 0, found
