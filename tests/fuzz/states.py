"""Run folders, damaged at random or by somebody who knows how their sums are made, and read by every verb."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from gxsearch import api
from gxsearch.results.run_dir import RunDir, sealed

ODD = [None, True, -1, 0, 10**30, 1e308, float("nan"), "", "x", "../x", "\u202e", [], {}, [[]], {"a": None}]
READ = {"status": [], "trials": [], "best": [], "genes": ["gene1"], "report": []}
SPEC = """gxsearch: 1
name: case
model: fe
data: {{path: {data}, label: kind}}
space: {{model: {{sample_dim: 2, hidden: {{value: [4]}}}}}}
budget: {{trials: 1, epochs: 2}}
"""


def made(folder: Path) -> RunDir:
    """Return a finished run of one training."""
    draw = np.random.default_rng(0)
    cells = AnnData(draw.poisson(3.0, (30, 8)).astype(np.float32) + 1, obs={"kind": ["a", "b", "c"] * 10})
    cells.obs_names, cells.var_names = [f"cell{i}" for i in range(30)], [f"gene{i}" for i in range(8)]
    cells.write_h5ad(folder / "cells.h5ad")
    (folder / "spec.yaml").write_text(SPEC.format(data=folder / "cells.h5ad"))
    return api.train(api.load_spec(str(folder / "spec.yaml")), out=folder, name="run", quiet=True)


def damaged(run: RunDir, folder: Path, rng: random.Random) -> tuple[RunDir, str]:
    """Return a copy of a run in which one file is not what it was, and what was done."""
    shutil.rmtree(folder, ignore_errors=True)
    own = RunDir(shutil.copytree(run.path, folder))
    kind = rng.randrange(4)
    if kind == 0:
        return own, _flip(rng.choice([p for p in sorted(own.path.rglob("*")) if p.is_file()]), rng)
    if kind == 1:
        facts = json.loads(own.run.read_text())
        facts.pop("sha256")
        told = _spoil(facts, rng)
        own.run.write_bytes(sealed(facts))
        return own, f"run.json {told}"
    if kind == 2:
        return own, _ledger(own.ledger, rng)
    path = rng.choice([own.baselines, own.scores, own.clusters])
    if path.suffix == ".csv":
        return own, _flip(path, rng)
    value = json.loads(path.read_text())
    told = _spoil(value, rng)
    path.write_text(json.dumps(value))
    return own, f"{path.name} {told}"


def _flip(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 4])):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data) + 1) :]
    path.write_bytes(data)
    return f"{path.name} turned or cut"


def _ledger(path: Path, rng: random.Random) -> str:
    """Spoil an event and make its sum anew, or drop, repeat or swap lines."""
    lines = path.read_bytes().split(b"\n")[:-1]
    at = rng.randrange(len(lines))
    if rng.random() < 0.3:
        lines.insert(at, lines.pop(rng.randrange(len(lines))))
        told = f"line {at} moved"
    else:
        event = json.loads(lines[at])
        event.pop("crc")
        told = f"line {at} {_spoil(event, rng)}"
        body = json.dumps(event, separators=(",", ":"))
        lines[at] = f'{body[:-1]},"crc":"{zlib.crc32(body.encode()):08x}"}}'.encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    return f"ledger {told}"


def _spoil(value: Any, rng: random.Random) -> str:
    """Replace or drop something within a JSON value; return what."""
    path = []
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return f"{path} left"
        key = rng.choice(keys)
        path.append(key)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            value = inner
        elif rng.random() < 0.25:
            del value[key]
            return f"{path} dropped"
        else:
            value[key] = rng.choice(ODD)
            return f"{path} = {value[key]!r}"
