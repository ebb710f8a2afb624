"""Checkpoints: safetensors and JSON with a manifest of sha256 sums, complete or absent, never half written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from gxsearch.again import patiently
from gxsearch.data.manifest import MANIFEST, verified
from gxsearch.errors import RunError


@dataclass(frozen=True)
class State:
    """All that training needs to go on after an epoch.

    Attributes:
        model: the model's state_dict.
        optimizer: the optimizer's state_dict.
        record: JSON values: epoch, best value so far, config, view state.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    record: dict[str, Any]


def write(folder: Path, state: State) -> None:
    """Write a checkpoint; a reader sees all of it or nothing."""
    tensors, plain = _flatten(state.optimizer)
    files = {
        "model.safetensors": state.model,
        "state.safetensors": tensors,
        "record.json": json.dumps({**state.record, "optimizer": plain}, indent=1).encode(),
    }
    publish(folder, files)


def read(folder: Path) -> State:
    """Read a checkpoint.

    Raises:
        RunError: when a file is missing or its bytes are not those that were written.
    """
    files = verified(folder)
    try:
        record = json.loads(files["record.json"])
        optimizer = _unflatten(load(files["state.safetensors"]), record.pop("optimizer"))
        return State(load(files["model.safetensors"]), optimizer, record)
    except (KeyError, ValueError, SafetensorError) as error:
        raise RunError.one("E621", str(folder), f"checkpoint cannot be read ({error})") from None


def newest(folder: Path) -> State | None:
    """Return the newest checkpoint below `folder` that is whole, or None."""
    for path in sorted(folder.glob("[0-9]*"), reverse=True):
        try:
            return read(path)
        except RunError:
            continue
    return None


def publish(folder: Path, files: dict[str, bytes | dict[str, Tensor]]) -> None:
    """Write files with their manifest into a new folder: to a temporary name, synced, renamed.

    Tensors go to disk from where they lie, without a copy of all of them in memory. Storage that fails for a moment
    is tried again, from the first file: what was written before an fsync that failed may be lost.
    """
    patiently(lambda: _publish(folder, files))


def _publish(folder: Path, files: dict[str, bytes | dict[str, Tensor]]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        sums = {name: _put(work / name, data) for name, data in files.items()}
        _put(work / MANIFEST, json.dumps(sums, indent=1).encode())
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)  # half a checkpoint is of no use, and the disk may be full of it
        raise
    old = folder.parent / f".{folder.name}.{os.getpid()}.old"
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _put(path: Path, data: bytes | dict[str, Tensor]) -> str:
    """Write a file and sync it; return its sha256."""
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in data.items()}
        try:
            save_file(tensors, path, metadata={"format": "pt"})
        except SafetensorError as error:
            raise _of_system(error, path) from error
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_system(error: SafetensorError, path: Path) -> Exception:
    """Return the system's error, such as that of a full disk, of which safetensors keeps no more than the words."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path)) if number else error


def _flatten(optimizer: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {f"{i}.{name}": value for i, name, value in _entries(optimizer) if isinstance(value, Tensor)}
    plain = [[i, name, value] for i, name, value in _entries(optimizer) if not isinstance(value, Tensor)]
    return tensors, {"groups": optimizer["param_groups"], "plain": plain}


def _unflatten(tensors: dict[str, Tensor], plain: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    for index, name, value in plain["plain"]:
        state.setdefault(index, {})[name] = value
    return {"state": state, "param_groups": plain["groups"]}


def _entries(optimizer: dict[str, Any]) -> Iterator[tuple[int, str, Any]]:
    for index, entries in optimizer["state"].items():
        for name, value in entries.items():
            yield index, name, value
