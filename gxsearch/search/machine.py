"""Machine: what `gxsearch doctor` says of versions, CPUs, threads, memory, GPUs, processes and the environment."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import gxsearch
from gxsearch.search import memory
from gxsearch.search.finding import Finding, size
from gxsearch.search.shipped import pins

PACKAGES = ("torch", "ray", "optuna", "anndata", "scanpy", "numpy", "scipy", "pandas", "scikit-learn", "pydantic")
TESTED = (3, 11)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_RAYS = ("gcs_server", "raylet")
_LEAST, _LITTLE = 2**30, 4 * 2**30
_SHM = 2 * 2**30
_FILES = 1024


def versions() -> Iterator[Finding]:
    """Tell Python's and the packages' versions, beside those that gxsearch is tested with."""
    python = f"Python {platform.python_version()}, gxsearch {gxsearch.__version__}"
    if sys.version_info[:2] == TESTED:
        yield Finding("python", "ok", python)
    else:
        yield Finding("python", "note", python, f"gxsearch is tested with Python {TESTED[0]}.{TESTED[1]}")
    pinned, found = pins(), {}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]  # +cpu is no other version
        except PackageNotFoundError:
            yield Finding("packages", "wrong", f"{name} is not installed", "pip install -c constraints.txt .")
    odd = [name for name in found if pinned.get(name, found[name]) != found[name]]
    others = [f"{name} {found[name]} ({pinned[name]})" for name in odd]
    if "ray" in found and _minor(found["ray"]) != _minor(pinned.get("ray", found["ray"])):
        what = f"ray {found['ray']}: gxsearch relies on what Ray {pinned['ray']} does inside"
        yield Finding("packages", "wrong", what, f"pip install 'ray[tune,train]=={pinned['ray']}'")
    told = ", ".join(f"{name} {number}" for name, number in found.items())
    if others:
        what = f"not those that gxsearch is tested with (in brackets): {', '.join(others)}"
        yield Finding("packages", "note", what, "pip install -c constraints.txt .")
    else:
        yield Finding("packages", "ok", told + (", all as pinned" if pinned else ""))


def _minor(number: str) -> list[str]:
    return number.split(".")[:2]


def cpus() -> Iterator[Finding]:
    """Tell the CPUs that processes here may use, and what limits them; and what variables do to threads."""
    import joblib  # knows of affinity and of containers' quotas

    have, whole = joblib.cpu_count(), os.cpu_count() or 1
    limit = f" of {whole}: an affinity or a container's quota allows no more" if have < whole else ""
    load = os.getloadavg()[0]
    busy = f"; busy: a load of {load:.1f}" if load > have else ""
    yield Finding("cpus", "note" if busy or limit else "ok", f"{have} can be used{limit}{busy}")
    given = {name: os.environ[name] for name in THREADS if name in os.environ}
    if not given:
        yield Finding("threads", "ok", "set by resources.cpus in trials; else all CPUs")
        return
    odd = [name for name, value in given.items() if not re.fullmatch(r"\d+(,\d+)*", value)]
    told = ", ".join(f"{name}={value}" for name, value in given.items())
    if odd:
        yield Finding("threads", "wrong", f"{told}: {odd[0]} is no number", f"unset {odd[0]}, or give a number")
        return
    what = f"{told}: for preparing data and for baselines; trials set their own by resources.cpus"
    yield Finding("threads", "note", what, "unset them, unless something else on this machine needs the CPUs")


def memories() -> Iterator[Finding]:
    """Tell the memory that is free, and that of Ray's object store."""
    have, free = memory.total(), _available()
    if free is not None:
        state = "wrong" if free < _LEAST else "note" if free < _LITTLE else "ok"
        fix = {"ok": "", "note": "each trial takes some 0.4 GiB beside its data: set resources.concurrent if need be"}
        what = f"{size(free)} free of {size(have)}"
        yield Finding("memory", state, what, fix.get(state, "end other programs, or use a larger machine"))
    shm = Path("/dev/shm")
    if sys.platform != "linux":
        return
    if not shm.is_dir():
        yield Finding("/dev/shm", "note", "is not there: Ray keeps shared data in files of /tmp, which is slower")
        return
    stat = os.statvfs(shm)
    room = stat.f_bavail * stat.f_frsize
    if room < _SHM:
        what = f"{size(room)} free: Ray's object store, which the data are shared by, wants more, else it uses /tmp"
        yield Finding("/dev/shm", "note", what, "in Docker: --shm-size=8g")
    else:
        yield Finding("/dev/shm", "ok", f"{size(room)} free for data that trials share")


