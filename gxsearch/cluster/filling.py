"""Filling in: what a cluster file leaves open, from the environment and the command line."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from gxsearch.cluster.sheet import PLACEHOLDER
from gxsearch.errors import Fault

_HARMLESS = re.compile(r"[\w./:@%+~,=-]{1,300}")
"""What a value may be made of: nothing that YAML or a shell reads as more than a word."""
_WORLD = {4: 8, 6: 16}


def fill(text: str, values: Mapping[str, str], file: str, *, above: int = 0) -> tuple[str, list[Fault]]:
    """Return a text with its ``${GXSEARCH_NAME}`` filled in, and what is wrong with the values.

    Args:
        values: by name. file: the name of the file in messages. above: lines of the file above the text.
    """
    faults: list[Fault] = []

    def value(found: re.Match) -> str:
        name, given = found[1], values.get(found[1]) or found[2]
        start = text.rfind("\n", 0, found.start()) + 1
        if "#" in text[start : found.start()] and re.search(r"(^|\s)#", text[start : found.start()]):
            return found[0]  # in a comment
        where = f"{file}:{text.count(chr(10), 0, found.start()) + 1 + above}:{found.start() - start + 1}"
        fault = _fault(name, given, where)
        if fault is not None:
            faults.append(fault)
        return given or ""

    return PLACEHOLDER.sub(value, text), faults


def _fault(name: str, given: str | None, where: str) -> Fault | None:
    set_it = f"--set {name.removeprefix('GXSEARCH_')}=..., or export {name}=..."
    if not given:
        return Fault("E388", where, f"{name} is not set", set_it)
    if not (_HARMLESS.fullmatch(given) or name == "GXSEARCH_ENTRYPOINT"):
        return Fault("E388", where, f"{name} is {given[:80]!r}, which is no plain word", set_it)
    if name.endswith("_CIDR"):
        try:
            network = ipaddress.ip_network(given)
        except ValueError:
            return Fault("E388", where, f"{name} is {given!r}, which is no network", "write one such as 203.0.113.7/32")
        if network.prefixlen < _WORLD[network.version]:
            fix = "name the network that you come from, such as 203.0.113.7/32"
            return Fault("E833", where, f"{name} is {given}: open to the whole world", fix)
    return None
