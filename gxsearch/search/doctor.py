"""Doctor: looks at a machine before a search: all that is known of why searches fail on machines, part by part."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from gxsearch.data.remote import check_secrets, is_uri, public
from gxsearch.search import machine, storage
from gxsearch.search.answer import asked
from gxsearch.search.finding import Finding

_RAY_S, _BUCKET_S = 40.0, 12.0
_SLOW_S = 15.0
_APART_S = 300.0
LOCAL = "local"


def diagnose(*, out: str = "runs", address: str = LOCAL, ray: bool = True) -> Iterator[Finding]:
    """Yield what is found, the quick things first; with `ray`, last, whether Ray starts here or answers at `address`.

    `out` is where runs go: a folder, which is not made, or an address of object storage.

    Raises:
        UnsafeError: E805 an address that holds credentials.
    """
    far = is_uri(out) and not out.startswith("file://")
    runs = None if far else out.removeprefix("file://")
    if far:
        check_secrets(out)
    yield from machine.versions()
    yield from machine.cpus()
    yield from machine.memories()
    yield from storage.rooms(runs)
    if runs is not None:
        yield from storage.written(runs)
    yield from machine.processes()
    yield from machine.environment()
    yield from machine.gpus()
    if far:
        yield _bucket(out)
    if ray:
        yield _ray(address)


def _bucket(uri: str) -> Finding:
    found = asked("bucket", uri, _BUCKET_S)
    shown = public(uri)
    if "error" in found:
        fix = found["fix"] or "see credentials (AWS_*, the machine's role), AWS_ENDPOINT_URL and the bucket's name"
        return Finding("storage", "wrong", f"{shown}: {found['error']}", fix)
    what = f"{shown}: an object was written, read, listed and removed in {found['seconds']:.2f} s"
    if abs(found["apart_s"]) > _APART_S:
        fix = "synchronize this machine's clock (NTP): storage refuses signatures of another time"
        return Finding("storage", "note", f"{what}; its clock is {found['apart_s']:+.0f} s from this one", fix)
    return Finding("storage", "ok", what)


def _ray(address: str) -> Finding:
    found = asked("ray", address, _RAY_S)
    where = "starts here" if address == LOCAL else f"at {address}"
    if "error" in found:
        fix = found["fix"] or "try again when the machine is less busy; else see /dev/shm, memory and open files above"
        return Finding("ray", "wrong", f"{where}: {found['error']}", fix)
    does = "start" if address == LOCAL else "join"
    took = f"{found['started_s']:.1f} s to {does}, {found['task_s']:.1f} s for a task"
    have = f"{found['nodes']} nodes, {found['cpus']:g} CPUs, {found['gpus']:g} GPUs; " if address != LOCAL else ""
    if found["python"] != platform.python_version():
        fix = "the same Python and gxsearch must be installed on all nodes"
        what = f"{where}: Python {found['python']} there, {platform.python_version()} here"
        return Finding("ray", "wrong", what, fix)
    state = "note" if found["started_s"] + found["task_s"] > _SLOW_S else "ok"
    return Finding("ray", state, f"{where}: {have}{took}", "the machine is slow or busy" if state == "note" else "")
