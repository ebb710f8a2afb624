"""Spec: a search space file, read strictly and checked completely before anything starts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from gxsearch.config import Config
from gxsearch.errors import Fault, SpecError, did_you_mean
from gxsearch.search import knobs, lint
from gxsearch.search.domain import Float
from gxsearch.search.grammar import SpaceReader
from gxsearch.search.override import SECTIONS, assemble
from gxsearch.search.sections import STOPS, Budget, Objective, Resources, SearchConfig, Stop, seconds
from gxsearch.search.space import Space
from gxsearch.search.start import read_start
from gxsearch.search.yaml_file import Document, Where, read_bytes

if TYPE_CHECKING:
    from gxsearch.data.table import DataConfig
    from gxsearch.models.base import GeneModel

FORMAT = 1
MAX_FAULTS = 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
Section = TypeVar("Section", bound=Config)


@dataclass(frozen=True)
class Spec:
    """All that decides a search.

    Attributes:
        path: the file it came from, as typed; text: its bytes, without what `sets` changed.
        stop, budget, resources: with every default filled in.
        notes: what `lint` has to say; warnings, not faults.
    """

    path: str
    text: bytes
    name: str
    model: str
    data: DataConfig
    objective: Objective
    space: Space
    search: SearchConfig
    stop: Stop
    budget: Budget
    resources: Resources
    notes: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """Fingerprint of what decides the trials: all but name, budget and resources (and path, text, notes)."""
        left_out = ("path", "text", "name", "budget", "resources", "notes")
        kept = {key: value for key, value in self.to_json().items() if key not in left_out}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values; `from_json` gives an equal one."""
        plain = {"path": self.path, "text": self.text.decode(), "name": self.name, "model": self.model}
        sections = {key: getattr(self, key).model_dump(mode="json") for key in _typed()}
        return {"gxsearch": FORMAT, **plain, **sections, "space": self.space.to_json(), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        """Rebuild a spec from `to_json`."""
        sections = {key: config.model_validate(data[key]) for key, config in _typed().items()}
        plain = {key: data[key] for key in ("path", "name", "model")}
        text, notes = data["text"].encode(), list(data["notes"])
        return cls(**plain, **sections, text=text, space=Space.from_json(data["space"]), notes=notes)

    def check_corners(self) -> int:
        """Build the settings at every corner of the space; return how many there are.

        Raises:
            SpecError: E330, for what the model refuses though every value is allowed by itself.
        """
        faults = knobs.corner_faults(_kinds(self.model), self.space, lambda name: self.path)
        if faults:
            raise SpecError(faults)
        return sum(1 for _ in self.space.corners())


def load(path: str | Path, sets: Sequence[str] = ()) -> Spec:
    """Read and check a search space file, changed by ``path=value`` options.

    Raises:
        SpecError: with all faults, at most 20, in the order of their lines; those of options last.
    """
    text = read_bytes(path)
    doc, faults = assemble(path, text, sets)
    reader = _Reader(doc, faults)
    spec = reader.spec(str(path), text)
    if reader.faults:
        faults = sorted(dict.fromkeys(reader.faults), key=_place)
        more = len(faults) - MAX_FAULTS
        last = [Fault("E399", str(path), f"{more + 1} more faults are not shown")] if more > 0 else []
        raise SpecError(faults[: MAX_FAULTS - len(last)] + last)
    return spec


class _Reader:
    """Reads the sections one by one; `faults` fills up on the way."""

    def __init__(self, doc: Document, faults: list[Fault]):
        self.doc, self.faults = doc, faults

    def spec(self, path: str, text: bytes) -> Spec | None:
        from gxsearch.data.table import DataConfig

        self._check_names()
        model = self._model()
        data = self._section(DataConfig, ("data",))
        if model is not None and data is not None:
            self._section(model.View.Config, ("data", "view"))
        objective = self._objective(model)
        budget, resources = self._budget(), self._resources()
        stop, search = self._stop(budget), self._section(SearchConfig, ("search",))
        space, notes = self._space(model)
        if space is not None and search is not None:
            search = self._search(search, space)
        if self.faults:
            return None
        notes += lint.notes(space, search, budget)
        name, model = self.doc.values["name"], self.doc.values["model"]
        return Spec(path, text, name, model, data, objective, space, search, stop, budget, resources, notes)

    def _check_names(self) -> None:
        doc = self.doc
        for key in doc.values:
            if key not in SECTIONS:
                self._fault("E301", (key,), f"unknown section '{key}'", did_you_mean(key, SECTIONS), key=True)
        if doc.get(("gxsearch",)) != FORMAT or doc.get(("gxsearch",)) is True:
            got = f"is {doc.values['gxsearch']!r}" if "gxsearch" in doc.values else "is missing"
            code = "E303" if "gxsearch" in doc.values else "E302"
            self._fault(code, ("gxsearch",), f"the format version {got}", f"write gxsearch: {FORMAT}")
        name = doc.get(("name",))
        if "name" not in doc.values:
            slug = re.sub(r"[^a-z0-9._-]+", "-", Path(doc.file).stem.lower()).strip("-._") or "search"
            self._fault("E302", ("name",), "the search has no name", f"write name: {slug[:63]}")
        elif not isinstance(name, str) or not _NAME.fullmatch(name):
            fix = "use up to 63 of a-z 0-9 . _ - and begin with a letter or digit"
            self._fault("E303", ("name",), f"{name!r} is no name for a run folder", fix)

    def _model(self) -> type[GeneModel] | None:
        from gxsearch.models import registry

        name = self.doc.get(("model",))
        if not isinstance(name, str):
            known = ", ".join(registry.names())
            code, what = (
                ("E303", f"{name!r} is no model") if "model" in self.doc.values else ("E302", "model: is missing")
            )
            self._fault(code, ("model",), what, f"choose one of {known}")
            return None
        try:
            return registry.get(name, self.doc.where(("model",)))
        except SpecError as error:
            self.faults += error.faults
            return None

    def _objective(self, model: type[GeneModel] | None) -> Objective | None:
        given = self.doc.get(("objective",))
        modes = {f"val/{name}": mode for name, mode in model.metrics.items()} if model is not None else {}
        if given is None and modes:
            metric = next(iter(modes))
            return Objective(metric=metric, mode=modes[metric])
        if isinstance(given, list):
            self._fault("E303", ("objective",), "a search has one objective", "write {metric: ..., mode: ...}")
            return None
        values = {**given} if isinstance(given, dict) else given
        if isinstance(values, dict):
            values.setdefault("mode", modes.get(str(values.get("metric")), "min"))
        found = self._section(Objective, ("objective",), values)
        if found is None or model is None:
            return None
        if found.metric not in modes:
            near = f"did you mean 'val/{found.metric}'?" if f"val/{found.metric}" in modes else ""
            what = f"unknown measure '{found.metric}' of {self.doc.get(('model',))}"
            self._fault("E311", ("objective", "metric"), what, near or did_you_mean(found.metric, modes))
        elif found.mode != modes[found.metric]:
            what = f"mode {found.mode} contradicts {found.metric}, for which {modes[found.metric]} is better"
            self._fault("E311", ("objective", "mode"), what, f"write mode: {modes[found.metric]}, or leave it out")
        return found

    def _budget(self) -> Budget | None:
        given = self.doc.get(("budget",), {})
        if not isinstance(given, dict):
            return self._section(Budget, ("budget",))
        values = {key: value for key, value in given.items() if key != "time"}
        if "time_s" in values:
            self._fault("E301", ("budget", "time_s"), "unknown setting 'budget.time_s'", "write time: 90s", key=True)
            values.pop("time_s")
        if given.get("time") is not None:
            values["time_s"] = seconds(given["time"])
            if not values["time_s"]:
                fix = "write 90s, 30m, 12h or 2d"
                self._fault("E303", ("budget", "time"), f"{given['time']!r} is no length of time", fix)
        if given.get("trials") is None and given.get("time") is None:
            self._fault("E302", ("budget",), "'budget' sets no end", "give trials: 50, time: 2h, or both")
        return self._section(Budget, ("budget",), values)

    def _resources(self) -> Resources | None:
        found = self._section(Resources, ("resources",))
        if found is None:
            return None
        if found.concurrent != "auto" and found.concurrent < 1:
            self._fault("E303", ("resources", "concurrent"), f"must be auto or >= 1, got {found.concurrent}")
        if found.gpus != math.floor(found.gpus) and (found.gpus > 1 or found.workers > 1):
            what = f"a share of a GPU ({found.gpus:g}) is for trials with one worker and less than one GPU"
            self._fault("E303", ("resources", "gpus"), what, "use a whole number")
        return found

    def _stop(self, budget: Budget | None) -> Stop | None:
        given = self.doc.get(("stop",), "none")
        if isinstance(given, dict) and len(given) == 1:
            kind, values = next(iter(given.items()))
            path: Where = ("stop", kind)
        else:
            kind, values, path = given, {}, ("stop",)
        if kind == "none" and path == ("stop",):
            return Stop()
        if not isinstance(kind, str) or kind not in STOPS:
            fix = did_you_mean(kind, ["none", *STOPS]) if isinstance(kind, str) else "write none or {asha: {grace: 3}}"
            self._fault("E303", path, f"{kind!r} is no rule for stopping trials", fix, key=True)
            return None
        found = self._section(STOPS[kind], path, {} if values is None else values)
        if found is None:
            return None
        if budget is not None and found.grace >= budget.epochs:
            what = f"{kind} never stops a trial: grace {found.grace} is not below budget.epochs {budget.epochs}"
            self._fault("E325", (*path, "grace"), what, "lower grace, or write stop: none")
        return Stop(kind=kind, **found.model_dump())

    def _space(self, model: type[GeneModel] | None) -> tuple[Space | None, list[str]]:
        kinds = _kinds_of(model) if model is not None else None
        reader = SpaceReader(self.doc, kinds)
        space = reader.read()
        self.faults += reader.faults
        if space is None or reader.faults or kinds is None:
            return None, []
        missing = knobs.missing_faults(kinds, space, self.doc)
        self.faults += missing or knobs.corner_faults(kinds, space, lambda name: self._where_of(name))
        return space, reader.notes

    def _where_of(self, name: str) -> str:
        group, _, knob = name.partition(".")
        return self.doc.where(("space", group, knob) if name else ("space",), key=True)

    def _search(self, search: SearchConfig, space: Space) -> SearchConfig:
        start, faults = read_start(space, search.start, self.doc)
        self.faults += faults
        if search.sampler == "grid":
            endless = [p for p in space.parameters if isinstance(p.domain, Float) and p.domain.step is None]
            for parameter in endless:
                where = self._where_of(parameter.name)
                what = f"sampler grid cannot list all of 'space.{parameter.name}' ({parameter.domain.describe()})"
                self.faults.append(Fault("E320", where, what, "give step: or {choice: [...]}"))
            try:
                _ = [] if endless else space.grid()
            except SpecError as error:
                where = self.doc.where(("search", "sampler"))
                self.faults += [dataclasses.replace(fault, where=where) for fault in error.faults]
        return search.model_copy(update={"start": start})

    def _section(self, config: type[Section], path: Where, values: Any = None) -> Section | None:
        """Build a section from what stands at `path` or from `values`; None if it has faults."""
        given = self.doc.get(path, {}) if values is None else values
        name = ".".join(map(str, path))
        if given is None or not isinstance(given, dict):
            self._fault("E303", path, f"'{name}' must be a group of settings, got {given!r}", _example(config))
            return None
        try:
            return config.model_validate(given)
        except pydantic.ValidationError as error:
            self.faults += _section_faults(config, error, path, self.doc)
            return None

    def _fault(self, code: str, path: Where, what: str, fix: str = "", *, key: bool = False) -> None:
        self.faults.append(Fault(code, self.doc.where(path, key=key), what, fix))


def _section_faults(config: type[Config], error: pydantic.ValidationError, path: Where, doc: Document) -> list[Fault]:
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
    said = [knobs.say(item) for item in items]
    rules = [what.partition(", got")[0] for what, _ in said]
    got = said[0][0].partition(", got")[2]
    what = f"'{name}' {' or '.join(dict.fromkeys(rules))}" + (f", got{got}" if got else "")
    return Fault("E303", doc.where(at), what, next((fix for _, fix in said if fix), ""))


def _inner(config: type[Config], names: Where) -> type[Config]:
    """Return the config class of a group inside a config."""
    for name in names:
        config = config.model_fields[str(name)].annotation
    return config


def _example(config: type[Config]) -> str:
    return "its settings are " + ", ".join(config.model_fields)


def _typed() -> dict[str, type[Config]]:
    """Return the typed sections by name."""
    from gxsearch.data.table import DataConfig

    named = {"objective": Objective, "search": SearchConfig, "stop": Stop, "budget": Budget, "resources": Resources}
    return {"data": DataConfig, **named}


def _kinds(model: str) -> knobs.Kinds:
    from gxsearch.models import registry

    return _kinds_of(registry.get(model))


def _kinds_of(model: type[GeneModel]) -> knobs.Kinds:
    return {"model": model.Config, "train": model.Train}


def _place(fault: Fault) -> tuple[int, str, int, int]:
    """Order by file, line and column; options of the command line come last."""
    found = re.fullmatch(r"(.+):(\d+):(\d+)", fault.where)
    if fault.where.startswith("--set") or not found:
        return (1, fault.where, 0, 0)
    return (0, found[1], int(found[2]), int(found[3]))
