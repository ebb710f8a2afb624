"""Roles: what each column of a data set probably is, told by its name and by its values; label, donor, batch, time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gxsearch.errors import DataError, did_you_mean

LABELS = (
    r"cell_?(sub)?_?types?\b|celltypes?|cell_?class|cell_?ontology|annotation|predicted",
    r"tissue(?!_id)|cancer|organ\b|region|tumou?r_type|histology|bulk_labels|^labels?$|subtype|domain|cortical_layer",
    r"cluster|louvain|leiden|lineage|\bident(ity)?\b",
    r"disease|condition|treatment|genotype|strain|^group$|class\b|_type\b|^type$|stage|state|timepoint",
    r"\bsex\b|gender|phase|age_?(bin|group)",
)
GROUPS = (
    r"donor|patient|individual|subject|participant|person|\bcase(_id)?\b",
    r"animal|\bmouse(_id)?\b|\brat(_id)?\b|embryo|specimen|biopsy",
    r"^samples?$|sample_?(id|name)|orig_ident|replicate",
)
BATCHES = (
    r"batch",
    r"chemistry|platform|technology|\btech\b|assay|protocol|dataset|study|experiment",
    r"plate|\blane\b|seq(uencing)?_?run|^run$|library_?(id|prep)|\bpool\b|^(site|center|centre)$",
)
TIMES = (r"pseudo_?time|latent_time", r"^time\b|^t$|hours?\b|\bhpf\b|\bh(rs)?$", r"days?\b|weeks?\b|minutes?\b")
SECTIONS = (r"section|slice|slide|\bfov\b|puck|capture_area", r"library_?id|sample|image")
TOTALS = (r"library_?size|n_?counts?|total_?counts?|n_?umis?|ncount",)
PHENOTYPES = (*LABELS[:2], r"\bsex\b|gender", r"\bage", r"disease|condition|treatment|genotype|strain", r"phase|stage")
NOT_LABELS = r"_id$|^id$|barcode|accession|prob|score|plate|index"

LEAST_GROUPS, MOST_CLASSES, MOST_BATCHES = 5, 60, 30
FIT_TO_STRATIFY = 8
"""Rows of the smallest class: fewer leave parts without any of them."""


@dataclass(frozen=True)
class Column:
    """One column: how many different values it has, the rows of the rarest, gaps, and whether they are categories."""

    name: str
    number: bool
    classes: int
    least: int
    gaps: int
    categories: bool

    @classmethod
    def of(cls, values: pd.Series) -> Column:
        """Look at a column."""
        plain = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
        code_n, found = pd.factorize(plain)
        gap_n = (code_n < 0) | np.isin(code_n, [i for i, value in enumerate(found) if str(value).strip() == ""])
        times = np.bincount(code_n[~gap_n]) if (~gap_n).any() else np.zeros(0, int)
        times = times[times > 0]
        number = values.dtype.kind in "iuf"
        whole = number and bool((values.dropna() % 1 == 0).all())
        least = int(times.min()) if len(times) else 0
        categories = (not number or (whole and len(times) <= 20)) and len(times) <= max(2, len(values) / 2)
        return cls(str(values.name), number, len(times), least, int(gap_n.sum()), categories)


@dataclass
class Roles:
    """Which column is what; None or nothing where there is none. `told` says why, by the option that changes it.

    `stratify`: whether every class of the label is large enough to keep its share in all parts.
    `genes_label`: a column of var that sorts the genes. `phenotypes`: what else is known of rows, as categories.
    """

    label: str | None = None
    stratify: bool = False
    group: str | None = None
    batch: list[str] = field(default_factory=list)
    time: str | None = None
    section: str | None = None
    total: str | None = None
    genes_label: str | None = None
    phenotypes: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """The columns that somebody names; they are taken as they are."""

    label: str | None = None
    group: str | None = None
    batch: Sequence[str] = ()
    time: str | None = None


def roles(obs: pd.DataFrame, var: pd.DataFrame, wish: Wish, total_n: np.ndarray | None = None) -> Roles:
    """Return what the columns of obs and var are; `total_n` are the sums of all rows (n,), where they are known.

    Raises:
        DataError: E421 a column that somebody names and the data lack; E463 one whose name cannot be written.
    """
    _check_wish(obs, var, wish)
    found = Roles(columns={str(name): Column.of(obs[name]) for name in obs if _can_be_written(str(name))})
    fine = {name: column for name, column in found.columns.items() if not column.gaps}
    of_genes = wish.label if wish.label in var and wish.label not in obs else None
    _label(found, fine, dataclasses.replace(wish, label=None) if of_genes else wish)
    _group(found, fine, wish, obs)
    _batch(found, fine, wish, obs)
    _time(found, fine, wish)
    sections = [name for name, column in fine.items() if column.categories or column.classes == 1]
    found.section = _first(sections, SECTIONS)
    found.total = _total(obs, fine, total_n)
    genes = {str(name): Column.of(var[name]) for name in var if _can_be_written(str(name))}
    sorting = [n for n, c in genes.items() if c.categories and not c.number and 2 <= c.classes <= 50 and not c.gaps]
    found.genes_label = of_genes or next(iter(sorting), None)
    kept = [n for n, c in found.columns.items() if c.categories and 2 <= c.classes <= 50 and c.least > 1]
    named = [next((n for n in kept if _fits(n, pattern)), None) for pattern in PHENOTYPES]
    told = [found.label if found.label in kept else None, *named]
    found.phenotypes = list(dict.fromkeys(name for name in told if name and name != found.group))[:5]
    return found


def _can_be_written(name: str) -> bool:
    """Tell whether a spec can name a column: not with ``${``, which stands for a variable, nor blank."""
    return bool(name.strip()) and "${" not in name and name.isprintable()


def _check_wish(obs: pd.DataFrame, var: pd.DataFrame, wish: Wish) -> None:
    named = {"--label": [wish.label], "--group": [wish.group], "--batch": list(wish.batch), "--time": [wish.time]}
    for option, names in named.items():
        for name in (name for name in names if name is not None):
            if name not in obs and not (option == "--label" and name in var):
                hint = did_you_mean(name, map(str, obs.columns)) if len(obs.columns) else "obs has no columns"
                raise DataError.one("E421", option, f"obs has no column '{name}'", hint)
            if not _can_be_written(name):
                what = f"the column '{name}' has a name that a spec cannot hold"
                raise DataError.one("E463", option, what, "rename it, without ${ and control characters")


def _fits(name: str, pattern: str) -> bool:
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")
    return re.search(pattern.replace(r"\b", "(?:(?<![a-z0-9])|(?![a-z0-9]))"), plain) is not None


def _first(names: Sequence[str], patterns: Sequence[str]) -> str | None:
    return next((name for pattern in patterns for name in names if _fits(name, pattern)), None)


def _label(found: Roles, fine: dict[str, Column], wish: Wish) -> None:
    taken = {wish.group, *wish.batch, wish.time}
    kinds = [
        name
        for name, c in fine.items()
        if c.categories and 2 <= c.classes <= MOST_CLASSES and name not in taken and not _fits(name, NOT_LABELS)
    ]
    kinds = [name for name in kinds if _first([name], LABELS[:4]) or not found.columns[name].number]
    others = [name for name in kinds if not _first([name], (*GROUPS, *BATCHES, *TIMES, *SECTIONS[:1], *LABELS))]
    found.label = wish.label or _first(kinds, LABELS) or next(iter(others), None)
    gaps = [name for name, c in found.columns.items() if c.gaps and c.categories and _first([name], LABELS[:3])]
    missed = (
        f"; '{gaps[0]}' has {found.columns[gaps[0]].gaps:,} rows without a value" if gaps and not wish.label else ""
    )
    if found.label is None:
        found.told["label"] = f"none: no obs column sorts the rows into 2 to 60 classes without gaps{missed}"
        return
    column = found.columns.get(found.label) or Column(found.label, False, 0, 0, 0, False)
    by = "as asked for" if wish.label else "by its name and values" if _first([found.label], LABELS) else "by values"
    found.stratify = column.classes >= 2 and column.least >= FIT_TO_STRATIFY and not column.gaps
    found.told["label"] = f"{found.label}: {column.classes} classes of {column.least} rows or more, {by}"
    more = [name for name in kinds if name != found.label and _first([name], LABELS)]
    found.told["label"] += f"; also possible: {', '.join(more[:5])}" if more else ""
    found.told["label"] += missed
    if not found.stratify:
        found.told["label"] += f"; a class of {column.least} rows is too small for every part to get its share of it"


def _group(found: Roles, fine: dict[str, Column], wish: Wish, obs: pd.DataFrame) -> None:
    n = len(obs)
    able = [name for name, c in fine.items() if name not in (found.label, wish.time) and 2 <= c.classes <= n / 2]
    name = wish.group or _first([n for n in able if found.columns[n].classes >= LEAST_GROUPS], GROUPS)
    found.group = name
    if name is not None:
        k = found.columns[name].classes
        rows = f"{n / max(1, k):,.{int(n < 10 * k)}f}"
        by = "as asked for" if wish.group else "by its name"
        found.told["group"] = f"{name}: {k} with {rows} rows each on average, {by}"
        more = [other for other in able if other != name and _first([other], GROUPS)]
        found.told["group"] += f"; also possible: {', '.join(more)}" if more else ""
    elif few := _first(able, GROUPS):
        k = found.columns[few].classes
        found.told["group"] = f"none: '{few}' has {k} groups only, of which one part would get a large share"
    else:
        found.told["group"] = "none: no obs column names donors, patients or samples of several rows each"


def _batch(found: Roles, fine: dict[str, Column], wish: Wish, obs: pd.DataFrame) -> None:
    found.batch = list(wish.batch)
    if wish.batch:
        found.told["batch"] = f"{', '.join(wish.batch)}: as asked for"
        return
    able = [
        name
        for name, c in fine.items()
        if (c.categories or c.number) and 2 <= c.classes <= MOST_BATCHES and c.least > 1
    ]
    name = _first([name for name in able if name not in (found.label, found.group)], BATCHES)
    if name is None:
        found.told["batch"] = "none: no obs column names batches, chemistries, plates or runs"
        return
    for other, both in ((found.label, False), (found.group, True)):
        if other is not None and _are_one(obs, name, other, both=both):
            found.told["batch"] = (
                f"none: '{name}' cannot be told from '{other}', so that taking it away would take both"
            )
            return
    found.batch = [name]
    found.told["batch"] = f"{name}: {found.columns[name].classes} batches, by its name"


def _are_one(obs: pd.DataFrame, batch: str, other: str, *, both: bool) -> bool:
    """Tell whether all rows of one batch are alike in `other`, or those of one value of `other` in their batch.

    With `both` only where both are so: batches of several donors each are no fault.
    """
    pairs = len(obs[[batch, other]].drop_duplicates())
    same = [pairs == obs[column].nunique() for column in (batch, other)]
    return all(same) if both else any(same)


def _time(found: Roles, fine: dict[str, Column], wish: Wish) -> None:
    numbers = [name for name, c in fine.items() if c.number and c.classes >= 3]
    found.time = wish.time or _first(numbers, TIMES)
    if found.time is None:
        found.told["time"] = "none: no obs column of numbers is named as a time"
        return
    by = "as asked for" if wish.time else "by its name"
    found.told["time"] = f"{found.time}: {found.columns[found.time].classes} times, {by}"


def _total(obs: pd.DataFrame, fine: dict[str, Column], total_n: np.ndarray | None) -> str | None:
    """Return the column of totals over all genes, where rows add up to less: the file has some of the genes only."""
    for name in fine:
        if total_n is None or not fine[name].number or not _first([name], TOTALS):
            continue
        told_n = obs[name].to_numpy(np.float64)
        if np.isfinite(told_n).all() and (told_n >= total_n).all() and np.median(told_n - total_n) > 1:
            return name
    return None
