"""Storage: what `gxsearch doctor` says of the folders it needs: room, writing, locking, clocks."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import gxsearch
from gxsearch.data.remote import cache_folder
from gxsearch.search.disk import LEAST_BYTES
from gxsearch.search.finding import Finding, size

_LITTLE = 5 * 2**30
_FAR = ("nfs", "cifs", "smb", "lustre", "beegfs", "gpfs", "fuse.", "9p", "ceph", "glusterfs")
_APART_S = 5.0
_SLOW_S = 1.0


def rooms(runs: str | None) -> Iterator[Finding]:
    """Tell how much is free where runs, the cache and temporary files are; `runs` is None where no disk holds them."""
    named = [] if runs is None else [("runs", Path(runs))]
    for part, folder in [*named, ("cache", cache_folder()), ("temporary", Path(tempfile.gettempdir()))]:
        place = _there(folder)
        free = shutil.disk_usage(place).free
        kind = _kind(place)
        what = f"{folder}: {size(free)} free" + (f", on {kind}" if kind else "")
        if free < LEAST_BYTES:
            yield Finding(part, "wrong", what, "free some, or use another disk")
        elif free < _LITTLE:
            yield Finding(part, "note", what, "large models want more: resources.keep says how many keep their weights")
        elif part == "temporary" and kind.startswith(_FAR):
            yield Finding(part, "note", what, "export TMPDIR to a disk of this machine")
        else:
            yield Finding(part, "ok", what)


def written(runs: str) -> Iterator[Finding]:
    """Write, sync, rename, lock and remove a file where runs go, as a search does; and compare clocks."""
    place = _there(Path(runs))
    if not place.is_dir():
        yield Finding("writing", "wrong", f"{place} is no folder", "give another --out")
        return
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix=".gxdoctor-", dir=place) as folder:
            apart = _try(Path(folder))
    except OSError as error:
        what = f"a file cannot be written, renamed and locked in {place}: {os.strerror(error.errno or 0)}"
        yield Finding("writing", "wrong", what, "give a folder that is yours with --out or GXSEARCH_RUNS")
        return
    took = time.monotonic() - began
    what = f"{place}: written, synced, renamed, locked and removed in {took:.3f} s"
    fix = "the ledger is synced after every epoch: a faster disk is better" if took > _SLOW_S else ""
    yield Finding("writing", "note" if fix else "ok", what, fix)
    yield _clock(apart)


def _try(folder: Path) -> float:
    """Do what a search does with its files; return by how many seconds the disk's clock is ahead of ours."""
    before = time.time()
    with open(folder / "a", "wb") as file:
        file.write(b"gxsearch" * 512)
        file.flush()
        os.fsync(file.fileno())
    (folder / "a").rename(folder / "b")
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    with open(folder / "b", "ab") as file, open(folder / "b", "ab") as other:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # as it should be
        else:
            raise OSError(errno.ENOLCK, "locks are not kept")
    if (folder / "b").read_bytes() != b"gxsearch" * 512:
        raise OSError(errno.EIO, "what was written is not what is read")
    return (folder / "b").stat().st_mtime - before


def _clock(apart: float) -> Finding:
    made = Path(gxsearch.__file__).stat().st_mtime
    if time.time() < made - 86400:
        what = f"says {time.strftime('%Y-%m-%d')}, before gxsearch was installed"
        return Finding("clock", "wrong", what, "set it: certificates and object storage are refused otherwise")
    if abs(apart) > _APART_S:
        what = f"that of the disk is {apart:+.0f} s from this machine's"
        return Finding("clock", "note", what, "synchronize them (NTP), so that ages of runs are right")
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _there(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    whole = folder.expanduser().absolute()
    return next(place for place in (whole, *whole.parents) if place.exists())


def _kind(place: Path) -> str:
    """Return the kind of the file system that a folder is on; empty where that is not told."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = {line.split()[1]: line.split()[2] for line in lines}
    above = [str(place.resolve()), *map(str, place.resolve().parents)]
    return next((mounts[folder] for folder in above if folder in mounts), "")
