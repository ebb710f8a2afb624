"""Spec: a search space file, read strictly and checked completely before anything starts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gxsearch.config import Config
from gxsearch.errors import Fault, SpecError
from gxsearch.search import knobs
from gxsearch.search.override import assemble, written
from gxsearch.search.reader import FORMAT, SpecReader, kinds_of
from gxsearch.search.sections import Budget, Choose, Confirm, Objective, Resources, SearchConfig, Stop, Track
from gxsearch.search.shipped import found
from gxsearch.search.space import Space
from gxsearch.search.yaml_file import read_bytes
from gxsearch.told import preformatted

if TYPE_CHECKING:
    from gxsearch.data.table import DataConfig

MAX_FAULTS = 20
MAPPING = "mapping"
"""What a spec that is from no file is called in messages."""


@dataclass(frozen=True, repr=False)
class Spec:
    """All that decides a search.

    Attributes:
        path: the file it came from, as typed; text: its bytes, without what `sets` changed.
        stop, budget, resources: with every default filled in.
        objective: what trials are ranked and stopped by, and what tells their best epoch.
        also: further objectives, at that epoch; `choose` says which trial of the front then stands for the search.
        first: the file, relative to `path`, of a search whose vectors this one reads.
        notes: what `lint` has to say; warnings, not faults.
        sets: what changed the file, as ``path=value``.
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
    confirm: Confirm
    notes: list[str] = field(default_factory=list)
    first: str | None = None
    also: list[Objective] = field(default_factory=list)
    choose: Choose = field(default_factory=Choose)
    track: Track = field(default_factory=Track)
    sets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from gxsearch.search.outline import head, outline

        return "\n".join([head(self), *outline(self), *(f"note      {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return preformatted(repr(self))

    def set(self, path: str, value: Any) -> Spec:
        """Return a copy with another value at a path of the file, such as ``budget.trials``, checked anew.

        The leading ``space.`` may be left out. Nothing but the copy is changed.

        Raises:
            SpecError: when the path leads nowhere or the value is refused; E345 where this spec is not what its file
                says, for something else than the file was changed (by `warmed`).
        """
        return self.changed(written(path, value))

    def changed(self, *sets: str) -> Spec:
        """Return a copy with values changed as `set` does, each told as ``path=value``; without any, itself."""
        if not sets:
            return self
        plain = read(self.path, self.text, self.sets)
        if dataclasses.replace(plain, notes=self.notes) != self:
            fix = "set before what else changes it, or begin from its file"
            raise SpecError.one("E345", ", ".join(sets), "this spec is no longer that of its file", fix)
        return read(self.path, self.text, (*self.sets, *sets))

    @property
    def objectives(self) -> list[Objective]:
        """All objectives, the first one first."""
        return [self.objective, *self.also]

    @property
    def sha256(self) -> str:
        """Fingerprint of what decides the trials: all but what may change (path, text and notes too)."""
        left_out = ("path", "text", "name", "choose", "budget", "resources", "confirm", "track", "notes", "sets")
        kept = {key: value for key, value in self.to_json().items() if key not in left_out}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values; `from_json` gives an equal one."""
        plain = {"path": self.path, "text": self.text.decode(), "name": self.name, "model": self.model}
        sections = {key: getattr(self, key).model_dump(mode="json") for key in _typed()}
        plain |= {} if self.first is None else {"first": self.first}
        plain |= {} if self.track == Track() else {"track": self.track.model_dump()}
        if self.also:
            plain |= {"also": [one.model_dump(mode="json") for one in self.also], "choose": self.choose.model_dump()}
        plain |= {"sets": list(self.sets)} if self.sets else {}
        return {"gxsearch": FORMAT, **plain, **sections, "space": self.space.to_json(), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        """Rebuild a spec from `to_json`."""
        sections = {key: config.model_validate(data.get(key, {})) for key, config in _typed().items()}
        plain = {key: data[key] for key in ("path", "name", "model")}
        text, notes = data["text"].encode(), list(data["notes"])
        space, first = Space.from_json(data["space"]), data.get("first")
        also = [Objective.model_validate(one) for one in data.get("also", [])]
        more = {"also": also, "choose": Choose.model_validate(data.get("choose", {}))}
        more |= {"track": Track.model_validate(data.get("track", {})), "sets": tuple(data.get("sets", ()))}
        return cls(**plain, **sections, **more, text=text, space=space, notes=notes, first=first)

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
    """Read and check a search space file, changed by ``path=value`` options; `shipped.found` says which file.

    Raises:
        SpecError: with all faults, at most 20, in the order of their lines; those of options last.
    """
    path = found(path)
    return read(str(path), read_bytes(path), tuple(sets))


def from_mapping(values: Mapping[str, Any], sets: Sequence[str] = ()) -> Spec:
    """Read and check what a search space file would hold; its folder is the working folder.

    Raises:
        SpecError: as `load`; E344 for a value that no file could hold.
    """
    _, _, text = written(MAPPING, dict(values)).partition("=")
    try:
        return read(MAPPING, text.encode(), tuple(sets))
    except SpecError as error:  # it has no lines
        placed = [(fault, re.sub(rf"^{MAPPING}:\d+:\d+$", MAPPING, fault.where)) for fault in error.faults]
        raise SpecError(dataclasses.replace(fault, where=where) for fault, where in placed) from None


def read(path: str, text: bytes, sets: tuple[str, ...]) -> Spec:
    """Read and check the text of a search space file, of which `path` is the name, as `load` does."""
    doc, faults = assemble(path, text, sets)
    reader = SpecReader(doc, faults)
    parts = reader.parts()
    if reader.faults:
        faults = sorted(dict.fromkeys(reader.faults), key=_place)
        more = len(faults) - MAX_FAULTS
        last = [Fault("E399", path, f"{more + 1} more faults are not shown")] if more > 0 else []
        raise SpecError(faults[: MAX_FAULTS - len(last)] + last)
    return Spec(path, text, **parts, sets=sets)


def _typed() -> dict[str, type[Config]]:
    """Return the typed sections by name."""
    from gxsearch.data.table import DataConfig

    named = {"objective": Objective, "search": SearchConfig, "stop": Stop, "budget": Budget, "resources": Resources}
    return {"data": DataConfig, **named, "confirm": Confirm}


def _kinds(model: str) -> knobs.Kinds:
    from gxsearch.models import registry

    return kinds_of(registry.get(model))


def _place(fault: Fault) -> tuple[int, str, int, int]:
    """Order by file, line and column; options of the command line come last."""
    found = re.fullmatch(r"(.+):(\d+):(\d+)", fault.where)
    if fault.where.startswith("--set") or not found:
        return (1, fault.where, 0, 0)
    return (0, found[1], int(found[2]), int(found[3]))
