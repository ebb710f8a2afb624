"""Every way a data set can be wrong, found before a trial starts, all faults at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.data.columns import as_text, check_columns, check_coordinates, check_time, described, named_columns
from gxsearch.data.findings import Findings, Named, counted, shown
from gxsearch.data.genes import check_genes
from gxsearch.data.orient import check_orientation, of_features, of_rows, row_axis, row_frame
from gxsearch.data.split import shares, sizes
from gxsearch.data.table import DataConfig, Split
from gxsearch.data.values import Matrix, are_whole, largest, read_values, row_totals

LOGGED_BELOW = 20.0  # e^20 counts of one gene in one row are not seen
EXACT_BELOW = 2.0**24  # whole numbers beyond this are rounded in float32
DATE = re.compile(r"^\d{1,2}-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$", re.IGNORECASE)


def check(
    adata: AnnData,
    config: DataConfig,
    found: Findings,
    *,
    base: Path | None = None,
    allow_negative: bool = False,
    extra_obs: Iterable[str] = (),
) -> Matrix | None:
    """Note in `found` all that is wrong or odd; return the values (n, g) if they can be used.

    Codes: E410-E413, E417 values, E414 no rows or genes, E415 rows of zeros, E416 names, E421-E425 columns and
    coordinates, E423 classes too small, E426 orientation, E430 split, E431-E432 genes, E433 transform.
    """
    check_described(adata, config, found, base=base, extra_obs=extra_obs)
    x_ng = check_new(adata, config, found, allow_negative=allow_negative)
    if x_ng is not None:
        constant_g = _reduced(x_ng.max(axis=0)) == _reduced(x_ng.min(axis=0))
        remark(
            adata,
            config,
            found,
            most=largest(x_ng),
            whole=are_whole(x_ng),
            constant=Named.of(adata.var_names, constant_g),
        )
    return x_ng


def check_described(
    adata: AnnData, config: DataConfig, found: Findings, *, base: Path | None, extra_obs: Iterable[str]
) -> None:
    """Note all that is wrong with the settings, and with what describes rows and genes; values are not looked at."""
    _check_steps(config.transform, found)
    check_rows(adata, check_orientation(config, found), found, extra=extra_obs)
    if adata.n_vars:
        check_genes(config.genes, np.array(adata.var_names, dtype=str), base, found)


def check_rows(adata: AnnData, config: DataConfig, found: Findings, *, extra: Iterable[str]) -> None:
    """Note what is wrong with the description of rows and features: columns, times, coordinates, and the split."""
    frame, extra = described(row_frame(adata, config), adata, extra)
    check_columns(frame, named_columns(of_rows(config)), found, extra=extra, part=row_axis(config))
    check_columns(adata.obs, named_columns(of_features(config)), found)
    if config.time in adata.obs:
        check_time(adata.obs[config.time], found)
    if config.spatial is not None:
        check_coordinates(adata, config.spatial, found)
    if config.split.tiles is not None and config.spatial is None:
        found.setting("E430", "data.split.tiles cuts tiles by coordinates", "set data.spatial: KEY of obsm")
    check_split(frame, config.split, found, part=row_axis(config))


def check_new(adata: AnnData, config: DataConfig, found: Findings, *, allow_negative: bool) -> Matrix | None:
    """Note what keeps new rows from being read as the training rows were: names and values only."""
    check_names(adata.obs_names, "obs_names", found)
    check_names(adata.var_names, "var_names", found)
    if not check_size(adata, found):
        return None
    allowed = allow_negative and not config.transform
    gaps = config.view.get("missing") == "mask"  # only a view that can do without them has such a setting
    x_ng = read_values(adata, config.layer, found, allow_negative=allowed, allow_missing=gaps)
    if gaps and "normalize" in config.transform:
        found.setting("E433", "data.transform: normalize adds up samples whose values may be missing", "leave it out")
    if x_ng is not None:
        check_zero_rows(Named.of(adata.obs_names, zero_rows(x_ng)), config, found)
    return x_ng


def _check_steps(steps: list[str], found: Findings) -> None:
    logs = [step for step in steps if step != "normalize"]
    if len(logs) > 1 or len(steps) > len(set(steps)) or (logs and steps[-1] == "normalize"):
        fix = "normalize comes first and once, then at most one logarithm"
        found.setting("E433", f"data.transform: [{', '.join(steps)}] makes no sense", fix)


def check_size(adata: AnnData, found: Findings) -> bool:
    """Note a set without rows or genes (E414); return whether it has both."""
    for size, noun in ((adata.n_obs, "rows"), (adata.n_vars, "genes")):
        if size == 0:
            found.content("E414", "X", f"has no {noun} ({adata.n_obs} x {adata.n_vars})")
    return bool(adata.n_obs and adata.n_vars)


def check_names(names: Iterable[str], part: str, found: Findings) -> None:
    """Note names that are used more than once, blank or broken (E416)."""
    seen = Counter(map(str, names))
    twice = [name for name, times in seen.items() if times > 1]
    if twice:
        fix = f"adata.{part}_make_unique() if they are different"
        found.content("E416", part, f"{counted(len(twice), 'name')} used more than once: {shown(twice)}", fix)
    bad = [name for name in seen if not name.strip() or "\0" in name]
    if bad:
        found.content("E416", part, f"{counted(len(bad), 'name')} blank or with a NUL character: {shown(bad)}")


def zero_rows(x_ng: Matrix) -> np.ndarray:
    """Return which rows have no values other than zero (n,), bool."""
    return row_totals(np.abs(x_ng) if isinstance(x_ng, np.ndarray) else abs(x_ng)) == 0


def check_zero_rows(rows: Named, config: DataConfig, found: Findings) -> None:
    """Note rows of zeros: they cannot be brought to a total (E415); without `normalize` they are only odd."""
    if not rows.total:
        return
    what = f"{counted(rows.total, 'row')} of zeros only: {shown(rows.first)}"
    if "normalize" in config.transform:
        found.content("E415", "X", what, "sc.pp.filter_cells(adata, min_counts=1), or leave normalize out")
    else:
        found.warn(what)


def check_split(frame: pd.DataFrame, config: Split, found: Findings, *, part: str = "obs") -> None:
    """Note a split that leaves a part without rows (E430), and classes of one row (E423); a row of `frame` each."""
    share = shares(config)
    wanted = [part for part, part_share in share.items() if part_share > 0]
    if share["train"] <= 0:
        what = f"data.split: val {config.val:g} and test {config.test:g} leave no rows to train on"
        found.setting("E430", what, "their sum must be below 1")
        return
    if config.group is not None and config.group == config.stratify:
        found.setting("E430", f"data.split: group and stratify are both '{config.group}'", "leave one out")
        return
    if config.group in frame and config.tiles is None:
        n_groups = len(np.unique(as_text(frame[config.group])))
        if n_groups < len(wanted):
            what = f"data.split.group: {counted(n_groups, 'group')} in '{config.group}' for {len(wanted)} parts"
            found.setting("E430", what, "set split.test to 0 or choose another column")
    elif len(frame):
        _check_sizes(len(frame), config, wanted, found)
    if config.stratify in frame:
        times = Counter(as_text(frame[config.stratify]).tolist())
        alone = [name for name, n in times.items() if n < 2 and name]
        if alone:
            what = f"{counted(len(alone), 'class')} with one row only: {shown(alone)}"
            found.content("E423", f"{part}/{config.stratify}", what, "merge or drop them, or leave split.stratify out")


def _check_sizes(n_obs: int, config: Split, wanted: list[str], found: Findings) -> None:
    size = sizes(n_obs, config)
    empty = [part for part in wanted if size[part] < (2 if part == "train" else 1)]
    if empty:
        what = f"data.split: {counted(n_obs, 'row')} give " + ", ".join(f"{part} {size[part]}" for part in wanted)
        found.setting("E430", what, "raise the shares or bring more rows")


def remark(adata: AnnData, config: DataConfig, found: Findings, *, most: float, whole: bool, constant: Named) -> None:
    """Warn of what is allowed and often a mistake: `most` is the largest value, `constant` are genes of one value."""
    if config.transform and most < LOGGED_BELOW and not whole:
        steps = ", ".join(config.transform)
        found.warn(f"values look already logged (largest {most:.3g}, not whole numbers), and transform is [{steps}]")
    if whole and most > EXACT_BELOW:
        found.warn(f"counts up to {most:.0f} are rounded: float32 is exact to {EXACT_BELOW:.0f}")
    if constant.total:
        found.warn(f"{counted(constant.total, 'gene')} constant: {shown(constant.first)}")
    dates = [name for name in adata.var_names if DATE.match(name)]
    if dates:
        found.warn(f"{counted(len(dates), 'gene name')} turned into dates by a spreadsheet: {shown(dates)}")
    frame = row_frame(adata, config)
    if config.label in frame:
        times = Counter(as_text(frame[config.label]).tolist())
        if len(times) < 2:
            found.warn(f"label '{config.label}' has one class only")
        elif len(times) > len(frame) / 2:
            found.warn(f"label '{config.label}' has {len(times)} classes for {len(frame)} rows: is it a number?")


def _reduced(row: object) -> np.ndarray:
    return np.asarray(row.todense() if hasattr(row, "todense") else row).ravel()
