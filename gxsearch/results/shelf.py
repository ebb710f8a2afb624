"""Shelf: where the checkpoints of trials are: in the run folder, and on object storage where runs are kept there."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from gxsearch.data.manifest import MANIFEST, verified
from gxsearch.data.remote import cache_folder
from gxsearch.errors import RunError
from gxsearch.results import mirror
from gxsearch.results.bucket import Bucket
from gxsearch.results.run_dir import RunDir

RUNS = "runs"
"""The folder of the cache that holds copies of runs: KIND/ADDRESS/COPY/NAME."""
_DEPTH = 4
Item = TypeVar("Item")


def copies() -> Path:
    """Return the folder of this machine that holds copies of runs on object storage."""
    return cache_folder() / RUNS


def saved(run: RunDir, number: int) -> list[int]:
    """Return the epochs of a trial whose checkpoints are kept, in order."""
    folder, far = run.checkpoints(number), mirror.of(run.path)
    here = {int(name) for name in os.listdir(folder) if name.isdigit()} if folder.is_dir() else set()
    return sorted(here | far.saved(folder) if far else here)


def drop(run: RunDir, number: int, epoch: int, *, at_once: bool = False) -> None:
    """Delete a checkpoint; on object storage after the ledger of now is there, or `at_once`."""
    folder, far = run.checkpoints(number), mirror.of(run.path)
    if far is None:
        shutil.rmtree(folder / f"{epoch:06d}")
        return
    shutil.rmtree(folder / f"{epoch:06d}", ignore_errors=True)  # it may be on another machine only
    far.drop(folder, epoch)
    if at_once:
        far.clear(folder / f"{epoch:06d}")


@dataclass(frozen=True)
class Shelf:
    """What the process that trains a trial knows of where to keep its checkpoints, on whatever machine it runs.

    Attributes:
        uri: of the trial's folder on object storage. key: of its folder among the copies of each machine.
        upto: a checkpoint that only this machine has counts up to this epoch: of later ones the ledger has not heard.
    """

    uri: str
    key: str
    upto: int

    @classmethod
    def of(cls, run: RunDir, number: int, told: int) -> Shelf | None:
        """Return the shelf of a trial that has told of so many epochs; None where runs are kept on a disk."""
        far = mirror.of(run.path)
        if far is None:
            return None
        folder = run.trial(number)
        return cls(f"{far.bucket.uri}/{far.name(folder)}", folder.relative_to(copies().resolve()).as_posix(), told + 1)

    @classmethod
    def read(cls, config: dict[str, Any]) -> Shelf | None:
        """Return that of a trial's configuration."""
        return cls(**config["shelf"]) if config.get("shelf") else None

    def to_json(self) -> dict[str, Any]:
        """Return what `read` reads."""
        return asdict(self)

    @property
    def folder(self) -> Path:
        """The trial's folder on this machine."""
        return copies().resolve() / self.key

    def fetch(self) -> None:
        """Bring this machine's checkpoints to where the storage is, or the storage to where they are, if they went on.

        Raises:
            StorageError: when the storage fails.
        """
        there, here = self._there(), self.folder / "checkpoints"
        for path in here.glob("[0-9]*"):
            if int(path.name) in there:
                continue
            if max(there, default=0) < int(path.name) <= self.upto and _is_whole(path):
                self.keep(int(path.name))
                there.append(int(path.name))
            else:
                shutil.rmtree(path)
        for epoch in sorted(there, reverse=True):
            if bring(self._bucket / "checkpoints", here / f"{epoch:06d}"):
                return

    def keep(self, epoch: int) -> None:
        """Put a checkpoint on the storage, its manifest last; one that is there is left alone.

        Raises:
            StorageError: when the storage fails.
        """
        path = self.folder / "checkpoints" / f"{epoch:06d}"
        below = self._bucket / f"checkpoints/{path.name}"
        if below.read(MANIFEST) == (path / MANIFEST).read_bytes():
            return
        for file in sorted(path.iterdir(), key=lambda file: file.name == MANIFEST):
            below.put(file.name, file)

    def keep_rest(self) -> None:
        """Put what else a training writes there, if this is not the machine whose mirror does so."""
        if self._is_mirrored:
            return
        for file in self.folder.glob("[!.]*"):
            if file.is_file():
                self._bucket.put(file.name, file)

    def keeping(self, steps: Iterator[tuple[dict[str, float], Item]]) -> Iterator[tuple[dict[str, float], Item]]:
        """Yield the epochs of a training, those that wrote a checkpoint once it is on the storage."""
        at = time.monotonic()
        for metrics, item in steps:
            if metrics["saved"]:
                self.keep(int(metrics["epoch"]))
                self._clear_but(f"{int(metrics['epoch']):06d}")
            if time.monotonic() - at > mirror.LAZY_S:
                self.keep_rest()
                at = time.monotonic()
            yield metrics, item

    def leave(self) -> None:
        """Leave a machine that is not that of the mirror as a training found it; all there is is on the storage.

        Raises:
            StorageError: when it is not, for the storage fails.
        """
        if not self._is_mirrored:
            self.keep_rest()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _clear_but(self, newest: str) -> None:
        """Delete older checkpoints of this machine, unless it is that of the mirror, which is told what is needed."""
        if not self._is_mirrored:
            for path in (self.folder / "checkpoints").glob("[0-9]*"):
                if path.name != newest:
                    shutil.rmtree(path, ignore_errors=True)

    @property
    def _is_mirrored(self) -> bool:
        run = copies().joinpath(*Path(self.key).parts[:_DEPTH])
        return (run / "run.json").is_file()

    @property
    def _bucket(self) -> Bucket:
        return _bucket(self.uri)

    def _there(self) -> list[int]:
        found = [Path(name) for name in (self._bucket / "checkpoints").objects()]
        return [int(p.parent.name) for p in found if p.name == MANIFEST and p.parent.name.isdigit()]


@lru_cache(maxsize=64)
def _bucket(uri: str) -> Bucket:
    return Bucket.of(uri)


def bring(above: Bucket, folder: Path) -> bool:
    """Copy a checkpoint below a folder of the storage to `folder`, and say whether it is whole there."""
    if _is_whole(folder):
        return True
    below, work = above / folder.name, folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        for name in below.objects():
            if "/" not in name:
                below.get(name, work / name)
        if not _is_whole(work):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        try:
            work.rename(folder)
        except OSError:  # another process of this machine was quicker
            return _is_whole(folder)
        return True
    except FileNotFoundError:
        return False  # it was deleted meanwhile
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        return bool(verified(folder))
    except RunError:
        return False
