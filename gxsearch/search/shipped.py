"""Shipped: the search spaces and their schemas that come with gxsearch, in the package or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gxsearch
from gxsearch.errors import SpecError
from gxsearch.search.yaml_file import read

FOLDER = "search_spaces"


def folder() -> Path:
    """Return the folder of the shipped search spaces."""
    package = Path(gxsearch.__file__).parent
    places = (package / FOLDER, package.parent / FOLDER)
    return next((place for place in places if place.is_dir()), places[0])


def found(path: str | Path) -> Path:
    """Return the file that a spec's path means: itself, if there is one, else the one of a search space's name.

    ``search_spaces/fe.yaml`` and ``fe`` both name the shipped `fe.yaml` where there is no such file here.
    """
    asked = Path(path)
    by_name = asked.parent == Path(".") and not asked.suffix or asked.parent == Path(FOLDER) and asked.suffix == ".yaml"
    if asked.exists() or not by_name:
        return asked
    near = [home / f"{asked.stem}.yaml" for home in (Path(FOLDER), folder())]
    return next((file for file in near if file.is_file()), asked)


def shipped(model: str) -> dict[str, Any]:
    """Return the shipped search space of a model, as plain values.

    Raises:
        SpecError: E350, when there is none, as of models of your own.
    """
    path = folder() / f"{model}.yaml"
    if not path.is_file():
        what = f"no search space of '{model}' came with gxsearch"
        raise SpecError.one("E350", model, what, f"write one by hand; gxsearch models {model} lists its settings")
    return read(path).values
