"""Rules for every cluster file: secrets, networks open to the world, rights without end."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from gxsearch.cluster.findings import Findings
from gxsearch.cluster.sheet import Sheet, group, items, walk
from gxsearch.search.yaml_file import Document, Where

_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}"
    r"|\bhf_[A-Za-z0-9]{20,}|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{35}|\bsk-[\w-]{20,}|\beyJ[\w-]{10,300}\.eyJ[\w-]{10,}"
    r"|://[^\s/:@$]+:[^\s/@$]+@"
)
_GIVEN = re.compile(
    r"(?P<name>\b[\w-]{0,60}(?:token|secret|password|passwd|access_?key|account_?key|api_?key|credentials))"
    r"[\"']?\s*[:=]\s*[\"']?(?P<value>[^\s\"'$<{~/\[|>&*(,}][^\s\"',}]{7,})",
    re.IGNORECASE,
)
_NAMES = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|ACCESS_?KEY|ACCOUNT_?KEY|API_?KEY)$", re.IGNORECASE)
_CIDR = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]{0,39}::[0-9a-fA-F:]{0,39})/\d{1,3}\b")
_LEAST = {4: 8, 6: 16}
"""Bits that a network must fix: half of the world is the world."""
_ENDLESS = re.compile(
    r"policy/(?:[\w/-]{0,100}FullAccess|AdministratorAccess|PowerUserAccess)$|^roles/(?:owner|editor)$|^cluster-admin$"
)


def check(sheet: Sheet, found: Findings) -> None:
    """Add what no cluster file may hold."""
    for number, line in enumerate(sheet.text.splitlines(), 1):
        _secrets(line, f"{sheet.file}:{number}", found)
        if sheet.kind == "slurm" and not line.lstrip().startswith("#"):
            _open(line, f"{sheet.file}:{number}:1", found)
    for doc in sheet.documents:
        for path, value in walk(doc.values):
            if isinstance(value, dict):
                _rights(doc, path, value, found)
                _environment(doc, path, value, found)
            elif isinstance(value, str):
                _value(doc, path, value, found)


def _secrets(line: str, at: str, found: Findings) -> None:
    given = _GIVEN.search(line)
    if given and re.search(r"(?:ray_)?auth_token$", given["name"], re.IGNORECASE):
        what = "the token of the cluster stands in the file"
        fix = "copy it by file_mounts from ~/.ray/auth_token, or keep it in a Kubernetes secret; make a new one"
        found.add("E832", f"{at}:{given.start('name') + 1}", what, fix)
    elif match := _SECRET.search(line) or given:
        fix = "take it out and revoke it: use a role of the machine, a secret, or a file that only you can read"
        found.add("E830", f"{at}:{match.start() + 1}", "holds what looks like a secret", fix)


def _environment(doc: Document, path: Where, value: dict[str, Any], found: Findings) -> None:
    """Look at ``{name: X_TOKEN, value: ...}``, which stands on one line or two."""
    name, given = value.get("name"), value.get("value")
    if isinstance(name, str) and _NAMES.search(name) and isinstance(given, str) and given and "$" not in given:
        code, where = ("E832", "the token of the cluster") if name == "RAY_AUTH_TOKEN" else ("E830", f"{name}")
        fix = "use valueFrom: {secretKeyRef: ...}, and revoke it"
        found.add(code, doc.where((*path, "value")), f"{where} stands in the file", fix)
    if value.get("kind") == "Secret" and (value.get("data") or value.get("stringData")):
        key = "data" if value.get("data") else "stringData"
        fix = "make it beside the file: kubectl create secret generic NAME --from-file=..."
        found.add("E830", doc.where((*path, key), key=True), "a secret with its contents", fix)


def _value(doc: Document, path: Where, value: str, found: Findings) -> None:
    if not any("egress" in str(part).lower() for part in path):
        _open(value, doc.where(path), found)
        if path[-1:] == ("sourceAddressPrefix",) and value in ("*", "Internet"):
            found.add("E833", doc.where(path), "open to the whole world", "name the network that you come from")
    if _ENDLESS.search(value):
        fix = "grant the few actions that are needed, as cluster/setup/aws.yaml does"
        found.add("E835", doc.where(path), f"{value} may do everything", fix)


def _open(text: str, where: str, found: Findings) -> None:
    for match in _CIDR.finditer(text):
        try:
            network = ipaddress.ip_network(match[0], strict=False)
        except ValueError:
            continue
        if network.prefixlen < _LEAST[network.version]:
            fix = "name the network that you come from, such as 203.0.113.7/32"
            found.add("E833", where, f"{match[0]} is open to the whole world", fix)


def _rights(doc: Document, path: Where, value: dict[str, Any], found: Findings) -> None:
    if value.get("Effect") == "Allow":
        for key in ("Action", "NotAction"):
            actions = value.get(key)
            for action in actions if isinstance(actions, list) else [actions]:
                if isinstance(action, str) and (key == "NotAction" or re.fullmatch(r"\*|[\w-]+:\*", action)):
                    fix = "list the actions that are needed"
                    found.add("E835", doc.where((*path, key)), f"{key}: {action} grants more than is needed", fix)
                elif action == "iam:PassRole" and value.get("Resource") in ("*", ["*"]):
                    what = "iam:PassRole on every role lets the head become any of them"
                    found.add("E835", doc.where((*path, "Resource")), what, "name the role of the workers")
    if doc.values.get("kind") in ("Role", "ClusterRole"):
        for key in ("verbs", "resources"):
            if "*" in items(value.get(key)):
                found.add("E835", doc.where((*path, key)), f"{key}: '*' grants everything", "list what is needed")


def environment(value: Any) -> dict[str, Any]:
    """Return ``env: [{name: ..., value: ...}]`` of a container by names."""
    return {str(group(entry).get("name")): group(entry).get("value") for entry in items(value)}
