"""The form of run.json, so that what reads it may rely on it; more may be in it than is named here."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict

from gxsearch.data.table import DataConfig


class Form(BaseModel):
    """A group of values of the types that are given, and others."""

    model_config = ConfigDict(extra="allow", strict=True)


class DataFacts(Form):
    """What was measured of the data."""

    source: str | None = None
    layer: str | None = None
    orientation: str | None = None
    n_obs: int | None = None
    n_vars: int | None = None
    n_genes_before: int | None = None
    sha256: str | None = None
    split_sha256: str | None = None
    allow_negative: bool | None = None
    split: dict[str, int] = {}
    groups: dict[str, int] = {}
    classes: dict[str, int] = {}
    transform: list[str] = []
    warnings: list[str] = []


class Domain(Form):
    """A range or choice of a setting."""

    kind: Literal["int", "float", "choice"]
    low: float | None = None
    high: float | None = None
    options: list[Any] = []

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Domain:
        if self.kind == "choice" and not self.options or self.kind != "choice" and None in (self.low, self.high):
            raise ValueError("has no options, or no ends")
        return self


class Objective(Form):
    """What was optimized."""

    metric: str
    mode: Literal["min", "max"]


class SpaceForm(Form):
    """Settings that were fixed, and those that were searched."""

    fixed: dict[str, Any] = {}
    parameters: dict[str, dict[str, Any]] = {}


class SpecForm(Form):
    """The search space file."""

    name: str
    model: str
    data: dict[str, Any]
    objective: Objective
    space: SpaceForm
    budget: dict[str, Any]
    notes: list[str] = []


class Facts(Form):
    """All of run.json."""

    id: str
    name: str
    gxsearch: str
    created: str
    command: str | list[str]
    seed: int | None
    versions: dict[str, str]
    spec: SpecForm
    space_domains: dict[str, Domain]
    data: DataFacts


def check_form(facts: Any) -> None:
    """Look whether the values of run.json are of this form.

    Raises:
        ValueError: naming the first place that is not.
    """
    try:
        DataConfig.model_validate(Facts.model_validate(facts).spec.data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg'].lower()}") from None
