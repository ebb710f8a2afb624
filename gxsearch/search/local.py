"""Local: the trials of a search one after the other in this process, without Ray; a training is a search of one."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable
from typing import Any

from gxsearch.data.table import Table
from gxsearch.errors import TrialError
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.shelf import Shelf
from gxsearch.search.disk import is_gone, is_out, told_when_full
from gxsearch.search.draw import draw_config, ending
from gxsearch.search.launch import whole_gpus
from gxsearch.search.referee import Referee, Standing
from gxsearch.search.sections import Stop
from gxsearch.search.space import Space
from gxsearch.search.spec import Spec
from gxsearch.training.board import Board, show
from gxsearch.training.runtime import LocalRuntime, Runtime
from gxsearch.training.session import Bench, Job, session


def search_here(spec: Spec, run: RunDir, table: Table, referee: Referee, tick: Callable[[], None]) -> None:
    """Run a referee's trials, each in turn, until all have ended.

    Raises:
        RunFailed: E711 when the disk is full, E714 when it fails, E713 when the run folder is gone.
    """
    with told_when_full(run):
        _search_here(spec, run, table, referee, tick)


def _search_here(spec: Spec, run: RunDir, table: Table, referee: Referee, tick: Callable[[], None]) -> None:
    runtime = LocalRuntime("cuda" if spec.resources.gpus else "cpu", threads=max(1, int(spec.resources.cpus)))
    bench = Bench(table, runtime.device)
    for trial in referee.unfinished:
        train_one(spec, run, bench, runtime, referee, trial, tick)
    while (trial := referee.create()) is not None:
        referee.advance()
        train_one(spec, run, bench, runtime, referee, trial, tick)


def train_one(
    spec: Spec,
    run: RunDir,
    bench: Bench,
    runtime: Runtime,
    referee: Referee,
    trial: Standing,
    tick: Callable[[], None],
) -> None:
    """Train a trial until its last epoch, until it is stopped, or until it fails."""
    folder = run.trial(trial.number)
    config = draw_config(spec, run, trial, referee.told(trial.number))
    job, shelf = Job(**config["job"]), Shelf.read(config)
    board = Board(folder)
    try:
        if shelf is not None:
            shelf.fetch()
        steps = session(job, bench, runtime, folder / "checkpoints")
        for metrics, model in shelf.keeping(steps) if shelf is not None else steps:
            show(board, metrics, model, bench.table)
            referee.result(trial.number, metrics)
            tick()
            if referee.over(trial.number):
                break
    except TrialError as error:
        referee.ended(trial.number, *ending(error))
    except Exception as error:  # noqa: BLE001 - as in trial.py: a trial's fault must not end the search
        if is_out(error) or is_gone(error, run):
            raise
        write_atomic(folder / "error.txt", traceback.format_exc().encode())
        referee.ended(trial.number, "failed", f"{type(error).__name__}: {error}")
    finally:
        board.close()


def single(spec: Spec, params: dict[str, Any] | None, workers: int) -> Spec:
    """Return the spec of one training: everything fixed, one trial, no early stopping.

    Searched settings take the values of `params`, else of the first start point, else the model's defaults.
    """
    chosen = params if params is not None else (spec.search.start or [{}])[0]
    named = {f"{group}.{name}": v for group, vs in spec.space.configs(chosen).items() for name, v in vs.items()}
    given = {"workers": workers, "concurrent": 1, "gpus": whole_gpus(spec.resources)}
    return dataclasses.replace(
        spec,
        space=Space(fixed=named),
        search=spec.search.model_copy(update={"sampler": "random", "start": []}),
        stop=Stop(kind="none"),
        budget=spec.budget.model_copy(update={"trials": 1}),
        resources=spec.resources.model_copy(update=given),
    )
