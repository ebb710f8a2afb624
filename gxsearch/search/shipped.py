"""Shipped: search spaces, schemas and pinned versions that come with gxsearch, in the package or beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gxsearch
from gxsearch.errors import SpecError, UnsafeError
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


def pins() -> dict[str, str]:
    """Return the versions of packages that gxsearch is tested with; none where constraints.txt is not there."""
    package = Path(gxsearch.__file__).parent
    places = [place for place in (package / "constraints.txt", package.parent / "constraints.txt") if place.is_file()]
    lines = places[0].read_text().splitlines() if places else []
    words = (line.partition("#")[0].strip().partition("==") for line in lines)
    return {name.strip().lower(): number.strip() for name, equals, number in words if equals}


def write_schema(text: str, out: str) -> None:
    """Write a schema; a file that is no schema of ours is not replaced.

    Raises:
        SpecError: E351 no place to write to, E352 another file is there. UnsafeError: E811 a link.
    """
    from gxsearch.search.json_schema import MARK  # much, which only this needs

    path, ours = Path(out), f'"title": "{MARK}'.encode()
    if path.suffix != ".json" or not path.parent.is_dir():
        raise SpecError.one("E351", out, "must be a .json file in a folder that exists", "-o NAME.schema.json")
    if path.is_symlink():
        raise UnsafeError.one("E811", out, "the output file is a link", "give the file it points to")
    if path.exists() and not (path.is_file() and ours in path.read_bytes()[:400]):
        raise SpecError.one("E352", out, "this file exists already, and is no schema of gxsearch", "give another -o")
    path.write_text(text, encoding="utf-8")
