"""The JSON Schema of one entry of a space: a plain value, or a range or a choice that is searched."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def entry(setting: Schema, value: Schema) -> Schema:
    """Return the schema of an entry of a space: a value, or what is searched. `value` refers to what it may be."""
    told = {key: setting[key] for key in ("description", "default") if key in setting}
    kinds = _alternatives(plain(setting))
    alone = [value | {"not": {"type": ["array", "object"]}} if any(k.get("type") == "array" for k in kinds) else value]
    forms = [*alone, _form("value", value, None)]
    forms.append(_form("choice", {"type": "array", "items": value, "minItems": 1}, value))
    numbers = [one for one in kinds if one.get("type") in ("integer", "number")]
    if numbers:
        end = numbers[0] if len(numbers) == 1 else {"anyOf": numbers}
        forms.append(_range("int", end | {"type": "integer"}, value))
    if any(one["type"] == "number" for one in numbers):
        forms.append(_range("float", end, value))
    return told | {"anyOf": forms}


def beside() -> Schema:
    """Return the definitions of what stands beside the ends of a range."""
    real = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}
    both = {"required": ["log", "step"]}
    return {
        "log": {"type": "boolean", "description": "drawn evenly on a log scale; not with a step"},
        "step of int": {"type": "integer", "minimum": 1},
        "step of float": real,
        "log and step of int": both | {"properties": {"log": {"const": True}, "step": {"not": {"const": 1}}}},
        "log and step of float": both | {"properties": {"log": {"const": True}, "step": {"not": {"type": "null"}}}},
    }


def plain(setting: Schema) -> Schema:
    """Return the schema of a setting's values, without what is said of it."""
    return {key: inner for key, inner in setting.items() if key not in ("description", "default")}


def _alternatives(value: Schema) -> list[Schema]:
    return value.get("anyOf", [value])


def _form(key: str, inner: Schema, value: Schema | None, **more: Schema) -> Schema:
    """Return the schema of one kind of entry; `value` is that of the setting, None where nothing is searched."""
    properties = {key: inner, **more}
    found: Schema = {"type": "object", "required": [key], "additionalProperties": False}
    if value is not None:
        properties |= {"when": {"$ref": "#/$defs/when"}, "default": value}
        found["dependentRequired"] = {"default": ["when"]}
    return found | {"properties": properties}


def _range(key: str, end: Schema, value: Schema) -> Schema:
    """Return the schema of a range; a step beside log is refused, unless it is that of whole numbers, 1."""
    ends = {"type": "array", "items": end, "minItems": 2, "maxItems": 2}
    named = {name: {"$ref": f"#/$defs/{name}"} for name in ("log",)} | {"step": {"$ref": f"#/$defs/step of {key}"}}
    return _form(key, ends, value, **named) | {"not": {"$ref": f"#/$defs/log and step of {key}"}}
