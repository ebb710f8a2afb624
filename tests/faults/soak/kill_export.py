"""R8: an export is killed at random points, or has no room; what is there afterwards is whole, or nothing is there.

python tests/faults/soak/kill_export.py --n 50
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

from common import script, small_search

from gxsearch.errors import GxError
from gxsearch.results.run_dir import RunDir


def main() -> None:
    """Kill in even rounds; leave no room in odd ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    script(lambda folder: killed(small_search(folder / "run"), folder / "model", args.n, random.Random(args.seed)))


def killed(run: RunDir, model: Path, n: int, rng: random.Random) -> tuple[str, bool]:
    """Return the line of so many rounds, and whether each left all or nothing."""
    from gxsearch.results.export import export

    export(run, 0, model)  # imports what it needs, once for all
    took = time.monotonic()
    os.waitpid(_export(run, model), 0)
    took = time.monotonic() - took
    size = max(path.stat().st_size for path in model.iterdir())
    ends = Counter()
    for i in range(n):
        if i % 4 < 2:
            shutil.rmtree(model, ignore_errors=True)
        else:
            export(run, 0, model)  # an earlier one, which is replaced
        if i % 2:
            os.waitpid(_export(run, model, room=rng.randrange(size)), 0)
        else:
            pid = _export(run, model)
            time.sleep(rng.uniform(0, 1.1 * took))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        ends[_found(model)] += 1
    well = n - ends["half"]
    return f"kill_export: {well} of {n} left all or nothing {dict(ends)}", not ends["half"]


def _export(run: RunDir, model: Path, room: int | None = None) -> int:
    """Fork a process that exports, into files of at most `room` bytes; return its id."""
    pid = os.fork()
    if pid:
        return pid
    from gxsearch.results.export import export

    if room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    code = 0
    try:
        export(run, 0, model)
    except (GxError, OSError):
        code = 1
    os._exit(code)


def _found(model: Path) -> str:
    from gxsearch.results.package import load

    if not model.exists():
        return "nothing"
    try:
        load(model)
    except GxError:
        return "half"
    return "all"


if __name__ == "__main__":
    main()
