"""The command line: one verb a command; data to standard output, talk to standard error, one line an error."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gxsearch import __version__
from gxsearch.clusters import cluster
from gxsearch.errors import AGAIN, Fault, GxError, SpecError
from gxsearch.finished import ablate, genes, grid, predict, refit, replay
from gxsearch.verbs import ADDRESS, RUNS, SETS, TRACK, Gpus, Verbs, check, data, generate
from gxsearch.verdicts import compare, confirm, is_comparison

QUIET = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Find, train and compare models that learn representations of gene expression."""


@cli.command()
@click.argument("name", required=False)
@JSON
def models(name: str | None, as_json: bool) -> None:
    """List the architectures, or every setting of one."""
    from gxsearch import overview

    click.echo(overview.models(name, as_json=as_json))


cli.add_command(check)


@cli.command()
@click.argument("spec")
@SETS
@click.option("-n", "--trials", type=click.IntRange(1), help="Number of trials.")
@click.option("--epochs", type=click.IntRange(1), help="Most epochs of a trial.")
@click.option("--time", metavar="30m", help="Time of the whole search: 90s, 30m, 12h, 2d.")
@click.option("-j", "--concurrent", type=click.IntRange(1), help="Trials at once.")
@click.option("--gpus", type=Gpus(), help="GPUs per worker of a trial; 0.5 lets two share one, auto as many as fit.")
@click.option("--seed", type=click.IntRange(0), help="Seed of draws and trainings.")
@click.option("--from", "older", multiple=True, metavar="RUN", help="Begin with the best settings of this run.")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Of each --from, how many.")
@click.option("--name", help="Name of the run's folder; by default the spec's with the time.")
@TRACK
@RUNS
@ADDRESS
@QUIET
def tune(
    spec: str, sets: Sequence[str], older: Sequence[str], top: int, name: str | None, quiet: bool, **given: Any
) -> None:
    """Search a space of settings and make the results."""
    from gxsearch import api

    where = {key: given.pop(key) for key in ("out", "address")}
    loaded = api.load_spec(spec, *sets, *_tracked(given.pop("track")), *_as_sets(given))
    loaded = api.warmed(loaded, older, top=top) if older else loaded
    for note in loaded.notes:
        _say(f"note: {note}")
    run = api.tune(loaded, name=name, quiet=quiet, say=_sayer(quiet), **where)
    from gxsearch import listing  # after what may be refused: it takes a while to import

    click.echo(listing.ending(run))


@cli.command()
@click.argument("run")
@click.option("-n", "--trials", help="New number of trials, or +N more.")
@click.option("--time", metavar="30m", help="New time of the whole search.")
@TRACK
@ADDRESS
@QUIET
def resume(run: str, trials: str | None, time: str | None, track: Sequence[str], address: str, quiet: bool) -> None:
    """Go on with a search that was stopped."""
    from gxsearch import api, listing

    if is_comparison(run):
        from gxsearch.comparing import go_on
        from gxsearch.verdicts import compared

        if trials or time or track:
            raise click.UsageError("budget and trackers of a comparison are those which it was begun with")
        click.echo(compared(go_on(Path(run), address=address, quiet=quiet, say=_sayer(quiet))))
        return
    budget = listing.budget_change(run, trials, time)
    found = api.resume(run, budget=budget, track=track, address=address, quiet=quiet, say=_sayer(quiet))
    click.echo(listing.ending(found))


@cli.command()
@click.argument("spec")
@SETS
@click.option("--trial", metavar="RUN/NNN", help="Take the settings of this trial.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that train together.")
@click.option("--name", help="Name of the run's folder.")
@TRACK
@RUNS
@QUIET
def train(spec: str, sets: Sequence[str], trial: str | None, track: Sequence[str], quiet: bool, **given: Any) -> None:
    """Train once, without a search."""
    from gxsearch import api, listing

    loaded = api.load_spec(spec, *sets, *_tracked(track))
    params = listing.trial_at(trial).params if trial else None
    run = api.train(loaded, trial=params, quiet=quiet, say=_sayer(quiet), **given)
    click.echo(listing.ending(run))


@cli.command()
@click.argument("run")
@JSON
def status(run: str, as_json: bool) -> None:
    """Say where a search stands."""
    from gxsearch import listing

    click.echo(listing.status(run, as_json=as_json))


@cli.command()
@click.argument("run")
@click.option("--top", type=click.IntRange(1), help="Show the best N only.")
@click.option("--failed", is_flag=True, help="Show the trials that failed or diverged only.")
@JSON
def trials(run: str, top: int | None, failed: bool, as_json: bool) -> None:
    """List the trials, best first, with the baselines."""
    from gxsearch import listing

    click.echo(listing.trials(run, top=top, failed=failed, as_json=as_json))


