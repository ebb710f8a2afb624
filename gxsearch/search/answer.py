"""Answer: asks Ray or object storage, in a process of its own that can be ended, whether they work; prints JSON."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from typing import Any

from gxsearch.errors import GxError


def asked(what: str, address: str, seconds: float) -> dict[str, Any]:
    """Ask ``ray`` or ``bucket`` at an address; return what was answered, or ``{"error": ..., "fix": ...}``.

    Of Ray: nodes, cpus, gpus, python, started_s, task_s. Of a bucket: seconds, apart_s (its clock against ours).
    """
    command = [sys.executable, "-P", "-m", "gxsearch.search.answer", what, address]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"error": f"no answer within {seconds:g} s", "fix": ""}
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        said = (err.strip().splitlines() or ["nothing was said"])[-1]
        return {"error": f"ended with code {process.returncode}: {said[:200]}", "fix": ""}
    return json.loads(lines[-1])


def _ray(address: str) -> dict[str, Any]:
    from gxsearch.search.launch import connected
    from gxsearch.search.sections import Resources

    began = time.monotonic()
    with connected(address, Resources(cpus=0.1), cpus=1):
        import ray

        started = time.monotonic()
        task = ray.remote(num_cpus=0.1)(platform.python_version)
        python = ray.get(task.remote(), timeout=60)
        have = ray.cluster_resources()
        return {
            "nodes": sum(bool(node["Alive"]) for node in ray.nodes()),
            "cpus": have.get("CPU", 0),
            "gpus": have.get("GPU", 0),
            "python": python,
            "started_s": started - began,
            "task_s": time.monotonic() - started,
        }


def _bucket(uri: str) -> dict[str, Any]:
    from gxsearch.results.bucket import Bucket

    began, name = time.monotonic(), f".gxdoctor-{os.getpid()}-{time.time_ns()}"
    place = Bucket.of(uri) / name
    place.put("a", b"gxsearch")
    try:
        whole = place.read("a") == b"gxsearch"
        written = place.objects()["a"].mtime
    finally:
        place.remove(["a"])
    if not whole:
        return {"error": "what was written is not what is read", "fix": ""}
    return {"seconds": time.monotonic() - began, "apart_s": written - time.time()}


def main(what: str, address: str) -> None:
    """Ask, and print what was answered."""
    try:
        found = {"ray": _ray, "bucket": _bucket}[what](address)
    except GxError as error:
        fault = error.faults[0]
        found = {"error": f"{fault.what} ({fault.code})", "fix": fault.fix}
    except Exception as error:  # noqa: BLE001 - told in one line by who asked
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "fix": ""}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
