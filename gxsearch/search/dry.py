"""Dry: what a search would take, from a few steps of some of its draws; nothing is searched and nothing kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.errors import Fault, GxError, ResourceError, SpecError
from gxsearch.search import memory
from gxsearch.search.corners import Point, chosen, drawn
from gxsearch.search.launch import local_resources, slots
from gxsearch.search.measuring import WITHIN_S, Finding, findings
from gxsearch.search.packing import on_a_card, share, with_gpus
from gxsearch.search.spec import Spec


@dataclass(frozen=True)
class Wish:
    """How a search is measured: seconds for each draw, and the price of an hour of this machine, if that is known."""

    within: float = WITHIN_S
    price: float | None = None


def dry_run(
    spec: Spec, table: Table, sizes: Dims, wish: Wish, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Measure the corners of a space that matter and some draws at random, and estimate the whole search from those.

    Returns JSON values: device, threads, corners (how many there are), points (a dict for each that was measured, as
    `_row` says), fits (how many trials side by side, by cpus, gpus and memory), and what `estimate` gives; this is
    None where no draw could be measured.

    Raises:
        ResourceError: E501 to E503 when not even one trial fits, E513 when the system runs out of memory.
    """
    cpus, cards = local_resources()
    auto = spec.resources.gpus == "auto"
    device = "cuda" if spec.resources.gpus and (cards or not auto) else "cpu"
    if auto:  # a card for each, until it is known how many fit into one
        spec = with_gpus(spec, 1.0 if cards else 0.0)
    slots(spec.resources, cpus, cards)
    corners, n_corners = chosen(spec, sizes)
    points, rows = [*corners, *drawn(spec, sizes)], []
    for point, found in zip(points, _measured(spec, points, device, wish), strict=True):
        rows.append(_row(spec, point, found))
        state = "" if found.state == "measured" else f": {found.state}"
        say(f"measured {len(rows)} of {len(points)}: {point.name or 'a draw at random'}{state}")
    if auto and cards:
        largest = max(rows, key=lambda row: row["card"])
        at_once = slots(with_gpus(spec, 0.0).resources, cpus, 0)
        spec = with_gpus(spec, share(largest["card"], largest["card_total"], at_once, cards))
    fits = _fits(spec, rows, memory.side_by_side(table, max(row["memory"] for row in rows)))
    told = {"device": device, "threads": max(1, int(spec.resources.cpus)), "corners": n_corners, "points": rows}
    told |= {"memory_total": memory.total(), "gpus": spec.resources.gpus, "fits": fits}
    random_s = [row["trial_s"] for row in rows if not row["name"] and row["trial_s"] is not None]
    return told | {"estimate": estimate(spec, random_s, fits["side_by_side"], wish.price) if random_s else None}


def _measured(spec: Spec, points: list[Point], device: str, wish: Wish) -> Iterator[Finding]:
    return findings(spec, [point.params for point in points], device=device, within=wish.within)


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.partition('.')[2]}={value}" for name, value in params.items())


def _row(spec: Spec, point: Point, found: Finding) -> dict[str, Any]:
    """Return what was found of a draw, with its name, its settings in words, and the seconds of its whole training."""
    values = dataclasses.asdict(found)
    if not found.parameters and math.isfinite(point.weights):
        values["parameters"] = int(point.weights)
    measured = found.state == "measured"
    trial_s = found.start_s + spec.budget.epochs * found.epoch_s if measured else None
    return {"name": point.name, "params": point.params, **values, "trial_s": trial_s}


def _fits(spec: Spec, rows: list[dict[str, Any]], by_memory: int) -> dict[str, Any]:
    """Return how many trials fit side by side: by CPUs, by GPUs and by memory, of the machine and of its cards."""
    cpus, cards = local_resources()
    asked = spec.resources.model_copy(update={"concurrent": "auto"})
    fits = {"cpus": slots(asked.model_copy(update={"gpus": 0.0}), cpus, 0), "memory": by_memory}
    if asked.gpus:
        fits["gpus"] = slots(asked, cpus, cards)
        largest = max(rows, key=lambda row: row["card"])
        fits["card"] = on_a_card(largest["card"], largest["card_total"])
    begun = slots(spec.resources, cpus, cards)
    return fits | {"begun": begun, "side_by_side": max(1, min(begun, by_memory))}


def estimate(spec: Spec, trial_s: Sequence[float], side: int, price: float | None) -> dict[str, Any]:
    """Return what a search takes whose trials take `trial_s` seconds on average, `side` of them side by side.

    No trial is stopped early in it, so it is the most that is to be expected of draws at random.

    Returns:
        trial_s (mean, least and most), trials (of the search, and as many again as `confirm` trains; where only time
        limits the search, those that there is time for), trial_hours, gpu_hours, wall_s; cut (trials that
        `budget.time` lets end, None where it lets all), and price, of as many hours of machines such as this one.
    """
    mean, budget, asked = fmean(trial_s), spec.budget, spec.resources
    in_time = math.inf if budget.time_s is None else int(budget.time_s * side / mean)
    again = spec.confirm.top * spec.confirm.seeds * spec.confirm.splits
    trials = in_time if budget.trials is None else budget.trials
    hours = (trials + again) * mean / 3600
    machine_hours = hours / min(side, max(1, trials))
    return {
        "trial_s": [mean, min(trial_s), max(trial_s)],
        "trials": [trials, again],
        "trial_hours": hours,
        "gpu_hours": hours * asked.workers * asked.gpus,
        "wall_s": 3600 * machine_hours,
        "cut": in_time if in_time < trials else None,
        "price": None if price is None else price * machine_hours,
    }


def fault(told: Mapping[str, Any], where: str) -> GxError | None:
    """Return the error of what a dry run found: corners that fail first, then those that do not fit; None if none."""
    faults = {"raised": [], "too large": []}
    for row in told["points"]:
        if row["state"] in faults:
            faults[row["state"]].append(_fault(row, told, where))
    if faults["raised"]:
        return SpecError([*faults["raised"], *faults["too large"]])
    return ResourceError(faults["too large"]) if faults["too large"] else None


def _fault(row: dict[str, Any], told: Mapping[str, Any], where: str) -> Fault:
    named = f"the corner {row['name']}" if row["name"] else f"the draw {_settings(row['params'])}"
    if row["state"] == "raised":
        return Fault("E332", where, f"{named} fails: {row['why']}", "narrow the space, or mend the model")
    have = f" into {row['room'] / 2**30:.1f} GiB of memory" if row["room"] else ""
    held = f", {row['parameters']:,} weights," if row["parameters"] else ""
    what = f"{named}{held} does not fit" + (have if told["device"] == "cpu" else " the GPU")
    return Fault("E513", where, what, "narrow the space, lower train.batch_size, or use a larger machine")
