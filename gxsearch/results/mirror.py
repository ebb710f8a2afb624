"""Mirror: keeps a run folder's copy on object storage up to date while a search writes to the folder."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gxsearch.errors import GxError, RunError, RunFailed
from gxsearch.results.bucket import Bucket, StorageError
from gxsearch.results.claim import FOLDER as CLAIMS
from gxsearch.results.claim import Claim, Taken

EVERY_S = 2.0
LAZY_S = 15.0
"""What people only watch goes up less often: curves, the journal of the study, the log."""
PATIENCE_S = 300.0
"""A storage that does not answer for so long is given up."""
SOON_S = 20.0
"""The same at the end of a search that was stopped: batch systems kill after 30 seconds."""
TOGETHER = 8
"""Objects that are under way at once."""
_LAZY = ("events.out.tfevents", "metrics.ndjson", "study.journal", "gxsearch.log")
_OPEN: dict[Path, Mirror] = {}

Mark = tuple[int, int]
"""A file's size, and when it was changed in ns."""


def of(folder: Path) -> Mirror | None:
    """Return the mirror of the run that a folder is in; None where runs are kept on a disk."""
    return next((mirror for root, mirror in _OPEN.items() if folder.is_relative_to(root)), None)


class Mirror:
    """Copies what changes in a run folder to object storage, in a thread, and tells whether all of it is there.

    Checkpoints are put there by who writes them, which may be another machine; the mirror remembers which there are,
    and deletes those that are not needed only after the ledger that says so was put there: whatever happens, a ledger
    on the storage finds the checkpoints that it asks for.
    """

    def __init__(self, bucket: Bucket, folder: Path, claim: Claim, known: dict[str, Mark], names: list[str]):
        self.bucket, self.folder, self.failure = bucket, folder, ""
        self._claim, self._known, self._sizes = claim, known, {}
        self._saved: dict[str, set[int]] = {}
        for name in names:
            self._note(name)
        self._drops: list[str] = []
        self._lazy_at, self._taken = 0.0, ""
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def begin(self) -> None:
        """Begin to follow the folder."""
        _OPEN[self.folder] = self
        self._thread.start()

    def nudge(self) -> None:
        """Have what changed put there now rather than in a few seconds."""
        self._wake.set()

    def note(self, folder: Path, epoch: int) -> None:
        """Take note of a checkpoint that is on the storage."""
        self._saved.setdefault(self.name(folder), set()).add(epoch)

    def saved(self, folder: Path) -> set[int]:
        """Return the epochs whose checkpoints are on the storage, in a trial's folder of checkpoints."""
        return set(self._saved.get(self.name(folder), ()))

    def trials(self, folder: Path) -> list[int]:
        """Return the trials of a run, or of a part of it, that have checkpoints on the storage."""
        above = self.name(folder / "trials")
        found = [Path(name).parent for name, epochs in self._saved.items() if epochs]
        return sorted(int(path.name) for path in found if path.parent.as_posix() == above and path.name.isdigit())

    def drop(self, folder: Path, epoch: int) -> None:
        """Delete a checkpoint, after the ledger of now is on the storage."""
        self._saved.get(self.name(folder), set()).discard(epoch)
        self._drops.append(f"{self.name(folder)}/{epoch:06d}")

    def clear(self, folder: Path) -> None:
        """Delete all that is below a folder, at once: another search or trial begins there."""
        below = self.bucket / self.name(folder)
        below.remove(sorted(below.objects(), key=_first))
        for name in [name for name in self._saved if f"{name}/".startswith(f"{self.name(folder)}/")]:
            del self._saved[name]

    def name(self, path: Path) -> str:
        """Return what a file or folder of the run is called on the storage."""
        return path.relative_to(self.folder).as_posix()

    def settle(self, patience_s: float) -> GxError | None:
        """Put all of it there, look whether it is, and give the run free; return what to say where that fails."""
        self._ending.set()
        self._wake.set()
        self._thread.join(timeout=patience_s)
        try:
            if not (self.folder / "run.json").is_file():  # nothing was begun
                self._claim.release()
                return None
            return self._settled(time.monotonic() + patience_s)
        except StorageError as error:
            self.failure = error.reason
            return self.lost()
        finally:
            self._claim.give_up()
            _OPEN.pop(self.folder, None)

    def lost(self) -> GxError:
        """Return what to say of a search that is not on the storage as far as it has come."""
        if self._taken:
            what = f"{self._taken}; what this one did since is in {self.folder}"
            return RunError.one("E605", self.bucket.uri, what, "leave it to that one")
        reason = self.failure or "a trial could not write to it"
        what = f"the storage fails ({reason}): not all is there, and all that the search has is in {self.folder}"
        return RunFailed.one("E714", self.bucket.uri, what, f"when it is back, here: gxsearch resume {self.bucket.uri}")

    def _settled(self, end: float) -> GxError | None:
        while True:
            try:
                if self._taken:
                    return self.lost()
                self._sync(lazy=True)
                self._verify()
                self._claim.release()
                return None
            except Taken as taken:
                self._taken = str(taken)
            except StorageError as error:
                if error.settled or time.monotonic() > end:
                    raise
                time.sleep(EVERY_S / 2)

    def _follow(self) -> None:
        """Copy what changes until the search ends; such as that copying takes little of the time."""
        pause, well = EVERY_S, time.monotonic()
        while not self._ending.is_set():
            nudged = self._wake.wait(pause)
            self._wake.clear()
            if nudged and self._ending.wait(min(1.0, pause)):
                return
            begun = time.monotonic()
            try:
                self._sync(lazy=begun - self._lazy_at > LAZY_S)
                well = time.monotonic()
            except Taken as taken:
                self._taken = self.failure = str(taken)
                return
            except StorageError as error:
                if error.settled or time.monotonic() - well > PATIENCE_S:
                    self.failure = error.reason
                    return
            pause = max(EVERY_S, 5 * (time.monotonic() - begun))

    def _sync(self, *, lazy: bool) -> None:
        self._claim.hold()
        drops, self._drops = self._drops, []
        try:
            marks = dict(self._files())
            late = [n for n, mark in marks.items() if mark != self._known.get(n) and (lazy or not _is_lazy(n))]
            self._put_all([n for n in late if not n.endswith("run.json")], marks)
            self._put_all([n for n in late if n.endswith("run.json")], marks)  # by it a run is known: last
            gone = [name for name in self._known if name not in marks]
            self.bucket.remove(gone)
            for name in gone:
                del self._known[name]
                self._sizes.pop(name, None)
            self._lazy_at = time.monotonic() if lazy else self._lazy_at
            while drops:
                below = self.bucket / drops[0]
                below.remove(sorted(below.objects(), key=_first))
                drops.pop(0)
        finally:
            self._drops = drops + self._drops

    def _put_all(self, names: list[str], marks: dict[str, Mark]) -> None:
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(lambda name: self._put(name, marks[name]), names))

    def _put(self, name: str, mark: Mark) -> None:
        path = self.folder / name
        try:
            if name.endswith("run.json") and (there := self.bucket.read(name)) not in (None, path.read_bytes()):
                raise StorageError(self.bucket.uri, f"{name} there is another ({len(there)} bytes)", settled=True)
            self._sizes[name] = self.bucket.put(name, path)
        except FileNotFoundError:
            return  # it was renamed meanwhile
        self._known[name] = mark

    def _verify(self) -> None:
        """Look whether the storage has every file in its size, and of ledgers every byte.

        Raises:
            StorageError: when not; what differs is put there again the next time.
        """
        there = self.bucket.objects()
        odd = [n for n, size in self._sizes.items() if n not in there or there[n].size != size]
        for name in [n for n in self._sizes if n.endswith(("ledger.jsonl", "run.json"))]:
            data, own = self.bucket.read(name) or b"", (self.folder / name).read_bytes()
            odd += [name] if hashlib.sha256(data).digest() != hashlib.sha256(own).digest() else []
        for name in odd:
            self._known.pop(name, None)
        if odd:
            raise StorageError(self.bucket.uri, f"{odd[0]} is not there as it was written", settled=False)

    def _files(self) -> Iterator[tuple[str, Mark]]:
        """Yield the files of the folder that are mirrored."""
        for above, folders, files in os.walk(self.folder):
            folders[:] = [f for f in folders if not f.startswith(".") and not is_checkpoints(Path(above, f))]
            for path in (Path(above, file) for file in files):
                if path.name.startswith((".", "lock")) or ".lock" in path.name or path.is_symlink():
                    continue
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                yield self.name(path), (stat.st_size, stat.st_mtime_ns)

    def _note(self, name: str) -> None:
        """Take note of an object that is there, if it says that a checkpoint is whole."""
        path = Path(name)
        if path.name == "manifest.json" and is_checkpoints(path.parents[1]) and path.parent.name.isdigit():
            self._saved.setdefault(path.parents[1].as_posix(), set()).add(int(path.parent.name))


def is_checkpoints(path: Path) -> bool:
    """Say whether a path is that of a trial's folder of checkpoints."""
    return path.name == "checkpoints" and path.parent.parent.name == "trials"


def is_mirrored(name: str) -> bool:
    """Say whether an object is neither a claim nor of a checkpoint, nor curves, which nothing but people reads."""
    path = Path(name)
    below = any(is_checkpoints(above) for above in path.parents)
    return not below and path.parts[0] != CLAIMS and not path.name.startswith(_LAZY[0])


def _is_lazy(name: str) -> bool:
    return name.rpartition("/")[2].startswith(_LAZY)


def _first(name: str) -> tuple[bool, str]:
    """Order names such that manifests go first: what is left of a folder is no whole checkpoint then."""
    return not name.endswith("manifest.json"), name
