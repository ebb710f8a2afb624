"""Checks values against the settings that a model declares: type, bounds, and what the settings demand together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pydantic

from gxsearch.config import Config
from gxsearch.errors import Fault, did_you_mean
from gxsearch.search.domain import Choice, Domain, Float, number
from gxsearch.search.space import Params, Space
from gxsearch.search.yaml_file import Document, Where

Kinds = Mapping[str, type[Config]]
_SAY = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid list": "a list",
    "a valid dictionary": "a group of settings",
    "greater than or equal to": ">=",
    "less than or equal to": "<=",
    "greater than": ">",
    "less than": "<",
}


def say(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is wrong and how to put it right, from one of pydantic's errors."""
    got = item["input"]
    if item["type"] in ("value_error", "assertion_error"):
        return item["msg"].partition(", ")[2] or item["msg"], ""
    what = item["msg"].replace("Input should be", "must be")
    for theirs, ours in _SAY.items():
        what = what.replace(theirs, ours)
    fix = ""
    if item["type"] == "literal_error":
        fix = did_you_mean(str(got), re.findall(r"'([^']*)'", item["ctx"]["expected"]))
        fix = fix if fix.startswith("did you") else ""
    shown = number(got) if isinstance(got, int | float) and not isinstance(got, bool) else repr(got)
    return f"{what[0].lower() + what[1:].split(', unable')[0]}, got {shown[:60]}", fix


def value_fault(config: type[Config], name: str, value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a value of one setting, and the fix; None if it is allowed."""
    try:
        config.model_validate({name: value})
    except pydantic.ValidationError as error:
        items = [item for item in error.errors() if item["loc"][:1] == (name,)]
        if items:
            said = [say(item) for item in items]
            return " or ".join(dict.fromkeys(what for what, _ in said)), said[0][1]
    return None


def domain_faults(config: type[Config], name: str, domain: Domain, doc: Document, path: Where) -> list[Fault]:
    """Return what is wrong with the ends or options of a domain, each where it was written."""
    faults: list[Fault] = []
    shown = f"'{'.'.join(map(str, path))}'"
    key = "choice" if isinstance(domain, Choice) else "float" if isinstance(domain, Float) else "int"
    for i, value in enumerate(domain.ends()):
        found = value_fault(config, name, value)
        if found is None:
            continue
        what, fix = found
        if "must be a whole number" in what and isinstance(domain, Float):
            low, high = (int(end) for end in domain.ends())
            return [Fault("E303", doc.where(path), f"{shown} {what}", f"write {{int: [{low}, {high}]}}")]
        faults.append(Fault("E303", doc.where((*path, key, i)), f"{shown} {what}", fix))
    return faults


def missing_faults(kinds: Kinds, space: Space, doc: Document) -> list[Fault]:
    """Return a fault for each setting without a default that the space does not always give."""
    always = set(space.fixed) | {p.name for p in space.parameters if not p.when or p.default}
    faults = []
    for group, config in kinds.items():
        for name, field in config.model_fields.items():
            if field.is_required() and f"{group}.{name}" not in always:
                sometimes = f"{group}.{name}" in space.by_name
                what = f"'space.{group}.{name}' has no default" + (" and is not always active" if sometimes else "")
                fix = "add default:" if sometimes else f"give it a value or a range ({field.description})"
                faults.append(Fault("E302", doc.where(("space", group, name)), what, fix))
    return faults


def corner_faults(kinds: Kinds, space: Space, where: Callable[[str], str]) -> list[Fault]:
    """Build the settings at every corner; return what fails there though every value is allowed by itself.

    `where` gives the place of a parameter by its dotted name, of the space for an empty name. A fault that
    several corners share is told once.
    """
    faults: dict[str, Fault] = {}
    # The corners of single parameters first: they tell where, those of all at once do not.
    for name, params in sorted(space.named_corners(), key=lambda corner: not corner[0]):
        for said in refusals(kinds, space, params):
            # The text without its numbers, so that one rule is one fault.
            rule, fix = re.sub(r"[\d.]+", "#", said.partition(" (")[0]), "narrow the ranges, or tie settings by when:"
            faults.setdefault(rule, Fault("E330", where(name), f"the space allows draws that the {said}", fix))
    return list(faults.values())


def refusals(kinds: Kinds, space: Space, params: Params) -> Iterator[str]:
    """Yield what the settings of a draw break together, ``model refuses: ... (name=value, ...)``."""
    for group, values in space.configs(params).items():
        try:
            kinds[group].model_validate(values)
        except pydantic.ValidationError as error:
            drawn = [f"{knob}={values[knob]}" for knob in values if f"{group}.{knob}" in params]
            yield from (f"{group} refuses: {say(item)[0]} ({', '.join(drawn)})" for item in error.errors())


def section_faults(config: type[Config], error: pydantic.ValidationError, path: Where, doc: Document) -> list[Fault]:
    """Turn pydantic's errors into faults; those of the branches of one union become one."""
    merged: dict[Where, list[Any]] = {}
    for item in error.errors():
        at = (*path, *item["loc"])
        while item["type"] != "missing" and at not in doc.marks and len(at) > len(path) + 1:
            at = at[:-1]
        merged.setdefault(at, []).append(item)
    return [_section_fault(config, items, at, len(path), doc) for at, items in merged.items()]


def _section_fault(config: type[Config], items: list[Any], at: Where, depth: int, doc: Document) -> Fault:
    name = ".".join(map(str, at))
    if items[0]["type"] == "extra_forbidden":
        known = list(_inner(config, at[depth:-1]).model_fields)
        known = ["time" if word == "time_s" else word for word in known]
        return Fault("E301", doc.where(at, key=True), f"unknown setting '{name}'", did_you_mean(str(at[-1]), known))
    if items[0]["type"] == "missing":
        field = _inner(config, at[depth:-1]).model_fields[str(at[-1])]
        return Fault("E302", doc.where(at), f"'{name}' is missing", f"{field.description}")
    said = [say(item) for item in items]
    rules = [what.partition(", got")[0] for what, _ in said]
    got = said[0][0].partition(", got")[2]
    what = f"'{name}' {' or '.join(dict.fromkeys(rules))}" + (f", got{got}" if got else "")
    return Fault("E303", doc.where(at), what, next((fix for _, fix in said if fix), ""))


def _inner(config: type[Config], names: Where) -> type[Config]:
    """Return the config class of a group inside a config."""
    for name in names:
        config = config.model_fields[str(name)].annotation
    return config
