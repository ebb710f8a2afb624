"""Aims: reads what a search looks for: one objective or several, and the rule by which one trial is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_origin

from gxsearch.errors import did_you_mean
from gxsearch.search.sections import Choose, Objective
from gxsearch.search.yaml_file import Document, Where
from gxsearch.training.objectives import lacking, measures

if TYPE_CHECKING:
    from gxsearch.models.base import GeneModel

MOST = 3
"""Objectives of a search: of more, nearly every trial would stand on the front."""
FOR_ONE = ("gp", "cmaes")
"""Samplers that know one objective only."""


class AimReader:
    """Reads `objective` and `choose`; `section` builds a typed section, `fault` takes note of what is wrong."""

    def __init__(
        self,
        doc: Document,
        model: type[GeneModel] | None,
        section: Callable[..., Any],
        fault: Callable[..., None],
    ):
        self._doc, self._model, self._section, self._fault = doc, model, section, fault
        self._modes = measures(model) if model is not None else {}

    @property
    def several(self) -> bool:
        """Whether more than one objective is asked for, whatever is wrong with them."""
        given = self._doc.get(("objective",))
        return isinstance(given, list) and len(given) > 1

    def objectives(self) -> list[Objective]:
        """Return the objectives in their order; without any, the model's first measure; fewer where some are wrong."""
        given, path = self._doc.get(("objective",)), ("objective",)
        if given is None and self._modes:
            metric = next(iter(self._modes))
            return [Objective(metric=metric, mode=self._modes[metric])]
        if not isinstance(given, list):
            found = [self._one(path, given)]
        elif not 1 <= len(given) <= MOST:
            what = f"a search has one to {MOST} objectives, got {len(given)}"
            self._fault("E303", path, what, "write [{metric: ...}, {metric: ...}]")
            found = []
        else:
            found = [self._one((*path, i), one) for i, one in enumerate(given)]
            self._check_distinct(found)
        return [one for one in found if one is not None]

    def _check_distinct(self, found: list[Objective | None]) -> None:
        before: set[str] = set()
        for i, one in enumerate(found):
            if one is not None and one.metric in before:
                self._fault(
                    "E303", ("objective", i, "metric"), f"'{one.metric}' is named twice", "name another measure"
                )
            before |= {one.metric} if one is not None else set()

    def _one(self, path: Where, given: Any) -> Objective | None:
        values = {**given} if isinstance(given, dict) else given
        if isinstance(values, dict):
            values.setdefault("mode", self._modes.get(str(values.get("metric")), "min"))
        found = self._section(Objective, path, values)
        if found is None or self._model is None:
            return None
        if found.metric not in self._modes:
            near = f"did you mean 'val/{found.metric}'?" if f"val/{found.metric}" in self._modes else ""
            what = f"unknown measure '{found.metric}' of {self._doc.get(('model',))}"
            self._fault("E311", (*path, "metric"), what, near or did_you_mean(found.metric, self._modes))
        elif found.mode != self._modes[found.metric]:
            better = self._modes[found.metric]
            what = f"mode {found.mode} contradicts {found.metric}, for which {better} is better"
            self._fault("E311", (*path, "mode"), what, f"write mode: {better}, or leave it out")
        elif found.metric.removeprefix("val/") in self._model.class_metrics and not self._tells(self._model):
            several = get_origin(self._model.View.Config.model_fields[self._model.told_by].annotation) is list
            example = "[COLUMN]" if several else "COLUMN"
            what = f"{found.metric} needs {self._model.told_by} to be told"
            self._fault("E311", (*path, "metric"), what, f"set data.view.{self._model.told_by}: {example}")
        self._check_columns(path, found.metric)
        return found

    def _check_columns(self, path: Where, metric: str) -> None:
        """Take note of columns that a probe cannot do without."""
        for setting in lacking(metric, [name for name in ("label", "batch") if self._doc.get(("data", name))]):
            noun, value = {"label": ("labels", "COLUMN"), "batch": ("batches", "[COLUMN]")}[setting]
            self._fault("E311", (*path, "metric"), f"{metric} needs {noun}", f"set data.{setting}: {value}")

    def _tells(self, model: type[GeneModel]) -> bool:
        return self._doc.get(("data", "view", model.told_by)) not in (None, [])

    def choose(self) -> Choose | None:
        """Return the rule by which one trial of the front is chosen."""
        given, path = self._doc.get(("choose",)), ("choose",)
        if given is None:
            return Choose()
        if not self.several:
            fix = "leave it out, or write objective: [{metric: ...}, {metric: ...}]"
            self._fault("E303", path, "there is one objective, so that there is nothing to choose", fix)
        elif isinstance(given, str) and given in ("first", "knee"):
            return Choose(rule=given)
        elif isinstance(given, dict) and list(given) == ["within"]:
            return self._section(Choose, path, {"rule": "within", **given})
        else:
            self._fault("E303", path, f"{given!r} is no rule", "write first, knee or {within: 0.02}")
        return None

    def check_sampler(self, sampler: str) -> None:
        """Take note of a sampler that does not suit the number of objectives."""
        if self.several and sampler in FOR_ONE:
            fix = "use tpe, nsga2, random, qmc or grid"
            self._fault("E303", ("search", "sampler"), f"sampler {sampler} is for one objective", fix)
        if not self.several and sampler == "nsga2":
            self._fault("E303", ("search", "sampler"), "sampler nsga2 is for several objectives", "use tpe")
