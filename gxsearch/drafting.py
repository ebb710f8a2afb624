"""Drafting: what `gxsearch init` does and says: looks at data, tells what fits them, and writes a spec that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gxsearch.data.findings import counted
from gxsearch.data.glance import Glance, glance
from gxsearch.data.roles import Roles, Wish, roles
from gxsearch.errors import DataError, SpecError, UnsafeError
from gxsearch.overview import aligned
from gxsearch.search.advice import Advice, advise, fitting
from gxsearch.search.draft import Subject, draft, name_of
from gxsearch.search.spec import read

_OPTIONS = {"label": "--label", "group": "--group", "batch": "--batch", "time": "--time"}


@dataclass(frozen=True)
class Look:
    """What was seen of a data set, what its columns are, and what fits it."""

    data: str
    seen: Glance
    found: Roles
    advice: list[Advice]
    spatial: str | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        n, g = self.seen.shape
        found = {key: getattr(self.found, key) for key in ("label", "group", "batch", "time", "section", "total")}
        return {
            "source": self.seen.source,
            "rows": n,
            "genes": g,
            "shards": self.seen.shards,
            "values": {one.place: {"kind": one.kind, "told": one.told()} for one in self.seen.numbers},
            "columns": found | {"genes_label": self.found.genes_label, "phenotypes": self.found.phenotypes},
            "why": self.found.told,
            "spatial": self.seen.spatial,
            "wrong": self.seen.odd,
            "models": [{"model": one.model, "fits": one.fits, "why": one.why} for one in self.advice],
        }


def look(data: str, wish: Wish, *, layer: str | None = None, spatial: str | None = None) -> Look:
    """Look at a data set, which is named from the working folder.

    Raises:
        DataError: E4xx, of data that cannot be read and of columns, layers and keys that they lack.
        UnsafeError: E80x.
    """
    if "${" in data:
        raise DataError.one("E463", "-d", "a path with ${ means a variable in a spec", "rename the file")
    seen = glance(data)
    counts = next((one for one in seen.numbers if one.kind == "counts" and layer in (None, one.layer)), None)
    found = roles(seen.obs, seen.var, wish, counts.total_n if counts is not None else None)
    return Look(data, seen, found, advise(seen, found, layer=layer, spatial=spatial), spatial)


def write(seen: Look, model: str, out: str | None, *, force: bool) -> Path:
    """Write a spec for a model, which passes `check`; return where it is.

    Raises:
        SpecError: E310 no such model, E351 no place to write to, E352 there is a file already.
        DataError: E465 the model does not fit, or whatever `check` finds wrong with the data.
    """
    advice = fitting(seen.advice, model)
    path = Path(out or f"{name_of(model, seen.seen.source)}.yaml")
    _check_place(path, force=force)
    from gxsearch.search.launch import local_resources  # it imports torch

    subject = Subject(_path(seen, path), seen.seen, seen.found, advice, seen.spatial, local_resources()[1] > 0)
    text = draft(subject, head=_head(path, model)).encode()
    spec = read(str(path), text, ())
    if advice.numbers.looked == 1:
        from gxsearch import api

        api.check(spec)
    path.write_bytes(text)
    return path


def _check_place(path: Path, *, force: bool) -> None:
    if path.suffix not in (".yaml", ".yml"):
        raise SpecError.one("E351", str(path), "a search space file ends in .yaml", "-o NAME.yaml")
    if not path.parent.is_dir():
        raise SpecError.one("E351", str(path), f"there is no folder '{path.parent}'", "make it first")
    if path.is_symlink():
        raise UnsafeError.one("E811", str(path), "the output file is a link", "give the file it points to")
    if path.exists() and not (force and path.is_file()):
        raise SpecError.one("E352", str(path), "this file exists already", "give another -o, or --force to replace it")


def _path(seen: Look, out: Path) -> str:
    """Return the data's path from the folder of the spec; names of built-in sets and addresses as they are."""
    if seen.seen.place is None:
        return seen.data
    return os.path.relpath(Path(seen.data).expanduser().absolute(), out.parent.absolute())


def _head(path: Path, model: str) -> list[str]:
    schema = f"{model}.schema.json"
    modeline = [f"yaml-language-server: $schema={schema}"] if (path.parent / schema).is_file() else []
    hint = (
        []
        if modeline
        else [f"For completion in editors: gxsearch schema {model} -o {schema}, then this file with --force."]
    )
    return [*modeline, "Written by gxsearch init, which looked at the data; every line may be changed.", *hint]


def told(seen: Look) -> str:
    """Return what was seen, in a few lines."""
    n, g = seen.seen.shape
    head = f"{seen.seen.source}   {counted(n, 'row')} x {counted(g, 'gene')}"
    rows = [[one.place, one.told()] for one in seen.seen.numbers] or [["X", "the file holds no values"]]
    if seen.seen.shards:
        rows.append(["shards", f"{seen.seen.shards} files; values of the first ones were looked at"])
    rows += [[name, _with_option(name, text)] for name, text in seen.found.told.items()]
    rows.append(["spatial", _places(seen)])
    if seen.found.genes_label:
        rows.append(["of genes", f"{seen.found.genes_label}: a column of var that sorts the genes"])
    rows += [["wrong", text] for text in seen.seen.odd]
    return "\n".join([head, *(f"{name:<10}{text}" for name, text in rows)])


def _with_option(name: str, text: str) -> str:
    if text.endswith("as asked for"):
        return text
    return f"{text} ({_OPTIONS[name]} {'names one' if text.startswith('none') else 'takes another'})"


def _places(seen: Look) -> str:
    keys = seen.seen.spatial
    if not keys:
        return "none: no key of obsm is named so and holds two or three finite numbers a row"
    more = f"; also possible: {', '.join(keys[1:])} (--spatial takes another)" if len(keys) > 1 else ""
    return f"{seen.spatial or keys[0]}: coordinates of obsm{more}"


def advised(seen: Look) -> str:
    """Return which architectures fit and which do not, and the command that writes a spec for the first."""
    fits = [[one.model, one.why] for one in seen.advice if one.fits]
    others = [[one.model, one.why] for one in seen.advice if not one.fits]
    lines = ["", "fits, the likeliest first", *_indented(fits)] if fits else ["", "no architecture fits"]
    lines += ["does not fit", *_indented(others)] if others else []
    if fits:
        out = f"{name_of(fits[0][0], seen.seen.source)}.yaml"
        lines += ["", f"next  gxsearch init {fits[0][0]} -d '{seen.data}'     writes {out}"]
    return "\n".join(lines)


def _indented(rows: list[list[str]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows).split("\n")]


def following(path: Path, *, checked: bool) -> str:
    """Return the commands that come next."""
    rows = [
        [f"gxsearch check {path} --measure", "what the search would take: memory, time"],
        [f"gxsearch train {path} -s budget.epochs=1 -s stop=none", "one training, without a search"],
        [f"gxsearch tune {path}", "the search"],
    ]
    head = f"wrote {path}, which passes gxsearch check"
    if not checked:
        head = f"wrote {path}; the data are too large to read now: gxsearch check {path} does"
    return "\n".join(["", head, "", *(f"next  {line}" if i == 0 else f"      {line}" for i, line in _numbered(rows))])


def _numbered(rows: list[list[str]]) -> enumerate[str]:
    return enumerate(aligned(rows).split("\n"))
