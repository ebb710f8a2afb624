"""The verbs, in Python: what `gxsearch VERB` does, `gxsearch.verb(...)` does too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from gxsearch.after import ablate, embed, embedded_path, generate, genes, open_model, predict, refit, replay, warmed
from gxsearch.comparing import compare
from gxsearch.confirming import confirm
from gxsearch.results.far import begun, reopened, shown
from gxsearch.results.run_dir import RunDir, fresh_name
from gxsearch.search.spec import Spec, load
from gxsearch.search.stopped import told
from gxsearch.search.track import check_installed, chosen
from gxsearch.search.tracking import Trackers
from gxsearch.steps import concluded, run_confirm, run_first, run_search, serving

__all__ = ["ablate", "check", "embed", "embedded_path", "generate", "genes", "load_spec", "open_model"]
__all__ += ["compare", "confirm"]
__all__ += ["predict", "pseudobulk", "refit", "replay", "resume", "train", "tune", "warmed"]
LOCAL = "local"


class Mixing(TypedDict, total=False):
    """How cells are mixed: settings of `data.pseudobulk.Mixing`, of which donor and cell_type must be given."""

    donor: str
    cell_type: str
    layer: str
    mixtures: int
    alpha: float
    seed: int
    min_cells: int


def load_spec(path: str | Path, *sets: str) -> Spec:
    """Read and check a search space file; `sets` are ``path=value`` changes, as with ``--set``.

    Raises:
        SpecError: with all faults.
    """
    return load(path, sets)


def check(
    spec: Spec,
    *,
    data: bool = True,
    measure: bool = False,
    within: float | None = None,
    price: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Check all that can be known before a trial starts; return what was found.

    Keys: corners (settings built at the ends of the space), notes, and with `data` the facts of the table. With
    `measure` also measured, as `search.dry.dry_run` says: what the search would take, from a few steps of some of its
    trainings, each of which may take `within` seconds; `price` is that of an hour of this machine.

    Raises:
        SpecError: when a corner of the space is refused by the model.
        DataError: with all that is wrong with the data.
        ResourceError: E520 when the package of a tracker is missing; with `measure`, when not even one trial fits this
            machine by CPUs and GPUs.
    """
    check_installed(spec.track)
    found: dict[str, Any] = {"corners": spec.check_corners(), "notes": spec.notes}
    if data:
        from gxsearch.search.intake import dims, read_table  # a second that a check of the file only need not pay

        table = read_table(spec)
        sizes = dims(spec, table)
        found["facts"] = table.facts
        if measure:
            from gxsearch.search.dry import Wish, dry_run

            wish = Wish(price=price) if within is None else Wish(within, price)
            found["measured"] = dry_run(spec, table, sizes, wish, say)
    return found


