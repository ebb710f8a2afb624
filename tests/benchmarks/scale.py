"""What a search of thousands of trials costs its driver, with trials that are not trained.

    python tests/benchmarks/scale.py --trials 10000 --concurrent 1000 --epochs 27

Everything of the driver is real: Ray Tune's controller and actor manager, our searcher, scheduler and referee, Optuna
with its journal, the ledger, early stopping, the files of each trial and the live screen. Only what would be actors is
simulated (`simulated_actors`), and its time taken off. Prints milliseconds per report between marks and whose they
are, memory, bytes, and how long it takes to go on with the search and to read it. With --wait it also measures what
the simulation leaves out: Ray's own wait for as many references, which Tune repeats for each result.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from simulated_actors import Clock, simulated

from gxsearch.console import Progress
from gxsearch.data.table import Table
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import RunDir
from gxsearch.search.deadline import Deadline
from gxsearch.search.intake import read_table
from gxsearch.search.launch import connected
from gxsearch.search.opening import begin, reopen
from gxsearch.search.referee import Referee
from gxsearch.search.scribe import Scribe
from gxsearch.search.sections import Resources
from gxsearch.search.spec import Spec, load
from gxsearch.search.study import Study

SPEC = """\
gxsearch: 1
name: scale
model: fe
data: {{path: "sim_bulk?n=80&g=60", label: cell_type}}
space:
  model:
    sample_dim: {{int: [2, 32], log: true}}
    gene_dim:   50
    hidden:     {{choice: [[50], [50, 25], [100, 50], [100, 50, 50]]}}
    head:       {{choice: [linear, sigmoid_range]}}
    range_pad:  {{float: [0.0, 0.5], when: {{head: sigmoid_range}}}}
    init_std:   {{float: [0.03, 1.0], log: true}}
    gene_bias:  {{choice: [true, false]}}
  train:
    lr:             {{float: [1e-3, 3e-2], log: true}}
    lr_sample_mult: {{float: [1, 16], log: true}}
    l2_rel:         {{float: [1e-5, 1e-1], log: true}}
search: {{sampler: {sampler}}}
stop: {stop}
budget: {{trials: {trials}, epochs: {epochs}}}
"""
"""The space of search_spaces/fe.yaml."""
STOPS = {"asha": "{asha: {grace: 3, reduction: 3}}", "median": "{median: {grace: 3}}", "none": "none"}
PARTS = {
    "draws": [(Study, "ask")],
    "study": [(Study, "report"), (Study, "tell")],
    "ledger": [(Ledger, "append")],
    "files": [(Scribe, "watch"), (Referee, "_prune")],
    "screen": [(Progress, "tick"), (Progress, "_watch")],
}
"""What is timed of ours, each part without those inside it; the rest of ours is the referee's."""


@dataclass
class Meter:
    """Seconds spent in parts of the driver, nested ones told apart, and what there was at marks."""

    clock: Clock
    spent: dict[str, float] = field(default_factory=dict)
    reports: int = 0
    marks: list[dict[str, Any]] = field(default_factory=list)
    _inside: list[float] = field(default_factory=list)

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with its time counted, without that of calls inside it that are counted too."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            self._inside.append(0.0)
            try:
                return call(*args, **kwargs)
            finally:
                took, inside = time.perf_counter() - begun, self._inside.pop()
                self.spent[part] = self.spent.get(part, 0.0) + took - inside
                if self._inside:
                    self._inside[-1] += took

        return wrapper

    def mark(self, trials: int) -> None:
        """Note where everything stands."""
        here = {"trials": trials, "reports": self.reports, "wall": time.perf_counter(), "cpu": time.thread_time()}
        self.marks.append({**here, "simulated": self.clock.spent_s, "rss": rss_mb(), **self.spent})


def rss_mb() -> float:
    """Return the memory of this process that is in RAM, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def metered(meter: Meter, marks: list[int]) -> Iterator[None]:
    """Time the parts while this lasts, and mark when so many trials have ended."""
    from gxsearch.search import liaison

    parts = PARTS | {
        "referee": [(liaison.Draws, "suggest"), (liaison.Verdicts, "on_trial_result"), (liaison.Room, "look")]
    }
    result, tell, ended = Referee.result, Referee._tell, [0]

    def counted(referee: Referee, number: int, metrics: dict[str, float]) -> None:
        meter.reports += 1
        result(referee, number, metrics)

    def told(referee: Referee, what: str, trial: Any) -> None:
        tell(referee, what, trial)
        ended[0] += what == "ended"
        if what == "ended" and ended[0] in marks:
            meter.mark(ended[0])

    patches = [
        mock.patch.object(kind, name, meter.timed(part, getattr(kind, name)))
        for part, calls in parts.items()
        for kind, name in calls
    ]
    for patch in [*patches, mock.patch.object(Referee, "result", counted), mock.patch.object(Referee, "_tell", told)]:
        patch.start()
    try:
        yield
    finally:
        mock.patch.stopall()


class Screen(io.StringIO):
    """A terminal that nobody looks at."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True

    def write(self, text: str) -> int:
        """Take text and forget it."""
        return len(text)


