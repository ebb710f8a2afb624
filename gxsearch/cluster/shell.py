"""Rules for shell commands of cluster files: what they install, what they open, how they start Ray."""

from __future__ import annotations

import re
from importlib.metadata import version

from gxsearch.cluster.findings import Findings

_INSTALL = re.compile(r"\b(?:pip3?|uv pip|python3? -m pip)\s+install\b(?P<words>[^;&|\n]*)")
_WORLD = r"(?:0\.0\.0\.0|::|\[::\]|\*)"
_LISTENS = re.compile(rf"--(?:dashboard-host|ray-client-server-host|host|ip|bind)[ =]['\"]?{_WORLD}(?=['\"\s]|$)")
_VALUED = {"-c", "--constraint", "-r", "--requirement", "-i", "--index-url", "--extra-index-url", "-f", "--find-links"}
_VALUED |= {"-t", "--target", "--platform", "--python-version", "--timeout", "--retries", "--cache-dir", "--prefix"}


def check(text: str, where: str, found: Findings, *, given: frozenset[str] = frozenset()) -> None:
    """Add what is wrong with a command.

    Args:
        text: the command. where: its place.
        given: of ``token`` and ``quiet``, what the surroundings of the command have seen to already.
    """
    text = re.sub(r"\\\n\s*", " ", text)
    asks, keeps = text.find("RAY_AUTH_MODE=token"), text.find("RAY_USAGE_STATS_ENABLED=0")
    for start in re.finditer(r"\bray start\b[^;&\n]*", text):
        if "token" not in given and not -1 < asks < start.start():
            fix = "write RAY_AUTH_MODE=token ray start ..., on every node"
            found.add("E831", where, "starts Ray without asking for a token: whoever reaches its ports runs code", fix)
        if not ("quiet" in given or -1 < keeps < start.start() or "disable-usage" in start[0]):
            found.add("E840", where, "sends usage statistics", "write RAY_USAGE_STATS_ENABLED=0 ray start ...")
    if _LISTENS.search(text) or re.search(r"--bind_all\b", text):
        fix = "listen on 127.0.0.1 and come through SSH: ray attach FILE -p 8265"
        found.add("E834", where, "listens on all interfaces", fix)
    if re.search(r"StrictHostKeyChecking[= ]no\b|UserKnownHostsFile[= ]/dev/null", text):
        found.add("E839", where, "takes any machine for the one that was meant", "let SSH check host keys")
    if re.search(r"\bssh\s+(?:-\w*\s+)*-\w*A|ForwardAgent[= ]yes", text):
        found.add("E839", where, "lends your SSH keys to the cluster", "use a key of its own, or -J HOST")
    _installs(text, where, found)


def _installs(text: str, where: str, found: Findings) -> None:
    if re.search(r"\b(?:curl|wget)\b[^;\n]{0,500}\|\s{0,9}(?:sudo\s+)?(?:ba|z)?sh\b", text):
        fix = "download a named version, compare its sha256sum, then run it"
        found.add("E837", where, "runs whatever an address serves today", fix)
    for install in _INSTALL.finditer(text):
        words = re.findall(r"\"[^\"]*\"|'[^']*'|\S+", install["words"])
        pinned = any(word.split("=")[0] in ("-c", "--constraint", "--require-hashes") for word in words)
        for word in _requirements(words):
            _requirement(word, where, found, pinned=pinned)


def _requirements(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        bare = word.strip("\"'")
        if skip or not bare or bare.startswith(("-", "#")):
            skip = not skip and bare in _VALUED
            continue
        kept.append(bare)
    return kept


def _requirement(word: str, where: str, found: Findings, *, pinned: bool) -> None:
    name = re.split(r"[\[=<>~!@ ]", word)[0]
    if "://" in word:
        if not re.search(r"sha256=[0-9a-f]{64}|@[0-9a-f]{40}\b", word):
            nightly = " (a nightly build)" if re.search(r"/latest/|\.dev0", word) else ""
            fix = f"write ray[default]=={version('ray')}, or add #sha256=... to the address"
            found.add("E837", where, f"installs whatever an address serves today{nightly}", fix)
    elif name.lower() == "ray" and (exact := re.search(r"==([\w.]+)", word)):
        if exact[1] != version("ray"):
            fix = f"write {word.split('==')[0]}=={version('ray')}: the versions of driver and nodes must be the same"
            found.add("E384", where, f"installs ray {exact[1]}, gxsearch is built for {version('ray')}", fix)
    elif not pinned and "==" not in word and not word.endswith((".whl", ".txt")) and ".whl[" not in word:
        fix = f"write {name}==VERSION, or -c constraints.txt"
        found.add("E837", where, f"installs {name} at whatever version is newest", fix)


def image(name: object, where: str, found: Findings) -> None:
    """Add an image that may be another one tomorrow, or of another Ray."""
    if not isinstance(name, str) or "${" in name or re.search(r"@sha256:[0-9a-f]{64}$", name):
        return
    tag = name.rsplit("/", 1)[-1].partition(":")[2]
    if not tag or re.match(r"latest|nightly", tag):
        fix = f"name a version, such as rayproject/ray:{version('ray')}-py311-gpu, or a digest (@sha256:...)"
        found.add("E837", where, f"the image {name} is another one tomorrow", fix)
    elif re.search(r"(^|/)rayproject/ray(-ml)?:", name) and not tag.startswith(version("ray")):
        fix = f"write rayproject/ray:{version('ray')}-..."
        found.add("E384", where, f"the image has ray {tag.split('-')[0]}, gxsearch is built for {version('ray')}", fix)
