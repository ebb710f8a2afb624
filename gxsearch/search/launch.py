"""Launch: connecting to Ray: quiet, authenticated, never by accident to somebody else's cluster."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gxsearch.errors import ResourceError
from gxsearch.search.spec import Resources

# Both or neither of the two of malloc: one alone disables glibc's own adaptation and is slower than none.
WORKER_ENV = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",  # a process for each CPU, none of which Tune takes
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # it writes all trials each time, which nothing of ours reads
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
LOCAL = "local"


def slots(resources: Resources, cpus: float, gpus: float) -> int:
    """Return how many trials fit side by side; as long as `gpus: auto` is not settled, by CPUs alone.

    Raises:
        ResourceError: when not even one fits.
    """
    each = 0.0 if resources.gpus == "auto" else resources.gpus
    need_cpus, need_gpus = resources.workers * resources.cpus, resources.workers * each
    if not _times(need_cpus, cpus):
        what = f"a trial asks for {need_cpus:g} CPUs (workers x cpus), there are {cpus:g}"
        raise ResourceError.one("E501", "resources.cpus", what, "ask for fewer, or search on a cluster with --address")
    if need_gpus and not _times(need_gpus, gpus):
        what = f"a trial asks for {need_gpus:g} GPUs (workers x gpus), there are {gpus:g}"
        raise ResourceError.one("E502", "resources.gpus", what, "set resources.gpus: 0, or use --address")
    fit = min(_times(need_cpus, cpus), _times(need_gpus, gpus)) if need_gpus else _times(need_cpus, cpus)
    if resources.concurrent == "auto":
        return fit
    if resources.concurrent > fit:
        what = f"{resources.concurrent} trials at once were asked for, {fit} fit"
        raise ResourceError.one("E503", "resources.concurrent", what, "set resources.concurrent: auto")
    return resources.concurrent


def _times(need: float, have: float) -> int:
    """Return how many times `need` fits into `have`; 0.2 fits five times into 1, whatever floats say."""
    return int(have / need + 1e-6)


def local_resources() -> tuple[int, int]:
    """Return the CPUs that this process may use and the GPUs of this machine, without starting anything."""
    import joblib  # knows of affinity and of containers' quotas, on every system
    import torch  # a second that a command which starts nothing need not pay

    return joblib.cpu_count(), torch.cuda.device_count()


def whole_gpus(resources: Resources) -> float:
    """Return the GPUs per worker of a training that shares none: with `gpus: auto` one, where this machine has any."""
    return resources.gpus if resources.gpus != "auto" else float(local_resources()[1] > 0)


@contextmanager
def connected(address: str, resources: Resources, *, cpus: int | None = None) -> Iterator[int]:
    """Connect to Ray, and disconnect at the end; yields how many trials fit side by side.

    With the address ``local`` a Ray of our own is started on this machine, with `cpus` CPUs or all of them, and
    stopped at the end.

    Raises:
        ResourceError: when a trial does not fit, there is no Ray at the address, or this process has one of its own.
    """
    os.environ.update(_QUIET)
    if address == LOCAL:
        found, gpus = local_resources()
        cpus = found if cpus is None else cpus
        fit = slots(resources, cpus, gpus)
        os.environ.update(WORKER_ENV)
        _ask_for_token()
    import ray  # a third of a second, and only now with its environment set

    if ray.is_initialized():
        what = "this process is connected to Ray already"
        raise ResourceError.one("E505", address, what, "call ray.shutdown() first")
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scratch = _scratch() if address == LOCAL else None
    heeded = signal.getsignal(signal.SIGTERM)
    try:
        if address == LOCAL:
            here = {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False, "_temp_dir": str(scratch / "r")}
            ray.init(address=LOCAL, **here, **_SILENT)
            _let_agents_go()
        else:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            ray._raylet.Config.initialize("")  # it may have been imported before that was set
            ray.init(address=address, runtime_env={"env_vars": WORKER_ENV}, **_SILENT)
            have = _grown(ray.cluster_resources())
            fit = slots(resources, have.get("CPU", 0), have.get("GPU", 0))
        if heeded is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, heeded)  # Ray puts one of its own there, which exits at once
        yield fit
    except ConnectionError as error:
        hint = "is it running, and is its token in RAY_AUTH_TOKEN or ~/.ray/auth_token?"
        raise ResourceError.one("E504", address, f"no Ray there ({error})", hint) from None
    finally:
        ray.shutdown()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _grown(have: dict[str, float]) -> dict[str, float]:
    """Return what a cluster has, or may grow to where its autoscaler adds nodes as trials ask for them.

    ``GXSEARCH_SCALES_TO=CPU=32,GPU=8`` says so, set by `gxsearch cluster submit`: Ray itself does not tell.
    """
    for word in filter(None, os.environ.get("GXSEARCH_SCALES_TO", "").split(",")):
        name, _, amount = word.partition("=")
        if not amount.isdecimal():
            raise ResourceError.one("E508", "GXSEARCH_SCALES_TO", f"'{word}' is no resource", "write CPU=32,GPU=8")
        have = {**have, name: max(float(amount), have.get(name, 0))}
    return have


def fitting(resources: Resources) -> int:
    """Return how many trials fit side by side on the Ray that is connected.

    Raises:
        ResourceError: when not even one fits.
    """
    import ray

    have = ray.cluster_resources()
    return slots(resources, have.get("CPU", 0), have.get("GPU", 0))


def _scratch() -> Path:
    """Return a new folder for Ray's sockets and logs that nobody else on the machine can enter.

    Ray opens the folder that it is given to everybody, so it is given one within this.

    Those of processes that were killed are removed.
    """
    above = Path(tempfile.gettempdir())
    if len(str(above)) > _SHORT:  # as on macOS, and where batch systems give each job a folder
        above = Path(os.sep, "tmp")
    for old in above.glob(f"{_SCRATCH}*"):
        pid = old.name.removeprefix(_SCRATCH).partition("-")[0]
        if pid.isdigit() and old.stat().st_uid == os.getuid() and not _alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=above))


def _let_agents_go() -> None:
    """Have the agents of Ray end soon when this process is killed, which nothing of ours is left to do then.

    They see that the raylet has gone, but first tell Ray's server, for 60 s where that has gone too: the figure is
    fixed in Ray 2.60 (`publish_error_to_driver`), no timeout that can be set shortens it, and a raylet without its
    agents ends. They do not tell of a raylet whose log says that it was asked to end. Should another Ray look for
    other words, a killed search leaves two idle processes for a minute, and tests/faults/test_signals.py says so.
    """
    import ray._private.worker

    with open(Path(ray._private.worker._global_node.get_logs_dir_path()) / "raylet.out", "a") as log:
        log.write("gxsearch: not so, but its agents look for it: Raylet received SIGTERM\n")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


_SCRATCH = "gxray-"
_SHORT = 14
"""Letters of the folder for temporary files: names of sockets have 107 (103 on macOS), of which 89 come after it."""
_SILENT = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _ask_for_token() -> None:
    # Ray listens on all interfaces: the token is the wall. Where nothing is set Ray asks for it, and heeds that in
    # this process too; it would not heed what is set now, for it may have been imported already.
    os.environ.pop("RAY_AUTH_MODE", None)
    if "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        make_token()


def make_token() -> None:
    """Make Ray's token ourselves where there is none: Ray's own is readable by everybody on the machine."""
    path = Path.home() / ".ray" / "auth_token"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    path.chmod(0o600)