@cli.command()
@click.argument("run")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def best(run: str, form: str) -> None:
    """Print the settings of the best trial."""
    from gxsearch import listing

    click.echo(listing.best(run, form))


@cli.command()
@click.argument("source", metavar="RUN_OR_MODEL")
@click.argument("data")
@click.option("-o", "--out", metavar="OUT.h5ad", help="Where to write; by default <data>_<model>.h5ad, here.")
@click.option("--recon", is_flag=True, help="Add the reconstructed values as a layer.")
@click.option("--umap", is_flag=True, help="Add neighbors and a UMAP of the vectors, as scanpy writes them.")
@click.option("--as-batch", multiple=True, metavar="NAME", help="Of counts: --recon as if all rows were of this batch.")
@click.option("--key", metavar="NAME", help="Name what is added so; by default as the model is called.")
@click.option("--force", is_flag=True, help="Replace a file that exists, and names in the data that are taken.")
def embed(source: str, data: str, out: str | None, **asked: Any) -> None:
    """Add vectors of new samples to an AnnData."""
    from gxsearch import api

    out = out or str(api.embedded_path(source, data))
    adata = api.embed(source, data, out, **asked)
    known = adata.uns["gxsearch"]
    own = [key for key in adata.obsm if key.removeprefix("X_").removesuffix("_umap") in known]
    added = [f"obsm['{key}'] {adata.obsm[key].shape}" for key in own]
    added += [f"varm['{key}'] {adata.varm[key].shape}" for key in adata.varm if key in known]
    click.echo(f"{out}: {', '.join(added)}")


@cli.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("-o", "--out", help="Folder to write; by default within the run.")
def export(run: str, out: str | None) -> None:
    """Write the best model, or that of RUN/NNN, as a folder that loads in one line."""
    from gxsearch import listing
    from gxsearch.results.export import export as write

    folder, number = listing.split_trial(run)
    click.echo(write(folder, number, out))


for verb in (compare, confirm, predict, generate, genes, grid, ablate, refit, replay):
    cli.add_command(verb)


@cli.command()
@click.argument("run")
@click.option("--static", is_flag=True, help="Pictures instead of interactive plots.")
def report(run: str, static: bool) -> None:
    """Write results/report.html again."""
    from gxsearch.results import report as page
    from gxsearch.results.run_dir import RunDir

    if is_comparison(run):
        from gxsearch.results import compare_report
        from gxsearch.results.compare_dir import CompareDir
        from gxsearch.results.comparison import read

        place = CompareDir.open(run)
        click.echo(compare_report.write(place, read(place), static=static))
        return
    click.echo(page.write(RunDir.open(run), static=static))


cli.add_command(data)
cli.add_command(cluster)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; a fault of the user's is one line and an exit code, not a traceback."""
    args = list(sys.argv[1:] if argv is None else argv)
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        cli(args=args, standalone_mode=False)
    except GxError as error:
        if "--debug" in args:
            raise
        _show(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt) as stop:
        _say("stopped")
        number = getattr(stop.__cause__ or stop, "signal", signal.SIGINT)  # click wraps it
        sys.exit(AGAIN if number == signal.SIGUSR1 else 128 + number)
    except Exception as error:  # noqa: BLE001 - who wants the traceback asks for it
        if "--debug" in args:
            raise
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        _say(str(Fault("E790", "", f"this is a mistake of gxsearch ({what})", "see where with: gxsearch --debug ...")))
        sys.exit(7)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop(KeyboardInterrupt):
    """What a signal other than that of Ctrl-C raises."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = number


def _stop(number: int, frame: Any) -> None:
    raise _Stop(number)


def _show(error: GxError) -> None:
    if error.faults[0].code == "E690":  # a signal is no error
        _say(str(error))
        return
    for fault in error.faults:
        click.echo(str(fault), err=True)
        if isinstance(error, SpecError):
            from gxsearch.search.yaml_file import excerpt

            lines = excerpt(fault.where)
            if lines:
                click.echo(lines, err=True)


def _as_sets(given: dict[str, Any]) -> list[str]:
    places = {
        "trials": "budget.trials",
        "epochs": "budget.epochs",
        "time": "budget.time",
        "concurrent": "resources.concurrent",
        "gpus": "resources.gpus",
        "seed": "search.seed",
    }
    return [f"{places[name]}={value}" for name, value in given.items() if value is not None]


def _tracked(options: Sequence[str]) -> list[str]:
    from gxsearch.search.track import as_sets

    return as_sets(options)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _sayer(quiet: bool) -> Any:
    return (lambda text: None) if quiet else _say


if __name__ == "__main__":
    main()