def tune(
    spec: Spec,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    address: str = LOCAL,
    warm: Sequence[str | Path] = (),
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> RunDir:
    """Search a space; return the run folder, with its results made.

    Args:
        warm: older runs whose best settings are tried first, as `warmed` says.
        out: the folder that holds runs, or an address of object storage (s3://BUCKET/PREFIX, gs://).
        name: of the run's folder; by default the spec's with the time.
        address: `local` starts a Ray of its own on this machine; else that of a cluster.
        quiet: show no progress. say: is told what is being done.

    Raises:
        SpecError, DataError, ResourceError: before anything was started.
        RunFailed: no trial succeeded, or object storage failed. Interrupted: a signal came.
    """
    from gxsearch.search.intake import dims, read_table
    from gxsearch.search.launch import connected, local_resources, slots
    from gxsearch.search.memory import check_memory
    from gxsearch.search.packing import check_address, settled

    check_installed(spec.track)
    spec = warmed(spec, warm) if warm else spec
    spec.check_corners()
    if spec.first is not None:
        from gxsearch.search.stages import first_spec

        first_spec(spec)  # says what is wrong with its file
    check_address(spec.resources, address, out)
    with begun(out, name or fresh_name(spec.name), say) as folder:
        here = slots(spec.resources, *local_resources()) if address == LOCAL else 0  # before the data: it is quick
        table = read_table(spec)
        check_memory(table, here if spec.resources.gpus != "auto" else 1)
        dims(spec, table)  # says whether the data suit the model
        resources = settled(spec, table, say)
        from gxsearch.search.opening import begin  # imports Ray: only once nothing speaks against it

        with told(folder), Trackers(say) as trackers:
            with connected(address, resources) as fit, serving() as fleet, begin(spec, table, fit, folder) as opened:
                opened.take(resources)
                trackers.follow(opened.run, opened.spec.track)
                say(f"{shown(folder)}   {fit} trials at once   {spec.data.path}: {table.n_obs} x {table.n_vars}")
                run_first(opened, lambda stage: run_search(stage, quiet, fleet), say)
                run_search(opened, quiet, fleet)
                run_confirm(opened, opened.spec.confirm, fit, quiet, say, fleet)
            return concluded(opened.run, opened.table, say)


def resume(
    run: str | Path,
    *,
    budget: dict[str, Any] | None = None,
    track: Sequence[str] = (),
    address: str = LOCAL,
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> RunDir:
    """Go on with a stopped search; finished trials stay, running ones go on from their last checkpoint.

    `budget` replaces entries of the spec's budget: trials, time_s. `track` are trackers, ``NAME=TARGET``, beside those
    that were sent to before, which are sent what they have missed.

    Raises:
        RunError: when there is no run, it is running, or its ledger is damaged.
    """
    from gxsearch.search import confirm as stage
    from gxsearch.search.launch import connected
    from gxsearch.search.opening import reopen
    from gxsearch.search.packing import check_address, settled

    with reopened(run, say) as folder, told(folder), Trackers(say) as trackers:
        with reopen(RunDir.open(folder), budget or {}) as opened:
            asked_for = chosen(opened.spec.track, track)
            check_installed(asked_for)
            trackers.follow(opened.run, asked_for)
            asked = opened.spec.confirm
            check_address(opened.spec.resources, address, run)
            searched = opened.referee.done
            if searched:
                run_first(opened, lambda stage: run_search(stage, quiet, None), say)
                opened.close("done")
                trials = stage.picked(opened.run, asked.top)
            if not searched or trials and stage.unfinished(opened.run, opened.spec, asked, trials):
                opened.take(settled(opened.spec, opened.table, say))
                # how many run at once was settled when the search began; fewer CPUs make it slower, not different
                resources = opened.spec.resources.model_copy(update={"concurrent": "auto"})
                with connected(address, resources) as fit, serving() as fleet:
                    if not searched:
                        run_first(opened, lambda stage: run_search(stage, quiet, fleet), say)
                        run_search(opened, quiet, fleet)
                    run_confirm(opened, asked, fit, quiet, say, fleet)
        return concluded(opened.run, opened.table, say)


def train(
    spec: Spec,
    *,
    trial: dict[str, Any] | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    workers: int = 1,
    trainer: bool = False,
    address: str = LOCAL,
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> RunDir:
    """Train once, without a search; the run folder is that of a search of one trial.

    Settings are the fixed ones of the spec; for searched ones those of `trial`, else of the first start point, else
    the model's defaults. One worker trains in this process; more train under Ray's TorchTrainer, and one does too
    with `trainer`, on the Ray at `address`.
    """
    from gxsearch.console import Progress
    from gxsearch.search.deadline import Deadline
    from gxsearch.search.intake import read_table
    from gxsearch.search.local import search_here, single
    from gxsearch.search.memory import check_memory
    from gxsearch.search.opening import begin

    check_installed(spec.track)
    spec = single(spec, trial, workers)
    table = read_table(spec)
    check_memory(table, workers)

    def run_here(opened: Any) -> None:
        with Progress(opened.referee, Deadline(None), quiet=quiet) as progress:
            if not (trainer or workers > 1) or opened.spec.model != spec.model:
                search_here(opened.spec, opened.run, opened.table, opened.referee, progress.tick)
            else:
                from gxsearch.search.refit import search_under_trainer

                search_under_trainer(opened.spec, opened.run, opened.table, opened.referee, progress.tick, address)
        opened.close("done")

    with begun(out, name or fresh_name(f"{spec.name}-train"), say) as folder, told(folder), Trackers(say) as trackers:
        with begin(spec, table, 1, folder) as opened:
            trackers.follow(opened.run, opened.spec.track)
            say(f"{shown(folder)}   {spec.data.path}: {table.n_obs} x {table.n_vars}")
            run_first(opened, run_here, say, lambda first: single(first, None, 1))
            run_here(opened)
        return concluded(opened.run, opened.table, say)


def pseudobulk(
    cells: Any,
    out: str | Path | None = None,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda text: None,
    **settings: Unpack[Mixing],
) -> Any:
    """Average the cells of each donor by type, mix the averages at random, and return both as an AnnData.

    Args:
        cells: a name, path or URI as `data.path` takes them, or an AnnData.
        out: an .h5ad file to write; one that exists is replaced only with `force`.
        say: is told what is odd about the cells.
        settings: those of `data.pseudobulk.Mixing`: donor and cell_type, the names of obs columns, and layer,
            mixtures, alpha, seed, min_cells.

    Raises:
        SpecError: when a setting is unknown, missing or out of bounds.
        DataError: with all that is wrong with the cells, or when the file exists. UnsafeError: when `out` is a link.
    """
    from gxsearch.config import read as read_config
    from gxsearch.data import h5ad
    from gxsearch.data.pseudobulk import Mixing as Config
    from gxsearch.data.pseudobulk import pseudobulk as mix
    from gxsearch.data.sources import load as load_data

    config = read_config(Config, settings, "")
    if out is not None:
        h5ad.check_out(Path(out), force=force)
    is_path = isinstance(cells, str | Path)
    made, odd = mix(load_data(str(cells)) if is_path else cells, config, str(cells) if is_path else "cells")
    for text in odd:
        say(f"warning: {text}")
    if out is not None:
        h5ad.write(made, Path(out))
    return made