def search_simulated(spec: Spec, table: Table, slots: int, folder: Path, marks: list[int]) -> tuple[RunDir, Meter]:
    """Run a search with simulated trials to its end; the last mark is after Tune has ended too."""
    from gxsearch.search.tuner import search

    deadline = Deadline(None)
    with simulated(slots) as clock, redirect_stderr(Screen()):
        meter = Meter(clock)
        with metered(meter, marks), begin(spec, table, slots, folder) as opened:
            with Progress(opened.referee, deadline, live=True) as shown:
                meter.mark(0)
                search(
                    spec, opened.run, table, opened.referee, slots=slots, deadline=deadline, tick=lambda: shown.tick()
                )
                meter.mark(len(opened.referee.trials))
            opened.close("done")
    return opened.run, meter


def spec_of(path: Path, **settings: Any) -> Spec:
    """Write the spec and read it."""
    path.write_text(SPEC.format(**settings))
    return load(path)


def print_marks(meter: Meter) -> None:
    """Print what a report cost between each two marks, and whose it is."""
    parts = [*PARTS, "referee"]
    names = ["to trial", "reports", "ms/report", "cpu", *parts, "Tune", "ms/draw", "RSS MB"]
    print(" ".join(f"{name:>9}" for name in names))
    for before, now in zip(meter.marks, meter.marks[1:], strict=False):
        took = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in now}
        took["wall"] -= took["simulated"]
        took["Tune"] = took["wall"] - sum(took[name] for name in parts)
        n = max(1, took["reports"])
        each = [1000 * took[name] / n for name in ("wall", "cpu", *parts, "Tune")]
        draw = 1000 * took["draws"] / max(1, took["trials"])
        cells = [f"{now['trials']}", f"{took['reports']}", *(f"{value:.3f}" for value in each), f"{draw:.2f}"]
        print(" ".join(f"{cell:>9}" for cell in [*cells, f"{now['rss']:.0f}"]), flush=True)


def print_sizes(run: RunDir, reports: int) -> None:
    """Print how large the files of a run are."""
    for path in (run.ledger, run.journal):
        size = path.stat().st_size
        print(f"{path.name:<16} {size / 1e6:8.1f} MB {size / reports:6.0f} bytes a report")
    found = [path for path in run.path.rglob("*") if path.is_file()]
    print(f"{'run folder':<16} {sum(path.stat().st_size for path in found) / 1e6:8.1f} MB {len(found):6} files")


def print_reading(run: RunDir) -> None:
    """Print how long the verbs take that read a run."""
    from gxsearch import listing
    from gxsearch.results import leaderboard, report

    for name, read in {
        "status": lambda: listing.status(str(run.path), as_json=False),
        "trials --top 20": lambda: listing.trials(str(run.path), top=20, failed=False, as_json=False),
        "leaderboard.csv": lambda: leaderboard.write(run),
        "report": lambda: report.write(run),
    }.items():
        begun = time.perf_counter()
        read()
        print(f"gxsearch {name:<16} {time.perf_counter() - begun:6.2f} s", flush=True)


def print_resume(run: RunDir) -> None:
    """Print how long it takes to go on with a search: to replay its ledger."""
    begun, before = time.perf_counter(), rss_mb()
    reopen(run, {}).close("done")
    print(f"{'resume':<25} {time.perf_counter() - begun:6.2f} s, {rss_mb() - before:+.0f} MB")


def print_wait(n: int) -> None:
    """Print how long Ray itself takes to find the one result among so many that are awaited."""
    import ray

    @ray.remote(num_cpus=0)
    def never() -> None:
        time.sleep(3600)

    @ray.remote(num_cpus=0)
    def echo(value: dict) -> dict:
        return value

    pending = [never.options(resources={"nowhere": 1}).remote() for _ in range(n - 1)]
    took, value = [], {"metrics": [(f"val/{i}", 0.5) for i in range(20)]}
    for _ in range(50):
        done = echo.remote(value)
        ray.wait([done], fetch_local=False)
        begun = time.perf_counter()
        ray.wait([*pending, done], num_returns=1)
        ray.get(done)
        took.append(time.perf_counter() - begun)
    print(f"Ray's own wait for one of {n} results: {1000 * sorted(took)[25]:.2f} ms (median of 50)")
    for reference in pending:
        ray.cancel(reference)


def main() -> None:
    """Search, then go on with the search and read it; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--sampler", default="tpe", choices=["tpe", "random", "qmc"])
    parser.add_argument("--stop", default="asha", choices=list(STOPS))
    parser.add_argument("--profile", type=Path, help="write what cProfile finds to this file")
    parser.add_argument("--keep", type=Path, help="keep the run in this folder")
    parser.add_argument("--wait", action="store_true", help="measure Ray's own wait too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, connected("local", Resources(), cpus=1):
        settings = {"trials": args.trials, "epochs": args.epochs, "sampler": args.sampler, "stop": STOPS[args.stop]}
        spec = spec_of(Path(scratch) / "spec.yaml", **settings)
        table, marks = read_table(spec), [n for n in (1000, 2500, 5000, 10_000) if n < args.trials]
        if args.wait:
            print_wait(args.concurrent)
        print(
            f"{args.trials} trials, {args.concurrent} at once, {args.epochs} epochs, {args.sampler}, {args.stop}; "
            f"load {os.getloadavg()[0]:.1f}; {rss_mb():.0f} MB at the start",
            flush=True,
        )
        profile = cProfile.Profile() if args.profile else nullcontext()
        with profile:
            run, meter = search_simulated(spec, table, args.concurrent, args.keep or Path(scratch) / "run", marks)
        if args.profile:
            profile.dump_stats(args.profile)
        print_marks(meter)
        print_sizes(run, meter.reports)
        print_reading(run)
        print_resume(run)


if __name__ == "__main__":
    main()
