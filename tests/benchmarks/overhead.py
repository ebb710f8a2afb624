"""What a trial costs beyond its own training: our search, a plain loop, and plain Ray Tune, side by side in one run.

    python tests/benchmarks/overhead.py --trials 100 --epochs 1

All three train the same configurations of factorized embeddings on the same simulated data. Ours and Ray Tune have
the machine's CPUs as slots; the plain loop trains one after the other in this process. Ray Tune starts a process per
trial, as it does unless told otherwise, so it is given fewer trials; the figure is per trial. Then trials of two ranks
(gloo, half a CPU each), and trials with a TorchTrainer each (`backend: trainer`), which are given fewer too.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from gxsearch.data.table import Table
from gxsearch.results.ledger import events, trials
from gxsearch.search.deadline import Deadline
from gxsearch.search.draw import draw_config
from gxsearch.search.intake import read_table
from gxsearch.search.launch import connected
from gxsearch.search.opening import begin
from gxsearch.search.spec import Spec, load
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

SPEC = """\
gxsearch: 1
name: overhead
model: fe
data: {{path: "sim_bulk?n=80&g=60", label: cell_type}}
space:
  model: {{sample_dim: {{int: [2, 8]}}, gene_dim: 16, hidden: {{value: [16]}}}}
  train: {{lr: {{float: [1e-3, 1e-1], log: true}}, batch_size: 2048}}
search: {{sampler: random}}
stop: none
budget: {{trials: {trials}, epochs: {epochs}}}
"""


def main() -> None:
    """Run the three and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--raw-trials", type=int, default=6, help="trials of plain Ray Tune")
    parser.add_argument("--trainer-trials", type=int, default=4, help="trials with a TorchTrainer each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(SPEC.format(trials=args.trials, epochs=args.epochs))
        spec = load(path)
        table = read_table(spec)
        with connected("local", spec.resources) as slots:
            ours, jobs, own = search_ours(spec, table, slots, Path(folder) / "run")
            raw = search_raw(jobs[: args.raw_trials], table, slots)
            two, *_ = search_ours(given(spec, args.trials, workers=2, cpus=0.5), table, slots, Path(folder) / "two")
            trainer = given(spec, args.trainer_trials, backend="trainer")
            torch_trainer, *_ = search_ours(trainer, table, slots, Path(folder) / "trainer")
        plain = search_plain(jobs, table)
    rows = [
        ("gxsearch tune", len(jobs), ours),
        ("plain loop", len(jobs), plain),
        ("Ray Tune, no reuse", args.raw_trials, raw),
        ("of two ranks", len(jobs), two),
        ("a TorchTrainer each", args.trainer_trials, torch_trainer),
    ]
    print(f"{slots} slots, {args.epochs} epoch(s) a trial, {1000 * own:.1f} ms of it in its own training")
    print(f"{'':<20} {'trials':>6} {'first':>9} {'each further':>13} {'against the loop':>17}")
    for name, n, (first, further) in rows:
        print(f"{name:<20} {n:>6} {first:>7.2f} s {1000 * further:>10.1f} ms {further / plain[1]:>16.2f}x")
    print(f"gxsearch, a further trial beyond its own training: {1000 * (ours[1] - own / slots):.1f} ms of wall time")


def given(spec: Spec, trials: int, **resources: Any) -> Spec:
    """Return the spec with so many trials of other resources."""
    budget = spec.budget.model_copy(update={"trials": trials})
    return dataclasses.replace(spec, budget=budget, resources=spec.resources.model_copy(update=resources))


def search_ours(spec: Spec, table: Table, slots: int, folder: Path) -> tuple[tuple[float, float], list[Job], float]:
    """Search; return seconds to the first trial's end and per further one, the jobs, and a trial's own seconds."""
    from gxsearch.search.tuner import search

    opened = begin(spec, table, slots, folder)
    search(spec, opened.run, table, opened.referee, slots=slots, deadline=Deadline(None), tick=lambda: None)
    opened.close("done")
    told = events(opened.run.ledger)
    begun = datetime.fromisoformat(told[0]["time"])
    ends = [(datetime.fromisoformat(e["time"]) - begun).total_seconds() for e in told if e["event"] == "trial_ended"]
    jobs = [Job(**draw_config(spec, opened.run, t)["job"]) for t in opened.referee.trials.values()]
    own = sum(t.seconds for t in trials(opened.run.ledger)) / len(jobs)
    return (ends[0], (ends[-1] - ends[0]) / (len(ends) - 1)), jobs, own


def search_plain(jobs: list[Job], table: Table) -> tuple[float, float]:
    """Train the same jobs in a loop, without checkpoints; return seconds of the first and per further one."""
    bench, runtime = Bench(table, torch.device("cpu")), LocalRuntime(threads=1)
    ends, begun = [], time.perf_counter()
    for job in jobs:
        for _ in session(job, bench, runtime):
            pass
        ends.append(time.perf_counter() - begun)
    return ends[0], (ends[-1] - ends[0]) / (len(ends) - 1)


def search_raw(jobs: list[Job], table: Table, slots: int) -> tuple[float, float]:
    """Train jobs under plain Ray Tune, a process each; return seconds of the first and per further one."""
    from ray import tune

    logging.getLogger("ray").setLevel(logging.ERROR)
    ends: list[float] = []
    begun = time.perf_counter()

    class Ends(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            ends.append(time.perf_counter() - begun)

    tune.run(
        tune.with_parameters(_raw_trial, table=table, jobs=jobs),
        config={"number": tune.grid_search(list(range(len(jobs))))},
        resources_per_trial={"cpu": 1},
        max_concurrent_trials=slots,
        storage_path=tempfile.mkdtemp(),
        callbacks=[Ends()],
        verbose=0,
    )
    return ends[0], (ends[-1] - ends[0]) / (len(ends) - 1)


def _raw_trial(config: dict[str, int], table: Table, jobs: list[Job]) -> None:
    from ray import tune

    for metrics, _ in session(jobs[config["number"]], Bench(table, torch.device("cpu")), LocalRuntime(threads=1)):
        tune.report({name.replace("/", "_"): value for name, value in metrics.items()})


if __name__ == "__main__":
    main()
