"""Rules for the files of `ray up`: Ray's own schema, what it lets pass, and what each cloud leaves open by default."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from gxsearch.cluster import clouds, shell
from gxsearch.cluster.findings import Findings
from gxsearch.cluster.schema import hold
from gxsearch.cluster.sheet import Sheet, group, items
from gxsearch.errors import did_you_mean
from gxsearch.search.yaml_file import Document, Where

COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
RUNS = "/mnt/runs"
"""Where the shared disk of runs stands on every node."""
_LONGEST_IDLE = 60
_CONFINED = re.compile(r"--privileged|--cap-add|--pid[= ]host|--ipc[= ]host|docker\.sock|-v\s+/:|seccomp[=:]unconfined")


def check(sheet: Sheet, found: Findings) -> None:
    """Add what is wrong with a file of `ray up`."""
    doc = sheet.documents[0]
    for more in sheet.documents[1:]:
        found.add("E304", more.where(), "a second document ('---') begins here", "use one file for each cluster")
    _schema(doc, found)
    _limits(doc, found)
    _types(doc, found)
    _docker(doc, found)
    for path, text in commands(doc):
        shell.check(text, doc.where(path), found)
    shell.check(str(doc.get(("auth", "ssh_proxy_command"))), doc.where(("auth", "ssh_proxy_command")), found)
    _token(doc, found)
    _disk(doc, found)
    clouds.check(sheet.kind.split()[1], doc, found)


def commands(doc: Document) -> list[tuple[Where, str]]:
    """Return all commands of a file with their paths."""
    at: list[Where] = [(key,) for key in COMMANDS]
    for name, kind in group(doc.get(("available_node_types",))).items():
        at += [("available_node_types", name, key) for key in COMMANDS if key in group(kind)]
    return [((*path, i), text) for path in at for i, text in enumerate(items(doc.get(path))) if isinstance(text, str)]


def node_types(doc: Document) -> dict[str, dict[str, Any]]:
    """Return the node types of a file by name."""
    found = group(doc.get(("available_node_types",)))
    return {name: kind for name, kind in found.items() if isinstance(kind, dict)}


def _schema(doc: Document, found: Findings) -> None:
    ray = Path(importlib.util.find_spec("ray").origin).parent  # which does not import it
    schema = json.loads((ray / "autoscaler" / "ray-schema.json").read_text())
    hold(schema, doc.values, doc, found, see="see cluster/ for whole files")


def _limits(doc: Document, found: Findings) -> None:
    if "max_workers" not in doc.values:
        fix = "write max_workers: 8; it bounds what the cluster can cost"
        found.add("E385", doc.where(), "nothing bounds the number of machines", fix)
    idle = doc.get(("idle_timeout_minutes",))
    if not isinstance(idle, int | float) or isinstance(idle, bool) or not 0 < idle <= _LONGEST_IDLE:
        what = "idle machines are kept" if idle is None else f"machines may idle for {idle} minutes"
        fix = "write idle_timeout_minutes: 5"
        found.add("E385", doc.where(("idle_timeout_minutes",)), what, fix)


def _types(doc: Document, found: Findings) -> None:
    kinds, head = node_types(doc), doc.get(("head_node_type",))
    if not kinds:
        fix = "name a head and a worker type, as the files of cluster/ do"
        found.add("E382", doc.where(), "available_node_types is missing", fix)
    elif head is None:
        found.add("E382", doc.where(), "head_node_type is missing", f"write head_node_type: {next(iter(kinds))}")
    elif str(head) not in kinds:
        what = f"head_node_type {head!r} is none of available_node_types"
        found.add("E384", doc.where(("head_node_type",)), what, did_you_mean(str(head), kinds))
    for name, kind in kinds.items():
        least, most = kind.get("min_workers", 0), kind.get("max_workers", doc.get(("max_workers",), 0))
        if isinstance(least, int) and isinstance(most, int) and not 0 <= least <= most:
            path = ("available_node_types", name, "min_workers" if "min_workers" in kind else "max_workers")
            what = f"{name}: from {least} to {most} machines"
            found.add("E383", doc.where(path), what, "write 0 <= min_workers <= max_workers")


def _docker(doc: Document, found: Findings) -> None:
    docker = group(doc.get(("docker",)))
    for key in ("image", "head_image", "worker_image"):
        if key in docker:
            shell.image(docker[key], doc.where(("docker", key)), found)
    for key in ("run_options", "head_run_options", "worker_run_options"):
        for i, option in enumerate(items(docker.get(key))):
            where = doc.where(("docker", key, i))
            if isinstance(option, str) and (bad := _CONFINED.search(option)):
                found.add("E836", where, f"{bad[0].strip()} lets the container out", "leave it away")
            if isinstance(option, str) and re.search(r"(^|\s)(-p|--publish)[ =](?!127\.)", option):
                found.add(
                    "E834", where, "publishes a port on all interfaces", "come through SSH: ray attach FILE -p PORT"
                )


def _token(doc: Document, found: Findings) -> None:
    mounts = group(doc.get(("file_mounts",)))
    target = next((path for path in mounts if "auth_token" in path), None)
    starts = [path for path, text in commands(doc) if re.search(r"\bray start\b", text)]
    if target is None and starts:
        where = doc.where(("file_mounts",) if "file_mounts" in doc.values else starts[0], key=True)
        fix = "write file_mounts: {/home/ray/gxsearch/auth_token: ~/.ray/auth_token}"
        found.add("E832", where, "the nodes are given no token", fix)
    elif target is not None and not any(re.search(rf"chmod 0?[46]00 {re.escape(target)}", t) for _, t in commands(doc)):
        where = doc.where(("file_mounts", target), key=True)
        found.add("E832", where, "others on the node may read the token", f"add to setup_commands: chmod 600 {target}")


def _disk(doc: Document, found: Findings) -> None:
    """Runs on a node's own disk are lost with it."""
    texts = [text for _, text in commands(doc)]
    mounted = any(re.search(rf"\bmount\b.*{RUNS}|(gcsfuse|blobfuse2?|mount-s3|s3fs).*{RUNS}", text) for text in texts)
    options = " ".join(map(str, items(doc.get(("docker", "run_options")))))
    if not mounted:
        fix = f"mount a shared disk at {RUNS} in initialization_commands, as the files of cluster/ do"
        found.add("E387", doc.where(), "runs are lost with the machine that wrote them", fix)
    elif "docker" in doc.values and f":{RUNS}" not in options:
        fix = f"add to docker.run_options: -v {RUNS}:{RUNS}"
        found.add("E387", doc.where(("docker",), key=True), "the container does not see the shared disk", fix)
