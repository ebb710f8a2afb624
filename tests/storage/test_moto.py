"""The same against moto, which somebody else wrote: in an environment of its own, since its boto pins another dateutil.

`moto_server` on the PATH is started; GXSEARCH_TEST_S3 may name the endpoint of any other server with a bucket "lab".
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid

import pytest
from cut_short import Cut, run_on

from gxsearch.results.bucket import Bucket
from gxsearch.results.far import begun, near, reopened
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.opening import reopen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("GXSEARCH_TEST_S3") and shutil.which("moto_server") is None,
        reason="no moto_server on the PATH, and GXSEARCH_TEST_S3 names no other S3 server",
    ),
]


@pytest.fixture
def endpoint(store, monkeypatch):
    """Use that server instead of ours."""
    given, server = os.environ.get("GXSEARCH_TEST_S3"), None
    if not given:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        given = f"http://127.0.0.1:{port}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen([shutil.which("moto_server"), "-H", "127.0.0.1", "-p", str(port)], **quiet)
        _make_bucket(f"{given}/lab")
    monkeypatch.setenv("AWS_ENDPOINT_URL", given)
    yield f"s3://lab/{uuid.uuid4().hex}"
    if server is not None:
        server.terminate()
        server.wait()


def _make_bucket(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, "moto_server did not start"
            time.sleep(0.2)


def test_a_search_that_was_cut_short_goes_on_on_another_machine(endpoint, search, machine, tmp_path):
    with pytest.raises(Cut):
        search(out=endpoint, epochs=6)
    machine("machine-b")
    with reopened(f"{endpoint}/run", lambda text: None) as folder:
        ended = run_on(reopen(RunDir.open(folder), {}))

    here = search(out=tmp_path / "runs")
    machine("machine-c")
    assert [t.history for t in trials(RunDir.open(near(f"{endpoint}/run")).ledger)] == [
        t.history for t in trials(ended.ledger)
    ]
    assert [(t.params, t.best) for t in trials(ended.ledger)] == [(t.params, t.best) for t in trials(here.ledger)]


def test_large_objects_come_back_as_they_went(endpoint, tmp_path):
    data = os.urandom(11 * 2**20)
    (tmp_path / "large").write_bytes(data)
    with begun(endpoint, "probe", lambda text: None):
        bucket = Bucket.of(f"{endpoint}/other")

    bucket.put("a/large", tmp_path / "large")
    bucket.get("a/large", tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == data
    assert {name: o.size for name, o in bucket.objects().items()} == {"a/large": len(data)}
    bucket.remove(["a/large", "a/nothing"])
    assert not bucket.objects() and bucket.read("a/large") is None
