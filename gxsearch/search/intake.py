"""Intake: the data of a spec, checked before anything is started; apart from the rest, which imports Ray."""

from __future__ import annotations

from pathlib import Path

from gxsearch.config import read as read_config
from gxsearch.data.prepare import prepare
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.errors import Fault, SpecError
from gxsearch.models import registry
from gxsearch.search.spec import Spec


def read_table(spec: Spec) -> Table:
    """Load, check, split and transform the data of a spec, with the columns that the model's view reads.

    Raises:
        DataError: with all that is wrong with it.
        SpecError: when the settings of the view are wrong.
    """
    view, base = registry.get(spec.model).View, Path(spec.path).resolve().parent
    extra = view.columns(read_config(view.Config, spec.data.view, spec.path, "data.view"))
    negative = spec.data.allow_negative
    return prepare(spec.data, where=spec.path, base=base, layout=view.layout, allow_negative=negative, extra_obs=extra)


def dims(spec: Spec, table: Table) -> Dims:
    """Fit the view once in this process, so that data which do not suit the model are found before a trial starts.

    Raises:
        DataError: when the data do not suit the view.
        SpecError: E331, when some settings of the space cannot work on such data.
    """
    kind = registry.get(spec.model)
    found = kind.View.fit(table, read_config(kind.View.Config, spec.data.view, spec.path, "data.view")).dims
    configs = (kind.Config(**spec.space.configs(params)["model"]) for params in spec.space.corners())
    said = dict.fromkeys(kind.objection(config, found) for config in configs)
    faults = [Fault("E331", spec.path, *text.split("; ", 1)) for text in said if text is not None]
    if faults:
        raise SpecError(faults)
    return found
