"""Typed settings: every knob is declared once, with its bounds, its default and a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import pydantic
from pydantic_core import PydanticUndefined

from gxsearch.errors import Fault, SpecError, did_you_mean


class Config(pydantic.BaseModel):
    """A frozen, strict group of settings; an unknown name or a wrong type is an error."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


def knob(
    default: Any = PydanticUndefined,
    *,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    min_items: int | None = None,
) -> Any:
    """Declare one setting of a `Config`.

    `low` and `high` are inclusive bounds, `above` and `below` exclusive ones; `min_items` is the least
    length of a list. `doc` is one sentence; it feeds the tables, the schema and the report.
    """
    return pydantic.Field(default, description=doc, ge=low, le=high, gt=above, lt=below, min_length=min_items)


@dataclass(frozen=True)
class Setting:
    """One row of a table of settings, as `gxsearch models NAME` prints it."""

    name: str
    kind: str
    default: Any
    bounds: str
    doc: str


def settings(config: type[Config]) -> Iterator[Setting]:
    """Yield the settings of a config class in the order in which they are declared."""
    for name, field in config.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield Setting(name, _kind(field.annotation), default, _bounds(field), field.description or "")


def read(config: type[Config], values: dict[str, Any], where: str, path: str = "") -> Config:
    """Build a config from plain values.

    Raises:
        SpecError: naming every unknown, missing, mistyped or out-of-bounds setting under `where` and `path`.
    """
    try:
        return config(**values)
    except pydantic.ValidationError as error:
        raise SpecError(_fault(config, item, where, path) for item in error.errors()) from None


def _fault(config: type[Config], item: Any, where: str, path: str) -> Fault:
    name = ".".join(str(part) for part in (*filter(None, [path]), *item["loc"]))
    if item["type"] == "extra_forbidden":
        known = _names_at(config, item["loc"][:-1])
        return Fault("E301", where, f"unknown setting '{name}'", did_you_mean(str(item["loc"][-1]), known))
    if item["type"] == "missing":
        return Fault("E302", where, f"setting '{name}' is missing")
    what = item["msg"].replace("Input should be", "must be")
    return Fault("E303", where, f"'{name}' {what[0].lower() + what[1:]}, got {item['input']!r}")


def _names_at(config: type[Config], loc: tuple[Any, ...]) -> list[str]:
    for part in loc:
        field = config.model_fields.get(str(part))
        inner = [a for a in (field.annotation, *get_args(field.annotation))] if field else []
        nested = [a for a in inner if isinstance(a, type) and issubclass(a, Config)]
        if not nested:
            return []
        config = nested[0]
    return list(config.model_fields)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "choice"
    if get_origin(annotation) is list:
        return "list of " + _kind(get_args(annotation)[0])
    args = [a for a in get_args(annotation) if a is not type(None)]
    if args and get_origin(annotation) is not list:
        return " or ".join(_kind(a) for a in args)
    names = {int: "whole", float: "real", str: "text", bool: "yes/no"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(field: Any) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(str(value) for value in get_args(field.annotation))
    limits = {key: getattr(m, key) for m in field.metadata for key in ("ge", "le", "gt", "lt") if hasattr(m, key)}
    low = f">= {limits['ge']:g}" if "ge" in limits else f"> {limits['gt']:g}" if "gt" in limits else ""
    high = f"<= {limits['le']:g}" if "le" in limits else f"< {limits['lt']:g}" if "lt" in limits else ""
    return ", ".join(filter(None, [low, high]))
