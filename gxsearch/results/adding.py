"""Adding: a model's outputs are put into a user's own AnnData, where nothing that is there already is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from gxsearch.errors import DataError, Fault

PROVENANCE = "gxsearch"
"""The key of uns under which each model says, by its own key, where its outputs are from: one JSON string."""
_PLACES = ("obs", "var", "obsm", "varm", "obsp", "layers", "uns")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checked(key: str | None) -> str | None:
    """Return a key that names of an AnnData may be made of.

    Raises:
        DataError: E458 when it has a blank, a slash or another letter that files of AnnData do not take.
    """
    if key is not None and not _KEY.fullmatch(key):
        fix = "use up to 100 letters, digits, '-', '_' and '.', the first a letter or digit"
        raise DataError.one("E458", "--key", f"'{key[:120]}' is no name for vectors", fix)
    return key


def whole(adata: AnnData) -> AnnData:
    """Return an AnnData that is in memory.

    Raises:
        DataError: E459 when its values are in a file.
    """
    if adata.isbacked:
        raise DataError.one("E459", str(adata.filename), "is opened in backed mode", "give adata.to_memory()")
    return adata


def add(adata: AnnData, made: AnnData, key: str, *, force: bool) -> None:
    """Put all that `made` has, of the same rows and genes, into `adata`; nothing is added when a name is taken.

    A name is free for whom it is from: outputs of the same trial of the same run are replaced.

    Raises:
        DataError: E457, a fault for each name that is taken, unless `force`.
    """
    known = adata.uns.get(PROVENANCE, {})
    if not force and not _same(known, made.uns[PROVENANCE], key):
        _check_free(adata, made, key)
    told = {**(known if isinstance(known, Mapping) else {}), **made.uns[PROVENANCE]}
    for place in _PLACES:
        for name, values in getattr(made, place).items():
            if (place, name) != ("uns", PROVENANCE):
                getattr(adata, place)[name] = values.array if place in ("obs", "var") else values
    adata.uns[PROVENANCE] = told


def _same(known: Any, now: Mapping[str, str], key: str) -> bool:
    """Say whether what is under a key is of the same trial of the same run."""
    try:
        before = json.loads(known[key])
    except (KeyError, TypeError, ValueError):  # nothing is there, or nothing of ours
        return False
    after = json.loads(now[key])
    return isinstance(before, dict) and all(before.get(name) == after[name] for name in ("run", "trial", "epoch"))


def _check_free(adata: AnnData, made: AnnData, key: str) -> None:
    fix = "give --key NAME (key=NAME), or --force to replace it"
    faults = [
        Fault("E457", f"{place}['{name}']", "is there already, and not of this trial", fix)
        for place in _PLACES
        for name in getattr(made, place)
        if name in getattr(adata, place) and (place, name) != ("uns", PROVENANCE)
    ]
    known = adata.uns.get(PROVENANCE, {})
    if not isinstance(known, Mapping):
        faults.append(Fault("E457", f"uns['{PROVENANCE}']", "is there already, and is no record of ours", fix))
    elif key in known and not faults:
        faults.append(Fault("E457", f"uns['{PROVENANCE}']['{key}']", "is there already, and not of this trial", fix))
    if faults:
        raise DataError(faults)
