"""The columns of obs (or var) that a spec names: checked for presence and gaps, read as text or numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.data.findings import Findings, counted, shown
from gxsearch.data.table import DataConfig
from gxsearch.errors import did_you_mean


def named_columns(config: DataConfig) -> dict[str, str]:
    """Return the settings that name a column, and the column."""
    named = {"data.label": config.label, "data.time": config.time}
    named |= {f"data.batch[{i}]": name for i, name in enumerate(config.batch)}
    named |= {"data.split.group": config.split.group, "data.split.stratify": config.split.stratify}
    return {setting: name for setting, name in named.items() if name is not None}


def described(frame: pd.DataFrame, adata: AnnData, extra: Iterable[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame of the rows and what the model reads of it, with every ``prefix*`` resolved.

    It stands for the columns that begin so or, where obsm has a matrix of that name, for its columns, which are then
    added to a copy of the frame as ``prefix`` and their name or number. A prefix of nothing is left as it is.
    """
    names: list[str] = []
    for name in extra:
        prefix = name.removesuffix("*")
        if name != prefix and prefix in adata.obsm and len(frame) == adata.n_obs:
            values = pd.DataFrame(adata.obsm[prefix], index=frame.index).add_prefix(prefix)
            frame = frame.join(values[[column for column in values if column not in frame]])
        several = [str(column) for column in frame if str(column).startswith(prefix)] if name != prefix else []
        names += several or [name]
    return frame, tuple(dict.fromkeys(names))


def check_columns(
    frame: pd.DataFrame, named: Mapping[str, str], found: Findings, *, extra: Iterable[str] = (), part: str = "obs"
) -> None:
    """Note columns of obs or var that are missing (E421) or have gaps (E422).

    Args:
        named: the settings that name a column, and the column.
        extra: columns that the model reads; a gap in them is for the model to judge.
        part: what the frame is called: obs or var.
    """
    for setting, name in [*named.items(), *(("the model reads", name) for name in extra)]:
        if name not in frame:
            hint = did_you_mean(name, frame.columns) or f"{part} has no columns"
            found.setting("E421", f"{setting}: {found.source} has no {part} column '{name}'", hint)
    for name in dict.fromkeys(named.values()):
        if name in frame:
            _check_gaps(frame[name], f"{part}/{name}", found)


def read_columns(frame: pd.DataFrame, config: DataConfig, extra: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Return the columns that the spec and the model name, those that the frame of the rows has: (n,) each.

    Time is float64. Label, batch, group and stratify are text, whole numbers without a point. What only the model
    names is float64 if the frame holds numbers, else text with '' for a gap.
    """
    columns = {name: as_text(frame[name]) for name in named_columns(config).values() if name in frame}
    for name in extra:
        if name in frame and name not in columns:
            column = _plain(frame[name])
            columns[name] = column.to_numpy(np.float64, na_value=np.nan) if _is_number(column) else as_text(column)
    if config.time in frame:
        columns[config.time] = _plain(frame[config.time]).to_numpy(np.float64)
    return columns


def check_coordinates(adata: AnnData, key: str, found: Findings) -> None:
    """Note coordinates that are missing or no finite (n, 2) or (n, 3) numbers (E425)."""
    if key not in adata.obsm:
        hint = did_you_mean(key, adata.obsm) or "obsm is empty"
        found.setting("E425", f"data.spatial: {found.source} has no obsm '{key}'", hint)
        return
    values = np.asarray(adata.obsm[key])
    if values.ndim != 2 or values.shape[1] not in (2, 3) or values.dtype.kind not in "fiu":
        what = f"has shape {values.shape} of {values.dtype.name}"
        found.content("E425", f"obsm/{key}", what, "two or three numbers per row are needed")
    elif not np.isfinite(values).all():
        bad_n = ~np.isfinite(values).all(axis=1)
        what = f"{counted(int(bad_n.sum()), 'row')} without finite coordinates: {shown(adata.obs_names[bad_n])}"
        found.content("E425", f"obsm/{key}", what, "drop these rows")


def check_time(column: pd.Series, found: Findings) -> None:
    """Note times that are no numbers or infinite (E424)."""
    column = _plain(column)
    if not _is_number(column):
        words = column.astype(str).unique().tolist()
        found.content("E424", f"obs/{column.name}", f"times must be numbers, got {shown(words)}", "use hours or days")
    elif np.isinf(column.to_numpy(np.float64)).any():
        found.content("E424", f"obs/{column.name}", "a time is infinite")


def as_text(column: pd.Series) -> np.ndarray:
    """Return a column as a unicode array (n,); 3.0 becomes '3' where all numbers are whole, a gap ''."""
    column = _plain(column)
    gap_n = column.isna().to_numpy()
    if column.dtype.kind == "f" and (column[~gap_n] % 1 == 0).all():
        column = column.fillna(0).astype(np.int64)
    text_n = np.array([str(value) for value in column.tolist()], dtype=str)
    return np.where(gap_n, "", text_n) if gap_n.any() else text_n


def _plain(column: pd.Series) -> pd.Series:
    """Return a categorical column as its values; whole numbers become float, which has a gap."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column
    return column.astype(np.float64 if _is_number(column.cat.categories) else object)


def _is_number(column: pd.Series | pd.Index) -> bool:
    return getattr(column.dtype, "kind", "O") in "iuf"


def _check_gaps(column: pd.Series, part: str, found: Findings) -> None:
    gap_n = as_text(column) == ""
    if gap_n.any():
        what = f"{counted(int(gap_n.sum()), 'row')} without a value: {shown(column.index[gap_n])}"
        found.content("E422", part, what, "fill in a word such as 'unknown', or drop these rows")
