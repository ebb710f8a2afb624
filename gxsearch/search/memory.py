"""Memory: a search whose data cannot fit into this machine's memory is told so before it takes it all."""

from __future__ import annotations

import os
from pathlib import Path

from gxsearch.data.cache import MappedCSR
from gxsearch.data.table import Table
from gxsearch.errors import ResourceError

_PROCESS_BYTES = 400 * 2**20
"""Of a process that has imported torch and Ray, beside its data."""
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(table: Table, slots: int) -> None:
    """Refuse to begin where the data alone, as often as a search has them in memory, are more than the machine has.

    That is once in the process that reads them, once in the store that its trials share, and once in each of the
    `slots` trials that run here at once, in the form that its model reads. Models and activations come on top, so
    that what passes may still not fit. With no slots here (a cluster elsewhere) only the first counts.

    Raises:
        ResourceError: E509, saying how large the data are, and how much is needed and there.
    """
    size, have = _bytes(table), total()
    need = (2 + slots if slots else 1) * size + (1 + slots) * _PROCESS_BYTES
    if need > have:
        data = f"{table.n_obs:,} rows x {table.n_vars:,} genes are {size / 2**30:.1f} GiB in memory"
        what = f"{data}, {slots} trials at once need {need / 2**30:.1f} GiB, and there are {have / 2**30:.1f} GiB"
        fix = "set resources.concurrent lower" if slots > 1 else "keep fewer genes with data.genes.top_variable"
        raise ResourceError.one("E509", table.facts.get("source", "data"), what, f"{fix}, or use a larger machine")


def side_by_side(table: Table, peak: int) -> int:
    """Return how many trials fit into this machine's memory, each of which takes `peak` bytes above its data.

    The data are there once in the process that reads them and once in the store that trials share; the form in which
    a model reads them is part of the peak.
    """
    left = total() - 2 * _bytes(table) - _PROCESS_BYTES
    return max(0, left // (_PROCESS_BYTES + peak))


def total() -> int:
    """Return the bytes of memory that processes here may have: the machine's, or its container's."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = [Path(place).read_text().strip() for place in _LIMITS if Path(place).is_file()]
    return min([have, *(int(text) for text in said if text.isdecimal())])


def _bytes(table: Table) -> int:
    x_ng = table.x_ng
    if isinstance(x_ng, MappedCSR):  # files, which the system reads as they are needed
        return 0
    arrays = (x_ng,) if hasattr(x_ng, "nbytes") else (x_ng.data, x_ng.indices, x_ng.indptr)
    return sum(array.nbytes for array in arrays)
