"""Packing: how many trials share a GPU under `gpus: auto`: as many of the largest as fit into its memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from gxsearch.data.remote import is_uri
from gxsearch.data.table import Table
from gxsearch.errors import ResourceError
from gxsearch.search.corners import chosen
from gxsearch.search.intake import dims
from gxsearch.search.launch import LOCAL, local_resources, slots
from gxsearch.search.measuring import Finding, findings
from gxsearch.search.memory import check_memory
from gxsearch.search.sections import Resources
from gxsearch.search.spec import Spec

CONTEXT = 512 * 2**20
"""Bytes that CUDA itself takes of a card for each process, beside what PyTorch tells of."""
MARGIN = 0.1
"""Share of a card that is left free: what libraries take at their first call, and memory in pieces too small."""
MOST = 64
"""Trials on one card; more gain nothing, and Ray counts shares in ten thousandths."""


def on_a_card(peak: int, card: int) -> int:
    """Return how many trials, of which each holds `peak` bytes at most, fit into a card of so many bytes."""
    return int(card * (1 - MARGIN)) // (peak + CONTEXT)


def share(peak: int, card: int, at_once: int, cards: int) -> float:
    """Return the GPUs that each trial gets: 1/n, so that n of them fit into a card.

    n is no more than it takes for the `at_once` trials that there are CPUs for to run on all `cards`, and at least 1:
    a trial too large for a card works on its batches in parts.
    """
    n = max(1, min(on_a_card(peak, card), math.ceil(at_once / cards), MOST))
    return math.floor(10_000 / n) / 10_000


def with_gpus(spec: Spec, gpus: float) -> Spec:
    """Return the spec with so many GPUs for each worker."""
    return dataclasses.replace(spec, resources=spec.resources.model_copy(update={"gpus": gpus}))


def check_address(resources: Resources, address: str, runs: str | Path = "") -> None:
    """Refuse what machines elsewhere cannot do: have `gpus: auto` measured here, or share the files of a bucket's copy.

    Raises:
        ResourceError: E514, E515 where a TorchTrainer's workers would tell their epochs in the copy of `runs`.
    """
    if resources.backend == "trainer" and address != LOCAL and is_uri(str(runs)):
        what = f"trainer needs a disk that all nodes of {address} share, and runs are kept at {runs}"
        raise ResourceError.one("E515", "resources.backend", what, "set resources.backend: actors, or --out FOLDER")
    if resources.gpus == "auto" and address != LOCAL:
        what = f"auto measures the GPU of this machine, and the trials run at {address}"
        raise ResourceError.one("E514", "resources.gpus", what, "give a number: 1, or 0.5 for two trials a GPU")


def settled(spec: Spec, table: Table, say: Callable[[str], None]) -> Resources:
    """Return the resources of a search on this machine with a number of GPUs; unchanged where they have one.

    `gpus: auto` becomes 0 without a GPU, a whole one where several workers train a trial, else the share by which the
    largest corner of the space fits as often as there are CPUs for; that is measured, in a process of its own.

    Raises:
        ResourceError: E501, E502, E509 as for any search.
    """
    if spec.resources.gpus != "auto":
        return spec.resources
    found, why = _found(spec, table)
    say(f"resources.gpus: auto is {found:g} here: {why}")
    resources = with_gpus(spec, found).resources
    check_memory(table, _at_once(resources, *local_resources()))
    return resources


def _found(spec: Spec, table: Table) -> tuple[float, str]:
    """Return the GPUs per worker, and why so many."""
    cpus, cards = local_resources()
    if not cards:
        return 0.0, "this machine has no GPU, so trials run on its CPUs"
    if spec.resources.workers > 1:
        return 1.0, f"{spec.resources.workers} workers train each trial, and do not share GPUs"
    largest = chosen(spec, dims(spec, table))[0][0]
    (told,) = findings(with_gpus(spec, 1.0), [largest.params], device="cuda")
    if told.state != "measured":
        return 1.0, f"the largest corner of the space ({largest.name}) could not be measured: {told.why or told.state}"
    at_once = _at_once(with_gpus(spec, 0.0).resources, cpus, 0)
    return share(told.card, told.card_total, at_once, cards), _why(told, at_once)


def _at_once(resources: Resources, cpus: float, cards: float) -> int:
    """Return how many trials fit side by side, and no more than are asked for: of a resumed search fewer may fit."""
    fit = slots(resources.model_copy(update={"concurrent": "auto"}), cpus, cards)
    return fit if resources.concurrent == "auto" else min(fit, resources.concurrent)


def _why(told: Finding, at_once: int) -> str:
    peak, card = (told.card + CONTEXT) / 2**30, told.card_total / 2**30
    fit = on_a_card(told.card, told.card_total)
    return f"the largest trial takes {peak:.1f} of {card:.1f} GiB, so {fit} fit, and there are CPUs for {at_once}"
