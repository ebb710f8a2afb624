"""Lock: what decides the figures of a run beside its spec and the values of its data; kept in run.json for `replay`."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gxsearch
from gxsearch.data.manifest import MANIFEST
from gxsearch.data.table import Table
from gxsearch.models import registry
from gxsearch.search.spec import Spec

_PACKAGES = ("torch", "ray", "optuna", "anndata", "scanpy", "numpy", "scipy", "pandas", "scikit-learn")
_TRAINING = ("data", "nn", "models", "training")
"""The folders of the package whose code decides what a training gives."""


def locked(spec: Spec, table: Table) -> dict[str, Any]:
    """Return what run.json keeps of it, JSON values.

    Keys: versions (of Python and of packages), machine (system, architecture, vector instructions that torch uses,
    cores, and of a search on GPUs their name and CUDA's version), code (sha256 of all that trains, of the model's own
    file too), columns_sha256 (of the columns and coordinates that the spec names, which the data's sum leaves out) and
    pretrained_sha256 (of the exported model that the view begins with, else None).
    """
    return {
        "versions": versions(),
        "machine": machine(gpus=spec.resources.gpus != 0),
        "code": code(spec.model),
        "columns_sha256": columns(table),
        "pretrained_sha256": pretrained(spec),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide figures."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in _PACKAGES}}


def machine(*, gpus: bool) -> dict[str, Any]:
    """Return what of this machine decides how sums are rounded; of its GPU only where it is used."""
    able = gpus and torch.cuda.is_available()
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "vector": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if able else None,
        "cuda": torch.version.cuda if able else None,
    }


def code(model: str) -> str:
    """Return the sha256 of the code that trains a model."""
    root, own = Path(gxsearch.__file__).parent, Path(inspect.getfile(registry.get(model)))
    files = {path.relative_to(root).as_posix(): path for name in _TRAINING for path in (root / name).rglob("*.py")}
    total = hashlib.sha256()
    for name, path in sorted({**files, f"model {own.name}": own}.items()):
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def columns(table: Table) -> str:
    """Return the sha256 of a table's columns, of rows and genes, and of its coordinates."""
    total = hashlib.sha256()
    for kind, group in (("obs", table.obs), ("var", table.var), ("obsm", table.obsm)):
        for name, values in sorted(group.items()):
            words = np.asarray(values).astype(str).ravel().tolist()
            total.update("\n".join([f"{kind} {name}", *words, ""]).encode())
    return total.hexdigest()


def pretrained(spec: Spec) -> str | None:
    """Return the sha256 of the manifest of the model that a view begins with; None without one."""
    name = spec.data.view.get("pretrained")
    return hashlib.sha256((Path(name) / MANIFEST).read_bytes()).hexdigest() if name else None
