"""Far: runs on object storage: working copies for searches, and copies to read for all other verbs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gxsearch.data.remote import check_secrets, is_uri, public
from gxsearch.errors import GxError, RunError, RunFailed, UnsafeError
from gxsearch.results import mirror
from gxsearch.results.bucket import Bucket, StorageError
from gxsearch.results.claim import FOLDER as CLAIMS
from gxsearch.results.claim import Claim
from gxsearch.results.mirror import Mark, Mirror, is_mirrored
from gxsearch.results.run_dir import RunDir, is_number, named, refuse_existing, write_atomic
from gxsearch.results.shelf import bring, copies

MARKER = "remote.json"
"""Beside a copy of a run: where it is kept, and as what its files were when they were copied."""
Say = Callable[[str], None]


def near(path: str | Path) -> str | Path:
    """Return a path as it is, that of a file:// address, and of a run on object storage that of its copy here.

    The copy holds all but what trials left; what has changed is fetched again.

    Raises:
        RunError: E601 when there is none. SpecError, UnsafeError: when it is no address of a run. RunFailed: E714.
    """
    if not is_uri(str(path)):
        return path
    uri = str(path).rstrip("/")
    if uri.startswith("file://"):
        check_secrets(uri)
        return url2pathname(urlsplit(uri).path)
    above, _, last = uri.rpartition("/")
    with _told(uri):
        bucket = Bucket.of(uri)
        facts = bucket.read("run.json")
        if facts is None and is_number(last) and (facts := Bucket.of(above).read("run.json")) is not None:
            return _read_copy(Bucket.of(above), facts) / last
        if facts is None:
            fix = "give the address of a run: where tune --out put it, with its name"
            raise RunError.one("E601", public(uri), "no run here (run.json is missing)", fix)
        return _read_copy(bucket, facts)


def give_back(run: RunDir) -> None:
    """Put what a verb wrote into the copy of a run where the run is; of a run on a disk that is done already.

    Raises:
        RunFailed: E714 when the storage fails.
    """
    marker = _marker(run.path)
    told = json.loads(marker.read_text()) if marker is not None else {}
    if "files" not in told:
        return
    folder, before = marker.parent / told["name"], told["files"]
    with _told(told["uri"]):
        bucket, after = Bucket.of(told["uri"]), _marks(folder)
        for name in [n for n, mark in after.items() if mark != tuple(before.get(n, {}).get("mark", ()))]:
            bucket.put(name, folder / name)
        there = bucket.objects()
    files = {n: {"mark": mark, "there": [there[n].size, there[n].mtime]} for n, mark in after.items() if n in there}
    write_atomic(marker, json.dumps({**told, "files": files}).encode())


def fetch(folder: Path) -> None:
    """Copy a checkpoint to its place in the copy of a run, if it is not there; does nothing for runs on a disk."""
    marker = None if folder.is_dir() else _marker(folder)
    if marker is None:
        return
    told = json.loads(marker.read_text())
    above = folder.parent.relative_to(marker.parent / told["name"])
    with _told(told["uri"]):
        bring(Bucket.of(told["uri"]) / above.as_posix(), folder)


def shown(folder: Path) -> str:
    """Return where a search says that its run is: its address, where it has one."""
    far = mirror.of(folder)
    return far.bucket.uri + folder.as_posix()[len(far.folder.as_posix()) :] if far else str(folder)


@contextmanager
def begun(out: str | Path, name: str, say: Say) -> Iterator[Path]:
    """Yield the folder in which a new search of that name in `out` works; at the end all of it is in `out`.

    Raises:
        RunError: E603 when there is one, E605 when another process begins it, E607 when it cannot be made.
        RunFailed: E714 when not all of it is in `out`.
    """
    out = near(out) if str(out).startswith("file://") else out
    if not is_uri(str(out)):
        folder = named(out, name)
        refuse_existing(folder)  # before Ray is started: it is quick to tell
        yield folder
        return
    uri = f"{str(out).rstrip('/')}/{named('', name)}"
    bucket = Bucket.of(uri)
    claim = Claim(bucket)
    try:
        there = [name for name in bucket.objects() if not name.startswith(CLAIMS)]
        if there:
            hint = f"gxsearch resume {uri}, or another --name" if "run.json" in there else "give another --name"
            raise RunError.one("E603", uri, "this run exists already", hint)
        claim.take()
    except StorageError as error:
        raise RunError.one("E607", uri, f"the run cannot be made ({error.reason})", "check the address") from error
    folder = _working_copies(uri) / uuid.uuid4().hex[:12] / name
    folder.parent.mkdir(mode=0o700, parents=True)
    write_atomic(folder.parent / MARKER, json.dumps({"uri": uri, "name": name}).encode())
    with _mirrored(Mirror(bucket, folder.resolve(), claim, {}, []), say) as folder:
        yield folder


@contextmanager
def reopened(run: str | Path, say: Say) -> Iterator[Path]:
    """Yield the folder in which a search goes on; at the end all of it is where the run is.

    Raises:
        RunError: E601 when there is none, E605 when another process runs it. RunFailed: E714 when the storage fails.
    """
    if not is_uri(str(run)) or str(run).startswith("file://"):
        yield Path(near(run))
        return
    uri = str(run).rstrip("/")
    with _told(uri):
        bucket = Bucket.of(uri)
        if bucket.read("run.json") is None:
            raise RunError.one("E601", public(uri), "no run here (run.json is missing)", "give the address of a run")
        claim = Claim(bucket)
        claim.take()
        try:
            folder, known, names = _working_copy(bucket, say)
        except BaseException:
            claim.release()
            raise
    with _mirrored(Mirror(bucket, folder, claim, known, names), say) as folder:
        yield folder


@contextmanager
def _mirrored(far: Mirror, say: Say) -> Iterator[Path]:
    """Keep a copy and its run alike; tell of the run by its address."""
    error: BaseException | None = None
    far.begin()
    try:
        yield far.folder
    except BaseException as caught:  # noqa: BLE001 - raised again below, once what there is is safe
        error = caught
    failed = far.settle(mirror.PATIENCE_S if error is None else mirror.SOON_S)
    if failed is not None:
        raise failed from error
    if isinstance(error, GxError):
        readdress(error, far)
    if error is not None:
        raise error
    say(f"all of it is at {far.bucket.uri}")


def readdress(error: GxError, far: Mirror) -> None:
    """Have an error name a run by its address instead of that of the copy."""

    def put(text: str) -> str:
        return text.replace(str(far.folder), far.bucket.uri)

    error.faults = tuple(replace(f, where=put(f.where), what=put(f.what), fix=put(f.fix)) for f in error.faults)


def _working_copy(bucket: Bucket, say: Say) -> tuple[Path, dict[str, Mark], list[str]]:
    """Return the copy that a search goes on in, what of it is on the storage already, and what is there.

    A copy that this machine has is taken if its ledger is that of the storage, or that and more: it was not all put
    there. One that is behind is deleted, and one that went another way is left alone.
    """
    there = bucket.objects()
    name, facts, ledger = bucket.root.rpartition("/")[2], bucket.read("run.json"), bucket.read("ledger.jsonl") or b""
    ledger = ledger[: ledger.rfind(b"\n") + 1]
    for folder in sorted(_working_copies(bucket.uri).glob(f"*/{name}")):
        own = folder / "ledger.jsonl"
        told = own.read_bytes() if own.is_file() else b""
        if (folder / "run.json").is_file() and (folder / "run.json").read_bytes() == facts and told.startswith(ledger):
            say(f"the copy of this machine is used: {folder}")
            return folder.resolve(), {}, list(there)
        if ledger.startswith(told):
            shutil.rmtree(folder.parent)
        else:
            say(f"note: {folder} has what {bucket.uri} has not; it is left alone")
    folder = _working_copies(bucket.uri) / uuid.uuid4().hex[:12] / name
    folder.mkdir(mode=0o700, parents=True)
    write_atomic(folder.parent / MARKER, json.dumps({"uri": bucket.uri, "name": name}).encode())
    _get_all(bucket, [n for n in there if is_mirrored(n)], folder)
    return folder.resolve(), _marks(folder), list(there)


def _read_copy(bucket: Bucket, facts: bytes) -> Path:
    """Return the copy of a run that is read, as the run is now."""
    name = bucket.root.rpartition("/")[2]
    above = copies() / "read" / _key(bucket.uri) / "copy"
    folder, marker = above / name, above / MARKER
    if (folder / "run.json").is_file() and (folder / "run.json").read_bytes() != facts:
        shutil.rmtree(above)  # another run was made in its place
    before = json.loads(marker.read_text())["files"] if marker.is_file() else {}
    there = {n: o for n, o in bucket.objects().items() if is_mirrored(n) and "trials" not in Path(n).parts}
    same = {n for n, o in there.items() if before.get(n, {}).get("there") == [o.size, o.mtime]}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _get_all(bucket, [n for n in there if n not in same or not (folder / n).is_file()], folder)
    marks = _marks(folder)
    for name_ in [n for n in marks if n not in there]:
        (folder / name_).unlink(missing_ok=True)
    files = {n: {"mark": marks[n], "there": [o.size, o.mtime]} for n, o in there.items() if n in marks}
    told = {"uri": bucket.uri, "name": name, "files": files}
    write_atomic(marker, json.dumps(told).encode())
    return folder


def _get_all(bucket: Bucket, names: list[str], folder: Path) -> None:
    odd = next((n for n in names if Path(n).is_absolute() or {"..", "."} & set(n.split("/")) or "\\" in n), None)
    if odd is not None:
        raise UnsafeError.one("E812", bucket.uri, f"an object is called '{odd}'", "this is no run of ours")
    with ThreadPoolExecutor(mirror.TOGETHER) as pool:
        list(pool.map(lambda name: _get(bucket, name, folder), names))


def _get(bucket: Bucket, name: str, folder: Path) -> None:
    try:
        bucket.get(name, folder / name)
    except FileNotFoundError:
        return  # it was deleted meanwhile


def _marks(folder: Path) -> dict[str, Mark]:
    """Return the files of a copy but checkpoints, with their sizes and times."""
    found: dict[str, Mark] = {}
    for above, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".") and not mirror.is_checkpoints(Path(above, f))]
        for path in (Path(above, file) for file in files if not file.startswith((".", "lock"))):
            stat = path.stat()
            found[path.relative_to(folder).as_posix()] = (stat.st_size, stat.st_mtime_ns)
    return found


def _marker(path: Path) -> Path | None:
    """Return the marker of the copy that a path is in; None for what is no copy."""
    home = copies().resolve()
    if not path.is_relative_to(home):
        return None
    return next((above / MARKER for above in path.parents if (above / MARKER).is_file()), None)


def _working_copies(uri: str) -> Path:
    return copies() / "work" / _key(uri)


def _key(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Tell of a storage that fails in one line."""
    try:
        yield
    except StorageError as error:
        fix = "check the address and the credentials" if error.settled else "try again later"
        raise RunFailed.one("E714", public(uri), f"the storage fails ({error.reason})", fix) from error
