"""Reads the sections of a search space file one by one and gathers what is wrong with them."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from gxsearch.config import Config
from gxsearch.errors import Fault, SpecError, did_you_mean
from gxsearch.search import knobs, lint
from gxsearch.search.aims import AimReader
from gxsearch.search.domain import Float
from gxsearch.search.grammar import SpaceReader
from gxsearch.search.knobs import section_faults
from gxsearch.search.override import SECTIONS
from gxsearch.search.sections import STOPS, Budget, Confirm, Resources, SearchConfig, Stop, Track, seconds
from gxsearch.search.space import Space
from gxsearch.search.start import read_start
from gxsearch.search.track import odd_target
from gxsearch.search.yaml_file import Document, Where

if TYPE_CHECKING:
    from gxsearch.data.table import DataConfig
    from gxsearch.models.base import GeneModel

FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
Section = TypeVar("Section", bound=Config)


class SpecReader:
    """Reads the sections one by one; `faults` fills up on the way."""

    def __init__(self, doc: Document, faults: list[Fault]):
        self.doc, self.faults = doc, faults

    def parts(self) -> dict[str, Any]:
        """Return what a `Spec` is made of, beside path and text; it is whole only if there are no faults."""
        from gxsearch.data.table import DataConfig

        self._check_names()
        model = self._model()
        data = self._section(DataConfig, ("data",))
        if model is not None and data is not None:
            self._section(model.View.Config, ("data", "view"))
            data = self._oriented(data, model)
        aims = AimReader(self.doc, model, self._section, self._fault)
        objectives, choose = aims.objectives(), aims.choose()
        budget, resources = self.budget(), self.resources()
        stop, search = self._stop(budget), self._section(SearchConfig, ("search",))
        space, notes = self._space(model)
        if space is not None and search is not None:
            aims.check_sampler(search.sampler)
            search = self._search(search, space, kinds_of(model))
        parts = {key: self.doc.get((key,)) for key in ("name", "model")} | {"first": self._first(data)}
        parts |= {"objective": next(iter(objectives), None), "also": objectives[1:], "choose": choose}
        parts |= {"data": data, "space": space, "search": search}
        parts |= {"stop": stop, "budget": budget, "resources": resources}
        parts |= {"confirm": self._section(Confirm, ("confirm",)), "track": self.track()}
        return parts | {"notes": notes + (lint.notes(space, search, budget) if not self.faults else [])}

    def _oriented(self, data: DataConfig, model: type[GeneModel]) -> DataConfig:
        """Make rows of genes where the model gives vectors to genes; the file need not say it."""
        if model.View.axis != "var":
            return data
        if self.doc.get(("data", "orientation")) == "samples":
            what = f"the rows of {self.doc.get(('model',))} are genes"
            self._fault("E303", ("data", "orientation"), what, "leave data.orientation out")
        return data.model_copy(update={"orientation": "genes"})

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

    def _first(self, data: DataConfig | None) -> str | None:
        """Return the file of the search that comes first; it is read when the data are."""
        name = self.doc.get(("first",))
        reads = data is not None and data.view.get("features") == "first"
        if name is None:
            if reads:
                fix = "add first: nbvae.yaml, the file of another search"
                self._fault("E326", ("data", "view", "features"), "there is no search that comes first", fix)
        elif not isinstance(name, str) or not (Path(self.doc.file).parent / name).is_file():
            self._fault("E326", ("first",), f"{name!r} is no file beside this one", "name another search space file")
        elif data is not None and not reads:
            self._fault("E326", ("first",), "nothing reads what comes first", "set data.view.features: first")
        return name if isinstance(name, str) else None

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

    def budget(self) -> Budget | None:
        """Read what the search may use."""
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

    def resources(self) -> Resources | None:
        """Read what one trial needs."""
        found = self._section(Resources, ("resources",))
        if found is None:
            return None
        if found.concurrent != "auto" and found.concurrent < 1:
            self._fault("E303", ("resources", "concurrent"), f"must be auto or >= 1, got {found.concurrent}")
        if found.gpus != "auto" and found.gpus < 0:
            self._fault("E303", ("resources", "gpus"), f"must be auto or >= 0, got {found.gpus:g}")
        elif found.gpus != "auto" and found.gpus != math.floor(found.gpus) and (found.gpus > 1 or found.workers > 1):
            what = f"a share of a GPU ({found.gpus:g}) is for trials with one worker and less than one GPU"
            self._fault("E303", ("resources", "gpus"), what, "use a whole number")
        return found

    def track(self) -> Track | None:
        """Read which trackers are sent what the search does.

        Raises:
            UnsafeError: E805 when an address holds a password: run folders would keep it.
        """
        found = self._section(Track, ("track",))
        for name, target in found.targets.items() if found is not None else ():
            if (fix := odd_target(name, target)) is not None:
                self._fault("E360", ("track", name), f"{target!r} is nothing that {name} sends to", fix)
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
        kinds = kinds_of(model) if model is not None else None
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

    def _search(self, search: SearchConfig, space: Space, kinds: knobs.Kinds) -> SearchConfig:
        start, faults = read_start(space, search.start, self.doc)
        self.faults += faults
        for i, point in enumerate([] if faults else start):
            params = space.draw(lambda name, domain, point=point: point.get(name, domain.middle()))
            for said in knobs.refusals(kinds, space, params):
                self._fault("E322", ("search", "start", i), f"a start point that the {said}", "choose other values")
        if search.sampler == "grid":
            self._check_grid(space)
        return search.model_copy(update={"start": start})

    def _check_grid(self, space: Space) -> None:
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
            self.faults += section_faults(config, error, path, self.doc)
            return None

    def _fault(self, code: str, path: Where, what: str, fix: str = "", *, key: bool = False) -> None:
        self.faults.append(Fault(code, self.doc.where(path, key=key), what, fix))


def kinds_of(model: type[GeneModel]) -> knobs.Kinds:
    """Return the config classes that the groups of a space are checked against."""
    return {"model": model.Config, "train": model.Train}


def _example(config: type[Config]) -> str:
    return "its settings are " + ", ".join(config.model_fields)
