"""Reads the `space` section of a search space file, checking every entry against the settings of the model."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from gxsearch.errors import Fault, SpecError, did_you_mean
from gxsearch.search import foreign, knobs
from gxsearch.search.condition import COMPARE, Condition, witnesses
from gxsearch.search.domain import Choice, from_json
from gxsearch.search.knobs import Kinds
from gxsearch.search.space import GROUPS, Parameter, Params, Space, find_circle, resolve
from gxsearch.search.yaml_file import Document, Where

KINDS = ("float", "int", "choice", "value")
_ALLOWED = {
    "float": {"float", "log", "step", "when", "default"},
    "int": {"int", "log", "step", "when", "default"},
    "choice": {"choice", "when", "default"},
    "value": {"value"},
}
_DATA = "the data are prepared once for all trials, so their settings cannot be searched"


class SpaceReader:
    """Reads a space; `faults` and `notes` fill up on the way. Without `kinds` the names are taken on trust."""

    def __init__(self, doc: Document, kinds: Kinds | None):
        self.doc, self.kinds = doc, kinds
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.names: list[tuple[str, str]] = []

    def read(self) -> Space | None:
        """Return the space; None where its faults leave nothing to go on with."""
        parameters: list[Parameter] = []
        fixed: Params = {}
        self.names = self._names()
        for group, name in self.names:
            entry = self.doc.get(("space", group, name))
            if not isinstance(entry, dict | list):
                fixed[f"{group}.{name}"] = entry
            elif (parameter := self._entry(group, name, entry)) is not None:
                parameters.append(parameter)
            elif isinstance(entry, dict) and set(entry) == {"value"}:
                fixed[f"{group}.{name}"] = entry["value"]
        self._check_fixed(fixed)
        parameters = [self._conditions(parameter, parameters, fixed) for parameter in parameters]
        circle = find_circle(tuple(parameters))
        if circle:
            place = self._path(circle[0], "when")
            self._fault("E321", place, f"conditions go round in a circle: {' -> '.join(circle)}", "remove one of them")
            return None
        return self._reachable(Space(tuple(parameters), fixed))

    def _names(self) -> list[tuple[str, str]]:
        """Return the (group, name) pairs that can be read on, after checking them against the model."""
        space = self.doc.get(("space",))
        if space is None:
            return []
        if not isinstance(space, dict):
            self._fault("E303", ("space",), "'space' must hold the groups 'model' and 'train'")
            return []
        found = []
        for group, entries in space.items():
            if group not in GROUPS:
                self._unknown_group(group)
            elif entries is not None and not isinstance(entries, dict):
                self._fault("E303", ("space", group), f"'space.{group}' must be a group of settings")
            else:
                found += [(group, name) for name in entries or {} if self._known(group, name)]
        return found

    def _unknown_group(self, group: str) -> None:
        path = ("space", group)
        if group == "data":
            return self._fault("E320", path, f"'space.data': {_DATA}", "write them under data:", key=True)
        homes = [g for g, config in (self.kinds or {}).items() if group in config.model_fields]
        fix = f"write it under space.{homes[0]}" if homes else did_you_mean(group, GROUPS)
        self._fault("E301", path, f"unknown group 'space.{group}'", fix, key=True)

    def _known(self, group: str, name: str) -> bool:
        if self.kinds is None or name in self.kinds[group].model_fields:
            return True
        homes = [g for g, config in self.kinds.items() if name in config.model_fields]
        near = did_you_mean(name, self.kinds[group].model_fields)
        fix = f"it belongs to space.{homes[0]}" if homes else near
        self._fault("E301", ("space", group, name), f"unknown setting 'space.{group}.{name}'", fix, key=True)
        return False

    def _entry(self, group: str, name: str, entry: Any) -> Parameter | None:
        """Return the parameter that a list or mapping describes; None if it is fixed or wrong."""
        path = ("space", group, name)
        if isinstance(entry, list):
            shown = foreign.flow(entry)
            fix = f"write {{choice: {shown}}} to search, {{value: {shown}}} to fix it"
            self._fault("E320", path, f"'space.{group}.{name}' is a bare list, which can be read in two ways", fix)
            return None
        kind = self._kind(path, entry)
        if kind is None or kind == "value":
            return None
        try:
            domain = from_json(entry)
        except SpecError as error:
            place = self.doc.where((*path, kind))
            name_of = f"'space.{group}.{name}': "
            self.faults += [dataclasses.replace(f, where=place, what=name_of + f.what) for f in error.faults]
            return None
        default = (entry["default"],) if "default" in entry else ()
        if self.kinds is not None:
            self.faults += knobs.domain_faults(self.kinds[group], name, domain, self.doc, path)
            for value in default:
                self._check_value(group, name, value, (*path, "default"))
        if default and "when" not in entry:
            self._fault("E320", (*path, "default"), "default: is for settings with when:", "leave it out", key=True)
        return Parameter(f"{group}.{name}", domain, (), default)

    def _kind(self, path: Where, entry: dict[str, Any]) -> str | None:
        """Return the one kind that an entry is of, after checking its keys."""
        name = ".".join(map(str, path))
        kinds = [key for key in KINDS if key in entry]
        if len(kinds) > 1:
            self._fault("E320", path, f"'{name}' is both {kinds[0]} and {kinds[1]}", "leave one out")
            return None
        if (said := foreign.translate(entry)) is not None:
            word, what, fix = said
            self._fault("E320", (*path, word), f"'{name}': {what}", fix, key=True)
            return None
        if not kinds:
            odd = next((key for key in entry if key not in ("log", "step", "when", "default")), None)
            near = did_you_mean(odd, KINDS) if odd else ""
            fix = (
                near if near.startswith("did") else "write {float: [low, high]}, {int: ...}, {choice: ...}, {value: x}"
            )
            self._fault("E320", path, f"'{name}' does not say what is searched", fix)
            return None
        odd = [key for key in entry if key not in _ALLOWED[kinds[0]]]
        for key in odd:
            fixes = {"value": f"write {{choice: [x], {key}: ...}}" if key == "when" else ""}
            fix = fixes.get(kinds[0]) or did_you_mean(key, sorted(_ALLOWED[kinds[0]] - {kinds[0]}))
            self._fault("E301", (*path, key), f"'{key}' has no place beside '{kinds[0]}' in '{name}'", fix, key=True)
        return None if odd else kinds[0]

    def _check_fixed(self, fixed: Params) -> None:
        for full, value in fixed.items():
            group, _, name = full.partition(".")
            inner = ("value",) if isinstance(self.doc.get(("space", group, name)), dict) else ()
            self._check_value(group, name, value, ("space", group, name, *inner))

    def _check_value(self, group: str, name: str, value: Any, path: Where) -> None:
        found = knobs.value_fault(self.kinds[group], name, value) if self.kinds is not None else None
        if found is not None:
            self._fault("E303", path, f"'space.{group}.{name}' {found[0]}", found[1])

    def _conditions(self, parameter: Parameter, parameters: list[Parameter], fixed: Params) -> Parameter:
        path = self._path(parameter.name, "when")
        when = self.doc.get(path)
        if when is None:
            return parameter
        if not isinstance(when, dict) or not when:
            self._fault("E321", path, "when: takes a group", "write when: {name: value}")
            return parameter
        found = []
        known = {p.name: p for p in parameters}
        for word, test in when.items():
            parent = self._resolve(word, [f"{group}.{name}" for group, name in self.names], (*path, word))
            if parent is None or (parent not in known and parent not in fixed):
                continue  # a parent that could not be read has its own fault
            condition = self._test(parent, test, (*path, word))
            if condition is not None and self._can_hold(condition, known.get(parent), parameter, (*path, word)):
                found.append(condition)
        return dataclasses.replace(parameter, when=tuple(found))

    def _resolve(self, word: str, names: list[str], path: Where) -> str | None:
        """Return the dotted name that a short or dotted one stands for."""
        found = resolve(word, names)
        if isinstance(found, str):
            return found
        homes = [g for g, config in (self.kinds or {}).items() if word.split(".")[-1] in config.model_fields]
        what, fix = found
        if homes and not fix.startswith("write"):
            what, fix = f"'{word}' is not in this space", f"add it under space.{homes[0]}, or remove the condition"
        self._fault("E321", path, f"{what} in when:", fix, key=True)
        return None

    def _test(self, parent: str, test: Any, path: Where) -> Condition | None:
        if isinstance(test, dict):
            for key, limit in test.items():
                real = isinstance(limit, int | float) and not isinstance(limit, bool) and math.isfinite(limit)
                if key not in COMPARE or not real:
                    what = f"'{key}: {limit}' compares nothing"
                    self._fault("E321", (*path, key), what, "use ge, gt, le, lt with a number", key=True)
                    return None
            return Condition(parent, limits=tuple(test.items()))
        return Condition(parent, one_of=tuple(test) if isinstance(test, list) else (test,))

    def _can_hold(self, condition: Condition, parent: Parameter | None, child: Parameter, path: Where) -> bool:
        """Check that a condition names values that its parent can take."""
        group, _, name = condition.parent.partition(".")
        wrong = []
        if parent is not None:
            options = parent.domain.options if isinstance(parent.domain, Choice) else ()
            if condition.limits and not all(isinstance(option, int | float) for option in options):
                self._fault("E321", path, f"'{condition.parent}' holds no numbers to compare", "name its options")
                return False
            if condition.limits and not witnesses(parent.domain, [condition]):
                wrong = [condition.describe()]
            wrong += [value for value in condition.one_of if not parent.domain.contains(value)]
        elif self.kinds is not None:
            wrong = [v for v in condition.one_of if knobs.value_fault(self.kinds[group], name, v)]
        if not wrong:
            return True
        shown = parent.domain.describe() if parent is not None else "fixed"
        options = parent.domain.ends() if parent is not None else ()
        near = did_you_mean(str(wrong[0]), [str(option) for option in options])
        fix = near if near.startswith("did") else f"'{child.name}' would never be active"
        said = wrong[0] if condition.limits else repr(wrong[0])
        self._fault("E321", path, f"{said} never occurs in '{condition.parent}' ({shown})", fix)
        return False

    def _reachable(self, space: Space) -> Space:
        """Return the space without what a fixed value switches off; conditions that exclude each other are faults."""
        kept, fixed = [], dict(space.fixed)
        gone: set[str] = set()
        for parameter in space.order:
            parents = [c.parent for c in parameter.when]
            off = [c for c in parameter.when if c.parent in space.fixed and not c.holds(space.fixed[c.parent])]
            if off or gone & set(parents):
                gone.add(parameter.name)
                why = f"{off[0].parent} is fixed to {space.fixed[off[0].parent]}" if off else "its parent is not"
                self.notes.append(f"space.{parameter.name} is not searched: {why}")
                if parameter.default:
                    fixed[parameter.name] = parameter.default[0]
                continue
            if space.reach(parameter.name) is None:
                what = f"the conditions of '{parameter.name}' and of its parents exclude each other"
                self._fault("E321", self._path(parameter.name, "when"), what, "it would never be active")
            kept.append(parameter.name)
        return Space(tuple(p for p in space.parameters if p.name in kept), fixed)

    def _path(self, full: str, *more: str) -> Where:
        group, _, name = full.partition(".")
        return ("space", group, name, *more)

    def _fault(self, code: str, path: Where, what: str, fix: str = "", *, key: bool = False) -> None:
        self.faults.append(Fault(code, self.doc.where(path, key=key), what, fix))
