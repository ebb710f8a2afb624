"""Intake: the data of a spec, checked before anything is started; apart from the rest, which imports Ray."""

from __future__ import annotations

from pathlib import Path

from gxsearch.config import read as read_config
from gxsearch.data.prepare import prepare
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.models import registry
from gxsearch.search.spec import Spec


def read_table(spec: Spec) -> Table:
    """Load, check, split and transform the data of a spec.

    Raises:
        DataError: with all that is wrong with it.
    """
    layout, base = registry.get(spec.model).View.layout, Path(spec.path).resolve().parent
    return prepare(spec.data, where=spec.path, base=base, layout=layout, allow_negative=spec.data.allow_negative)


def dims(spec: Spec, table: Table) -> Dims:
    """Fit the view once in this process, so that data which do not suit the model are found before a trial starts."""
    view = registry.get(spec.model).View
    return view.fit(table, read_config(view.Config, spec.data.view, spec.path, "data.view")).dims