def _available() -> int | None:
    """Return the bytes that processes here may still take: of the machine, and of the container."""
    try:
        told = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    if told is None:
        return None
    free, group = int(told[1]) * 1024, Path("/sys/fs/cgroup")
    try:
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return min(free, int(most) - int(used)) if most.isdecimal() and used.isdecimal() else free


def gpus() -> Iterator[Finding]:
    """Tell the GPUs that torch sees, with driver and CUDA."""
    import torch  # a second

    driver = Path("/proc/driver/nvidia/version")
    told = re.search(r"Kernel Module\D*([\d.]+)", driver.read_text()) if driver.is_file() else None
    built = f"torch {torch.__version__}, {'CUDA ' + torch.version.cuda if torch.version.cuda else 'built for CPUs'}"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    limit = "" if hidden is None else f"; CUDA_VISIBLE_DEVICES={hidden!r} chooses among them"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16: precision auto is fp32"
        with_driver = f", driver {told[1]}" if told else ""
        yield Finding("gpus", "ok", f"{len(names)}: {', '.join(names)} ({bf16}); {built}{with_driver}{limit}")
    elif told and torch.version.cuda and hidden is None:
        what = f"driver {told[1]} is there, and {built} sees no GPU"
        yield Finding("gpus", "wrong", what, "nvidia-smi tells more; the driver may be too old for this CUDA")
    elif told:
        fix = "unset CUDA_VISIBLE_DEVICES" if torch.version.cuda else "install torch with CUDA: pytorch.org/get-started"
        yield Finding("gpus", "note", f"driver {told[1]} is there, and {built} sees no GPU{limit}", fix)
    else:
        yield Finding("gpus", "ok", f"none: trials train on CPUs; {built}")


def processes() -> Iterator[Finding]:
    """Tell other Rays on this machine, and the limit of open files."""
    found = sorted(_running(_RAYS))
    if found:
        pids = ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else "")
        what = f"{len(found)} processes of Ray run already (pid {pids}): searches leave them alone"
        yield Finding("other rays", "note", what, "if they are left from a crash: kill these pids")
    else:
        yield Finding("other rays", "ok", "none runs")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FILES:
        yield Finding("open files", "wrong", f"{soft} at most, and Ray needs {_FILES} or more", "ulimit -n 65535")
    else:
        yield Finding("open files", "ok", f"{soft:,} at most")


def _running(names: tuple[str, ...]) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            program = Path((folder / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")).name
        except OSError:  # it has ended meanwhile
            continue
        if program in names:
            yield int(folder.name)


def environment() -> Iterator[Finding]:
    """Tell variables that lead elsewhere than one may think: Ray's address and token, proxies."""
    address = os.environ.get("RAY_ADDRESS")
    if address:
        what = f"RAY_ADDRESS={address} is not heeded: gxsearch starts a Ray of its own"
        yield Finding("RAY_ADDRESS", "note", what, f"--address {address} joins that one")
    yield _token()
    given = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES}
    named = {name: urlsplit(value).hostname or "?" for name, value in given.items() if value}
    if not named:
        yield Finding("proxies", "ok", "none")
        return
    spared = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    told = ", ".join(f"{name} to {host}" for name, host in named.items())
    if {"localhost", "127.0.0.1", "*"} & {word.strip() for word in spared}:
        yield Finding("proxies", "ok", f"{told}; not for this machine")
    else:
        what = f"{told}; data come through it, and calls within this machine may too"
        yield Finding("proxies", "note", what, "export no_proxy=localhost,127.0.0.1")


def _token() -> Finding:
    """Tell of the token that a Ray of our own asks for; its text is never shown."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if "RAY_AUTH_TOKEN" in os.environ:
        return Finding("token", "ok", "of Ray, from RAY_AUTH_TOKEN")
    if not path.exists():
        return Finding("token", "ok", f"of Ray: made by the first search, in {path}")
    if not os.access(path, os.R_OK):
        return Finding("token", "wrong", f"of Ray: {path} cannot be read", "chown it to you, mode 0600")
    if path.stat().st_mode & 0o077:
        return Finding(
            "token", "note", f"of Ray: others can read {path}; the next search closes it", f"chmod 600 {path}"
        )
    return Finding("token", "ok", f"of Ray, in {path}")
