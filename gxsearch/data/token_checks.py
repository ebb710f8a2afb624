"""What keeps a table from being read as tokens, all faults at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gxsearch.data.table import Table
from gxsearch.data.token_phenotypes import Phenotype
from gxsearch.data.values import number_blocks
from gxsearch.errors import Fault


class TellsPhenotypes(Protocol):
    """Settings of a view that say what phenotypes there are, and how values are divided."""

    binning: str
    low: float
    high: float
    n_bins: int
    phenotypes: list[str]
    phenotype_bins: int
    unspecified: list[str]


def table_faults(table: Table, config: TellsPhenotypes, *, fitting: bool = True) -> list[Fault]:
    """Return why values are no tokens (E486), settings contradict each other (E489), rows are too few (E430)."""
    source, faults = table.facts.get("source", "table"), []
    least = min((float(block.min()) for block in number_blocks(table.x_ng) if block.size), default=0.0)
    if table.facts.get("orientation") == "genes":
        faults.append(Fault("E486", "data.orientation", "tokens are read by samples, not by genes", "leave it out"))
    if not least >= 0:  # NaN too
        what = f"tokens need values of 0 or more, and the smallest is {least:.6g}"
        faults.append(Fault("E486", source, what, "give counts or their logarithms, not z-scores or log ratios"))
    if not fitting:
        return faults
    sizes = len(table.rows("train")), len(table.rows("val"))
    if sizes[0] < 2:
        faults.append(Fault("E430", "data", f"{sizes[0]} training rows; 2 or more are needed"))
    if sizes[1] < 1:
        faults.append(Fault("E430", "data.split.val", "no rows to validate on", "raise the share, or give more rows"))
    if config.binning == "uniform" and config.n_bins > 2 and config.low >= config.high:
        what = f"low {config.low:g} is not below high {config.high:g}"
        faults.append(Fault("E489", "data.view.low", what, "set low to the least value that is expressed"))
    twice = sorted({name for name in config.phenotypes if config.phenotypes.count(name) > 1})
    if twice:
        faults.append(Fault("E489", "data.view.phenotypes", f"'{twice[0]}' is named more than once"))
    return faults


def token_faults(times_gb: np.ndarray, config: TellsPhenotypes) -> list[Fault]:
    """Return why the bins tell nothing: all values of training rows are in one (E487)."""
    times_b = times_gb.sum(0)
    if np.count_nonzero(times_b) > 1:
        return []
    if times_b[0]:
        what, fix = (
            "no value of the training rows is expressed",
            "lower data.view.threshold or low, or see data.transform",
        )
    else:
        what, fix = f"all values of the training rows are in bin {times_b.argmax()}", "choose another binning or edges"
    return [Fault("E487", f"data.view.binning: {config.binning}", what, fix)]


def vocabulary(table: Table, config: TellsPhenotypes, given: list[Phenotype], faults: list[Fault]) -> list[Phenotype]:
    """Return the phenotypes `given`, then those that the settings name besides, learnt from training rows.

    Noted in `faults`: E488 a phenotype that tells nothing; E492 a category that one that is given has not.
    """
    train, found = table.rows("train"), {phenotype.name: phenotype for phenotype in given}
    for name in dict.fromkeys(config.phenotypes):
        values = table.obs[name][train]
        if name not in found:
            found[name] = Phenotype.fit(name, values, config.phenotype_bins, config.unspecified)
            faults += _idle(found[name], len(train))
        elif unseen := found[name].unseen(values, config.unspecified):
            what = f"{unseen} training rows have categories of '{name}' that the pretrained model does not know"
            fix = "rename them, or name them in data.view.unspecified"
            faults.append(Fault("E492", "data.view.phenotypes", what, fix))
    return list(found.values())


def _idle(phenotype: Phenotype, rows: int) -> list[Fault]:
    n, where = len(phenotype.categories), "data.view.phenotypes"
    if n < 2:
        what = f"training rows have {n} categories of '{phenotype.name}', which tells nothing"
        return [Fault("E488", where, what, "leave it out")]
    if n > max(2, rows // 2):
        what = f"training rows have {n} categories of '{phenotype.name}', and there are {rows} rows"
        return [Fault("E488", where, what, "leave it out: it tells rows apart, not kinds of rows")]
    return []
