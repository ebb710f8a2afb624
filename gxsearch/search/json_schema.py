"""JSON Schema (draft 2020-12) of search space files, for editors: built from the declarations that `check` reads by.

A schema refuses nothing that `check` accepts; what a schema cannot say (corners, columns of the data) `check` does.
"""

from __future__ import annotations

import json
from typing import Any

from gxsearch.config import Config
from gxsearch.data.table import DataConfig
from gxsearch.models import registry
from gxsearch.models.base import GeneModel
from gxsearch.search.aims import MOST
from gxsearch.search.condition import COMPARE
from gxsearch.search.entry_schema import Schema, beside, entry, plain
from gxsearch.search.override import SECTIONS
from gxsearch.search.reader import FORMAT, kinds_of
from gxsearch.search.sections import STOPS, Budget, Choose, Confirm, Objective, Resources, SearchConfig, Track
from gxsearch.search.yaml_text import WIDTH
from gxsearch.training.objectives import measures

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MARK = "gxsearch search space"
"""How the title of each of these schemas begins, by which a file is known as one of them."""
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
TIME = r"^\d{1,9}(\.\d{1,9})?\s*[smhd]$"


def schema(model: str) -> Schema:
    """Return the schema of the files of one architecture.

    Raises:
        SpecError: E310 no such architecture.
    """
    kind = registry.get(model, model)
    defs: Schema = {}
    sections = _sections(model, kind, defs)
    assert set(sections) == set(SECTIONS) | {"extends"}, set(sections) ^ (set(SECTIONS) | {"extends"})
    return {
        "$schema": DIALECT,
        "title": f"{MARK} of {model}",
        "description": registry.summary(kind),
        "type": "object",
        "additionalProperties": False,
        "properties": sections,
        "if": {"not": {"required": ["extends"]}},
        "then": _whole(),
        "$defs": defs,
    }


def of_any() -> Schema:
    """Return one schema for the files of all architectures, told apart by `model`."""
    names = registry.names()
    parts = [
        {
            "if": {"properties": {"model": {"const": name}}, "required": ["model"]},
            "then": {"$ref": f"{name}.schema.json"},
        }
        for name in names
    ]
    return {
        "$schema": DIALECT,
        "title": MARK,
        "type": "object",
        "properties": {"model": {"enum": names, "description": "the architecture"}},
        "allOf": parts,
        "$defs": {name: {"$id": f"{name}.schema.json"} | schema(name) for name in names},
    }


def text(found: Schema) -> str:
    """Return a schema as the text of a file."""
    return _laid_out(found, 0) + "\n"


def _laid_out(value: Any, depth: int) -> str:
    """Return JSON text, what fits on a line on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + depth + 30 <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, list):
        inner = ",\n".join(pad + _laid_out(one, depth + 1) for one in value)
        return f"[\n{inner}\n{end}]"
    parts = (f"{pad}{json.dumps(key)}: {_laid_out(one, depth + 1)}" for key, one in value.items())
    return "{\n" + ",\n".join(parts) + f"\n{end}}}"


def _whole() -> Schema:
    """Return what a file must hold that extends no other."""
    budget = {"required": ["epochs"], "anyOf": [{"required": ["trials"]}, {"required": ["time"]}]}
    inner = {"data": {"required": ["path"]}, "budget": budget}
    return {"required": ["gxsearch", "name", "model", "data", "budget"], "properties": inner}


def _sections(model: str, kind: type[GeneModel], defs: Schema) -> Schema:
    data = _group(DataConfig, defs)
    data["properties"]["view"] = _group(kind.View.Config, defs) | {"description": "settings of the model's view"}
    return {
        "extends": {"type": "string", "description": "another file, which this one changes; one level only"},
        "gxsearch": {"const": FORMAT, "description": "version of this format"},
        "name": {"type": "string", "pattern": NAME, "description": "of the run's folder"},
        "model": {"const": model, "description": registry.summary(kind)},
        "first": {"type": ["string", "null"], "description": "file of the search that comes first"},
        "data": data,
        "objective": _objective(kind, defs),
        "choose": _choose(defs),
        "space": _space(kind, defs),
        "search": _search(kind, defs),
        "stop": _stop(defs),
        "budget": _budget(defs),
        "resources": _group(Resources, defs),
        "confirm": _group(Confirm, defs),
        "track": _group(Track, defs),
    }


def _group(config: type[Config], defs: Schema) -> Schema:
    """Return the schema of a group of settings; nothing is required, as it may come from an extended file."""
    found = _plain(config.model_json_schema(ref_template="#/$defs/{model}"))
    defs |= {name: _optional(inner) for name, inner in found.pop("$defs", {}).items()}
    return _optional(found)


def _optional(found: Schema) -> Schema:
    return {key: value for key, value in found.items() if key != "required"}


def _plain(found: Any) -> Any:
    """Return a schema of pydantic's without the titles that it makes of names."""
    if isinstance(found, list):
        return [_plain(one) for one in found]
    if not isinstance(found, dict):
        return found
    named = ("properties", "$defs")
    return {
        key: {name: _plain(inner) for name, inner in value.items()} if key in named else _plain(value)
        for key, value in found.items()
        if key != "title"
    }


