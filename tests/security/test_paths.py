"""Names and numbers that are paths write nothing outside of where they are asked to."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from gxsearch.data.manifest import verified
from gxsearch.errors import RunError

NAMES = ["../up", "..", ".", "a/b", "a/../../b", "/abs", "~", "~/x", "a\\b", "-rf", ".hidden", "con:", "a*", "a b"]
NAMES += ["a\nb", "a\tb", "a\x1b[2Jb", "x" * 101, "\u202etxt", "a;touch x", "$(touch x)", "%2e%2e%2fx"]
TRIALS = ["..", "../..", "007", "-1", "1e3", "0x0", "\u00b2", "\u0663", "9" * 30, "000/../../..", "*", "trials/000"]
OUTS = ["run", "run/..", "link", "run/results", "run/trials/000", "file"]


def tree(root: Path) -> dict[str, bytes | None]:
    """Return every path below a folder with what it holds."""
    return {str(p): p.read_bytes() if p.is_file() and not p.is_symlink() else None for p in root.rglob("*")}


@pytest.fixture
def place(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, within another that must stay as it is, that holds a copy of the run, a file and a link out of it."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    shutil.copytree(run, inner / "run")
    (inner / "file").write_text("kept")
    (tmp_path / "outer" / "target").mkdir()
    (inner / "link").symlink_to("../target")
    (inner / "nothing").symlink_to("../new")
    monkeypatch.chdir(inner)
    monkeypatch.setenv("HOME", str(tmp_path / "outer"))
    return inner


@pytest.mark.parametrize("verb", ["train", "tune"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_is_a_path_starts_nothing(run, place, call, verb, name):
    before = tree(place.parents[1])

    status, err = call(verb, str(run.parent / "spec.yaml"), f"--name={name}", "-o", "runs", "-q")

    *notes, last = err.splitlines()
    assert status == 3 and last.startswith("error[E303] --name: ") and last.isprintable(), err
    assert all(line.startswith("note: ") for line in notes)
    assert tree(place.parents[1]) == before


def test_a_run_folder_that_is_a_link_starts_nothing(run, place, call):
    before = tree(place.parents[1])

    for name in ("link", "nothing"):
        status, err = call("train", str(run.parent / "spec.yaml"), "--name", name, "-o", ".", "-q")
        assert status == 8 and "E812" in err
    assert tree(place.parents[1]) == before


@pytest.mark.parametrize("trial", TRIALS, ids=ascii)
def test_a_trial_that_is_a_path_is_none(place, call, trial):
    before = tree(place.parents[1])

    for verb in ("export", "grid"):
        status, err = call(verb, f"run/{trial}")
        assert status == 6 and "error[E6" in err and "E790" not in err, err
    assert tree(place.parents[1]) == before


@pytest.mark.parametrize("out", OUTS)
def test_an_export_replaces_nothing_that_is_not_one(place, call, out):
    before = tree(place.parents[1])

    status, err = call("export", "run", "-o", out)

    assert status in (6, 8) and "error[E" in err and "E790" not in err, err
    assert tree(place.parents[1]) == before


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", "pipe", "..", ""])
def test_a_manifest_names_files_of_its_folder_only(tmp_path, name):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_text("key")
    os.mkfifo(folder / "pipe")
    (folder / "manifest.json").write_text(json.dumps({name: "0" * 64}))

    with pytest.raises(RunError, match="E622.*no file of the folder"):
        verified(folder)
