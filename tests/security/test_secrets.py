"""What is secret in the environment or in an address is not kept, and Ray is closed to others on the machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gxsearch.search import launch

NAMES = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "HF_TOKEN", "WANDB_API_KEY"]
NAMES += ["GITHUB_TOKEN", "DB_PASSWORD", "MY_PRIVATE_KEY", "AZURE_STORAGE_KEY", "SLACK_WEBHOOK_SECRET"]
TOY = Path(__file__).parents[1] / "toy"
ADDRESSES = [
    "https://me:hunter2@example.invalid/x.h5ad",
    "https://hunter2@example.invalid/x.h5ad",
    "https://example.invalid/x.h5ad?X-Amz-Signature=hunter2",
    "https://example.invalid/x.h5ad?sv=1&sig=hunter2",
    "https://example.invalid/x.h5ad?access_token=hunter2",
    "s3://key:hunter2@bucket/x.h5ad",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("verb", ["check", "train", "embed"])
def test_an_address_with_credentials_is_refused_and_not_repeated(run, tmp_path, monkeypatch, call, address, verb):
    monkeypatch.chdir(tmp_path)
    spec = str(run.parent / "spec.yaml")
    words = [str(run), address, "-o", "x.h5ad"] if verb == "embed" else [spec, "-s", f"data.path={address}"]

    status, err = call(verb, *words)

    assert status == 8 and "E805" in err and "environment" in err and "hunter2" not in err
    assert not list(tmp_path.iterdir())


def test_a_token_is_made_that_only_its_owner_reads(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    old = os.umask(0)
    try:
        launch.make_token()
    finally:
        os.umask(old)

    path = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_text()) == 64


def test_a_token_that_others_can_read_is_closed_to_them(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("old")
    (tmp_path / ".ray" / "auth_token").chmod(0o644)

    launch.make_token()

    path = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text() == "old"


def test_the_folder_of_rays_sockets_is_closed_to_others():
    old = os.umask(0)
    try:
        folder = launch._scratch()
    finally:
        os.umask(old)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()


def test_the_folder_of_rays_sockets_has_a_short_name(tmp_path, monkeypatch):
    """Names of sockets have 107 letters at most, and folders for temporary files are often long."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 10)))

    folder = launch._scratch()

    assert len(str(folder / "r" / "session_2026-11-21_09-17-34_350842_1234567" / "sockets" / "plasma_store")) < 103
    folder.rmdir()


TUNE = """
import json, os, stat, sys
from pathlib import Path
import ray
from gxsearch.cli import main
from gxsearch.search import tuner

told, search = {}, tuner.search
def watched(*args, **kwargs):
    node = ray._private.worker._global_node
    scratch = Path(node.get_session_dir_path()).parents[1]
    told["session"] = oct(stat.S_IMODE(scratch.stat().st_mode))
    told["mode"] = os.environ["RAY_AUTH_MODE"]
    told["usage"] = os.environ["RAY_USAGE_STATS_ENABLED"]
    told["dashboard"] = ray._private.worker.global_worker.node.webui_url
    told["scratch"] = str(scratch)
    told["gcs"] = node.gcs_address
    import subprocess
    lone = {**os.environ, "HOME": "/nonexistent", "RAY_AUTH_MODE": "disabled"}
    code = "import ray, sys; ray.init(address=sys.argv[1], logging_level=50, log_to_driver=False); print('in')"
    stranger = subprocess.run([sys.executable, "-c", code, node.gcs_address], env=lone, capture_output=True, text=True)
    told["stranger"] = [stranger.returncode, stranger.stdout]
    return search(*args, **kwargs)

tuner.search = watched
main(["tune", sys.argv[1], "-o", sys.argv[2], "--name", "run", "-n", "2", "--epochs", "3", "-j", "1"])
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_search_keeps_no_secret_and_lets_no_stranger_in(tmp_path):
    secrets = {name: f"canary-{i}-{name[::-1]}" for i, name in enumerate(NAMES)}
    home = {"HOME": str(tmp_path / "home"), "GXSEARCH_CACHE": str(tmp_path / "cache")}
    (tmp_path / "home").mkdir()
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("RAY_")}, **secrets, **home}

    done = subprocess.run(
        [sys.executable, "-c", TUNE, str(TOY / "toy.yaml"), str(tmp_path / "runs")],
        env=env,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["session"] == "0o700" and told["mode"] == "token" and told["usage"] == "0"
    assert not told["dashboard"] and told["stranger"][0] != 0 and "in" not in told["stranger"][1]
    assert not Path(told["scratch"]).exists()
    token = tmp_path / "home" / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    kept = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    words = [*secrets.values(), token.read_text()]
    assert len(kept) > 10
    assert not [(path, word) for path in kept for word in words if word.encode() in path.read_bytes()]
    assert not [word for word in words if word in done.stdout + done.stderr]