def _objective(kind: type[GeneModel], defs: Schema) -> Schema:
    one = _group(Objective, defs)
    one["properties"]["metric"] |= {"enum": list(measures(kind))}
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST}
    return {"description": one["description"], "anyOf": [one, several, {"type": "null"}]}


def _choose(defs: Schema) -> Schema:
    within = {name: inner for name, inner in _group(Choose, defs)["properties"].items() if name == "within"}
    rules = [
        {"enum": ["first", "knee"]},
        {"type": "object", "properties": within, "required": ["within"], "additionalProperties": False},
    ]
    return {"description": (Choose.__doc__ or "").strip(), "anyOf": [*rules, {"type": "null"}]}


def _stop(defs: Schema) -> Schema:
    kinds = {name: {"anyOf": [_group(config, defs), {"type": "null"}]} for name, config in STOPS.items()}
    one = {
        "type": "object",
        "properties": kinds,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"description": "when a hopeless trial ends early", "anyOf": [{"enum": ["none", *STOPS]}, one]}


def _budget(defs: Schema) -> Schema:
    found = _group(Budget, defs)
    properties = found["properties"]
    del properties["time_s"]
    properties["time"] = {
        "anyOf": [{"type": "string", "pattern": TIME}, {"type": "null"}],
        "description": "of the whole search: 90s, 30m, 12h or 2d",
    }
    return found


def _search(kind: type[GeneModel], defs: Schema) -> Schema:
    found = _group(SearchConfig, defs)
    known: dict[str, list[Schema]] = {}
    for group, name, _ in _settings(kind, defs):
        for word in (name, f"{group}.{name}"):
            known.setdefault(word, []).append({"$ref": f"#/$defs/{group}.{name}"})
    points = {word: several[0] if len(several) == 1 else {"anyOf": several} for word, several in known.items()}
    found["properties"]["start"]["items"] = {"type": "object", "properties": points, "additionalProperties": False}
    return found


def _settings(kind: type[GeneModel], defs: Schema) -> list[tuple[str, str, Schema]]:
    """Return group, name and schema of every setting that a space may hold; the latter are kept in `defs` too."""
    found = []
    for group, config in kinds_of(kind).items():
        found += [(group, name, inner) for name, inner in _group(config, defs)["properties"].items()]
    defs |= {f"{group}.{name}": plain(inner) for group, name, inner in found}
    return found


def _space(kind: type[GeneModel], defs: Schema) -> Schema:
    settings = _settings(kind, defs)
    words = sorted({word for group, name, _ in settings for word in (name, f"{group}.{name}")})
    limits = {
        "type": "object",
        "properties": {sign: {"type": "number"} for sign in COMPARE},
        "additionalProperties": False,
    }
    defs["when"] = {
        "description": "searched only where all of these hold: {other: value}, {other: [values]}, {other: {ge: 2}}",
        "anyOf": [
            {
                "type": "object",
                "propertyNames": {"enum": words},
                "additionalProperties": {"anyOf": [{"not": {"type": "object"}}, limits]},
            },
            {"type": "null"},
        ],
    }
    defs |= beside()
    groups: dict[str, Schema] = {group: {} for group in kinds_of(kind)}
    for group, name, setting in settings:
        groups[group][name] = entry(setting, {"$ref": f"#/$defs/{group}.{name}"})
    kept = {
        group: {"anyOf": [{"type": "object", "properties": entries, "additionalProperties": False}, {"type": "null"}]}
        for group, entries in groups.items()
    }
    whole = {"type": "object", "properties": kept, "additionalProperties": False}
    return {"description": "what is searched, and what is fixed", "anyOf": [whole, {"type": "null"}]}
