"""Reading a run folder or a model never runs what is in it: pickles and junk under every name that we read."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from gxsearch import api
from gxsearch.errors import GxError
from gxsearch.results import projection
from gxsearch.results.run_dir import RunDir

FAULT = re.compile(r"error\[E[3-8]\d\d\] \S.*")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Payload(canary))


def in_array(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def in_torch(canary: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": Payload(canary)}, buffer)
    return buffer.getvalue()


def in_json(canary: Path) -> bytes:
    """Return JSON in the manner of Ray's state files, which name a pickle to be run."""
    return json.dumps({"_type": "CLOUDPICKLE_FALLBACK", "value": pickled(canary).hex()}).encode()


def in_h5ad(canary: Path) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("X", data=np.void(pickled(canary)))
        file.attrs["encoding-type"], file.attrs["encoding-version"] = "anndata", "0.1.0"
        file.attrs["pickled"] = np.void(pickled(canary))
    return buffer.getvalue()


ARTEFACTS: dict[str, list[Callable[[Path], bytes]]] = {
    "run.json": [pickled, in_json],
    "ledger.jsonl": [pickled, in_json],
    "spec.yaml": [pickled],
    "study.journal": [pickled],
    "trials/000/checkpoints/*/model.safetensors": [pickled, in_torch],
    "trials/000/checkpoints/*/state.safetensors": [in_torch],
    "trials/000/checkpoints/*/record.json": [pickled, in_json],
    "trials/000/checkpoints/*/manifest.json": [pickled],
    "results/baselines.json": [pickled, in_json],
    "results/scores.json": [pickled],
    "results/clusters.csv": [pickled],
    "results/embeddings.h5ad": [pickled, in_h5ad],
    "results/best/view.json": [pickled, in_json],
    "results/best/config.json": [pickled, in_json],
    "results/best/model.safetensors": [in_torch],
}
COMMANDS = {
    "status": ["RUN"],
    "trials": ["RUN"],
    "best": ["RUN"],
    "report": ["RUN"],
    "export": ["RUN", "-o", "OUT/model"],
    "embed": ["RUN", "CELLS", "-o", "OUT/new.h5ad"],
    "genes": ["RUN", "gene1"],
    "predict": ["RUN", "-o", "OUT/new.csv"],
    "resume": ["RUN", "-q"],
    "embed a model": ["RUN/results/best", "CELLS", "-o", "OUT/more.h5ad"],
}


def put(place: Path, data: bytes) -> None:
    """Write a file, and its sum into the manifest beside it: whoever poisons a file does that too."""
    place.write_bytes(data)
    manifest = place.parent / "manifest.json"
    if manifest.exists() and manifest != place:
        sums = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(sums | {place.name: hashlib.sha256(data).hexdigest()}))


CASES = [(name, make) for name, makes in ARTEFACTS.items() for make in makes]


@pytest.mark.parametrize(("name", "make"), CASES, ids=[f"{name} {make.__name__}" for name, make in CASES])
def test_a_poisoned_file_is_refused_or_passed_over_and_never_run(run, tmp_path, call, name, make):
    own, canary = shutil.copytree(run, tmp_path / "run"), tmp_path / "canary"
    poisoned = sorted(own.glob(name)) or [own / name]
    for place in poisoned:
        put(place, make(canary))
    (tmp_path / "out").mkdir()
    places = {"RUN": str(own), "OUT": str(tmp_path / "out"), "CELLS": str(run.parent / "cells.h5ad")}

    for verb, words in COMMANDS.items():
        if name.startswith("results/best") and verb not in ("export", "embed a model"):  # no others read those
            continue
        for short, place in places.items():
            words = [word.replace(short, place) for word in words]
        status, err = call(verb.split()[0], *words)

        assert not canary.exists(), f"{verb} ran what is in {name}"
        assert status in (0, 3, 4, 6, 7, 8) and "Traceback" not in err and "E790" not in err, f"{verb}: {err}"
        assert (status == 0) == ("error[" not in err), f"{verb}: {err}"
        assert all(FAULT.fullmatch(line) for line in err.splitlines() if line.startswith("error")), err


@pytest.mark.parametrize("make", [pickled, in_array, in_torch, in_json, in_h5ad], ids=lambda make: make.__name__)
def test_the_payloads_would_run_where_they_are_unpickled(tmp_path, make):
    """The test above would pass with payloads that do nothing."""
    canary, data = tmp_path / "canary", make(tmp_path / "canary")
    found = re.search(rb"8004[0-9a-f]+2e", data) if make is in_json else None
    start = data.find(b"\x80\x04") if found is None else 0
    if make is in_torch:
        torch.load(io.BytesIO(data), weights_only=False)
    else:
        pickle.loads(bytes.fromhex(found[0].decode()) if found else data[start:])  # noqa: S301

    assert canary.exists()


def test_a_projection_that_is_a_pickle_is_made_again(tmp_path, monkeypatch):
    run, vectors = RunDir(tmp_path), np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    monkeypatch.setattr(projection, "umap", lambda vectors: vectors[:, :2])
    run.results.mkdir()
    run.projection("umap").write_bytes(in_array(tmp_path / "canary"))

    assert (projection.plane(run, vectors, "fe").points == vectors[:, :2]).all()
    assert not (tmp_path / "canary").exists()


def test_an_export_of_another_is_read_and_checked_before_its_weights_are(run, tmp_path):
    own = Path(shutil.copytree(run / "results" / "best", tmp_path / "model"))
    (own / "model.safetensors").write_bytes(in_torch(tmp_path / "canary"))

    with pytest.raises(GxError, match="E623.*model.safetensors"):
        api.open_model(own)
    assert not (tmp_path / "canary").exists()
