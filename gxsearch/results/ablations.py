"""Ablations: what a change of the best settings did, over the same seeds; told in words."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from gxsearch.errors import RunError
from gxsearch.results.run_dir import RunDir


def past(run: RunDir) -> list[dict[str, Any]]:
    """Return the ablations of a run so far, as `search.ablate` describes them.

    Raises:
        RunError: when the file cannot be read.
    """
    if not run.ablations.exists():
        return []
    try:
        return json.loads(run.ablations.read_text())
    except (OSError, ValueError) as error:
        raise RunError.one("E631", str(run.ablations), f"cannot be read ({error})") from None


def heading(told: dict[str, Any]) -> str:
    """Say what was changed, and over how many seeds."""
    seeds = f"{told['seeds']} seeds" if told["seeds"] > 1 else "one seed, which says little"
    return f"trial {told['trial']} with {', '.join(told['changes'])}, over {seeds}"


def sentence(name: str, row: dict[str, Any]) -> str:
    """Say in a line what a change does to a measure."""
    low, high = row["interval"] or (-math.inf, math.inf)
    told = f"{name} {np.mean(row['as found']):.4g} -> {np.mean(row['changed']):.4g}"
    if low <= 0 <= high:
        return f"{told}: cannot be told apart"
    better = (row["difference"] > 0) == (row["mode"] == "max")
    return f"{told}: {'better' if better else 'worse'} ({row['difference']:+.3g}, 95 % {low:+.3g} to {high:+.3g})"
