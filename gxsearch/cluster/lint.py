"""Lint: everything that is wrong with a cluster file, found without starting or importing Ray."""

from __future__ import annotations

from gxsearch.cluster import anywhere, autoscaler, kuberay, slurm
from gxsearch.cluster.findings import Findings
from gxsearch.cluster.sheet import Sheet, read_sheet
from gxsearch.errors import Fault, SpecError


def lint(file: str) -> tuple[str, list[Fault]]:
    """Return the kind of a cluster file and what is wrong with it, in the order of lines.

    Codes E38x are of its shape and its costs, E83x of its safety; E30x of a file that cannot be read.
    """
    try:
        sheet = read_sheet(file)
    except SpecError as error:
        return "", list(error.faults)
    return sheet.kind, check(sheet)


def check(sheet: Sheet) -> list[Fault]:
    """Return what is wrong with a file that could be read."""
    found = Findings()
    for doc in sheet.documents:
        for fault in doc.faults:
            found.add(fault.code, fault.where, fault.what, fault.fix)
    anywhere.check(sheet, found)
    kind = sheet.kind.split()[0]
    rules = {"ray": autoscaler.check, "kubernetes": kuberay.check, "slurm": slurm.check}
    if kind in rules:
        rules[kind](sheet, found)
    return found.sorted()
