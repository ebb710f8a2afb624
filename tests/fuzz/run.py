"""Fuzzing: `python tests/fuzz/run.py --minutes 10 [--seed N]` looks for uncaught errors, crashes and hangs.

Search space files and data sets are drawn by hypothesis, .h5ad files, run folders and cluster files are
damaged at random. One line of figures goes to standard output, what was found to standard error; the exit code is 1 if
anything was.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import launchers
import mutants
import sets
import specs
import states
import torch
import yaml
from hypothesis import HealthCheck, Phase

MOST = {"specs": 5000, "data sets": 500, "h5ad": 2000, "run folders": 600, "cluster files": 3000}
"""Cases of each kind, at most."""
SHARE = {"specs": 0.3, "data sets": 0.2, "h5ad": 0.2, "run folders": 0.2, "cluster files": 0.1}
LONGEST_S = 10
CHUNK = 100


class TooLong(BaseException):
    """A case took longer than `LONGEST_S`."""


class Hunt:
    """Cases of one kind until they are enough or the time is up, and what was found."""

    def __init__(self, name: str, seconds: float):
        self.name, self.deadline = name, time.monotonic() + seconds
        self.ends: Counter[str] = Counter()
        self.found: list[str] = []

    @property
    def on(self) -> bool:
        return sum(self.ends.values()) < MOST[self.name] and time.monotonic() < self.deadline

    def line(self) -> str:
        return f"{self.name} {sum(self.ends.values())} ({self.ends['fine']} fine), {len(self.found)} found"


def one(case: Callable[[], str]) -> str:
    """Return how a case ended, within the time."""
    signal.alarm(LONGEST_S)
    try:
        return case()
    finally:
        signal.alarm(0)


def drawn(hunt: Hunt, strategy: hypothesis.strategies.SearchStrategy, check: Callable[..., str], seed: int) -> None:
    """Run cases that hypothesis draws, in chunks of their own seeds, since it knows no limit of time."""
    while hunt.on:

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=CHUNK,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @hypothesis.given(strategy)
        def case(value: object) -> None:
            hunt.ends[one(lambda: check(value))] += 1

        try:
            case()
        except (Exception, TooLong):
            hunt.found.append(f"{hunt.name} of seed {seed}: {told()}")
        seed += 1


def check_spec(text: bytes) -> str:
    Path("case.yaml").write_bytes(text)
    return specs.verdict(*specs.called("check", "--no-data", "case.yaml"))


def check_set(drawn: tuple) -> str:
    adata, (model, data) = drawn
    try:
        adata.write_h5ad("cells.h5ad")
    except (ValueError, TypeError):  # names that HDF5 does not take
        return "unwritten"
    spec = {"gxsearch": 1, "name": "case", "model": model, "data": data, "budget": {"trials": 1, "epochs": 1}}
    Path("case.yaml").write_text(yaml.safe_dump(spec))
    return specs.verdict(*specs.called("check", "case.yaml"))


def damaged_files(hunt: Hunt, folder: Path, first: int) -> None:
    """Read damaged .h5ad files in a child, and in another after one that killed it."""
    mutants.write_seeds(folder)
    number, end = first, first + MOST[hunt.name]
    while hunt.on and number < end:
        words = [sys.executable, "-W", "ignore", mutants.__file__, str(folder), str(number), str(end)]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        patience = 180  # it has libraries to import first, on a machine that may be busy
        while hunt.on:
            ready = select.select([child.stdout], [], [], patience)[0]
            patience = 60
            line = child.stdout.readline() if ready else ""
            if not line:
                break
            what, case, *told = line.split(None, 3)
            number = int(case)
            if what == "end":
                hunt.ends[told[1].strip()[:40]] += 1
                if told[1].startswith("raised") or float(told[0]) > LONGEST_S:
                    hunt.found.append(f"h5ad {number}: {' '.join(told)}")
        child.kill() if child.poll() is None else None
        if child.wait() not in (0, -signal.SIGKILL) or (hunt.on and number + 1 < end and child.returncode):
            hunt.found.append(f"h5ad {number} ended the child: {child.returncode}")
        number += 1


def damaged_runs(hunt: Hunt, folder: Path, seed: int) -> None:
    run = states.made(folder)
    while hunt.on:
        own, what = states.damaged(run, folder / "own", random.Random(seed))
        for verb, words in states.READ.items():
            try:
                end = one(lambda v=verb, w=words, p=own.path: specs.verdict(*_read(specs.called(v, str(p), *w))))
                hunt.ends[end] += verb == "status"
            except (Exception, TooLong):
                hunt.found.append(f"{verb} of run {seed}, {what}: {told()}")
        seed += 1


def spoiled_launchers(hunt: Hunt, seed: int) -> None:
    while hunt.on:
        try:
            hunt.ends[one(lambda s=seed: launchers.check(s))] += 1
        except (Exception, TooLong):
            hunt.found.append(f"cluster file of seed {seed}: {told()}")
            hunt.ends["found"] += 1
        seed += 1


def _read(ended: tuple[int, str]) -> tuple[int, str]:
    """Return an end as it is; a run without a result (7) is as good an end as a refusal."""
    status, err = ended
    return (2, err) if status == 7 and "error[E710]" in err else ended


def told() -> str:
    """Return what was raised, and the example that hypothesis found for it."""
    kind, error, _ = sys.exc_info()
    notes = getattr(error, "__notes__", [])
    return " | ".join([kind.__name__, *" ".join(str(error).split("\n")).split(" - see where")[:1], *notes])[:1500]


def _alarm(number: int, frame: object) -> None:
    raise TooLong(f"longer than {LONGEST_S} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=MOST, help="one kind of cases")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _alarm)
    hunts = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        start = asked.seed * 100_000
        tasks = {
            "specs": lambda hunt: drawn(hunt, specs.spoiled(), check_spec, start),
            "data sets": lambda hunt: drawn(
                hunt, hypothesis.strategies.tuples(sets.adatas(), sets.data_sections()), check_set, start
            ),
            "h5ad": lambda hunt: damaged_files(hunt, Path(folder), start),
            "run folders": lambda hunt: damaged_runs(hunt, Path(folder), start),
            "cluster files": lambda hunt: spoiled_launchers(hunt, start),
        }
        for name, task in tasks.items():
            if asked.only not in (None, name):
                continue
            hunts.append(Hunt(name, asked.minutes * 60 * (SHARE[name] if asked.only is None else 1)))
            task(hunts[-1])
    for hunt in hunts:
        print("\n".join(hunt.found[:20]), end="\n" * bool(hunt.found), file=sys.stderr)
    print(f"seed {asked.seed}: " + "; ".join(hunt.line() for hunt in hunts))
    return int(any(hunt.found for hunt in hunts))


if __name__ == "__main__":
    sys.exit(main())
