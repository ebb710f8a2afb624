"""The command line: one verb a command; data to standard output, talk to standard error, one line an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gxsearch import __version__, exits
from gxsearch.answer import answer, asked, say, sayer, streams, write
from gxsearch.clusters import cluster
from gxsearch.completing import completion
from gxsearch.finished import ablate, genes, grid, predict, refit, replay
from gxsearch.starting import doctor, init, schema
from gxsearch.verbs import ADDRESS, RUNS, SETS, TRACK, Gpus, Verbs, check, data, generate
from gxsearch.verdicts import compare, confirm, is_comparison
from gxsearch.watching import board, dash, status


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Shells complete verbs, options, runs, models and settings: gxsearch completion --help says how.",
)
@click.version_option(__version__, "-V", "--version")
def cli() -> None:
    """Find, train and compare models that learn representations of gene expression."""


@cli.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the architectures, or every setting of one."""
    from gxsearch import overview

    write(overview.models(name, as_json=asked().json))


cli.add_command(init)
cli.add_command(check)
cli.add_command(schema)


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
@streams
def tune(spec: str, sets: Sequence[str], older: Sequence[str], top: int, name: str | None, **given: Any) -> None:
    """Search a space of settings and make the results."""
    from gxsearch import api
    from gxsearch.changes import as_sets

    where = {key: given.pop(key) for key in ("out", "address")}
    loaded = api.load_spec(spec, *sets, *_tracked(given.pop("track")), *as_sets(given))
    loaded = api.warmed(loaded, older, top=top) if older else loaded
    for note in loaded.notes:
        say(f"note: {note}")
    run = api.tune(loaded, name=name, quiet=asked().quiet, say=sayer(), **where)
    from gxsearch import listing, outcome  # after what may be refused: they take a while to import

    answer(lambda: listing.ending(run), lambda: outcome.ending(run))


@cli.command()
@click.argument("run")
@click.option("-n", "--trials", help="New number of trials, or +N more.")
@click.option("--time", metavar="30m", help="New time of the whole search.")
@TRACK
@ADDRESS
@streams
def resume(run: str, trials: str | None, time: str | None, track: Sequence[str], address: str) -> None:
    """Go on with a search that was stopped."""
    from gxsearch import api, listing, outcome

    how = {"address": address, "quiet": asked().quiet, "say": sayer()}

    if is_comparison(run):
        from gxsearch.comparing import go_on
        from gxsearch.verdicts import compared

        if trials or time or track:
            raise click.UsageError("budget and trackers of a comparison are those which it was begun with")
        place = go_on(Path(run), **how)
        answer(lambda: compared(place), lambda: outcome.compared(place))
        return
    made = api.resume(run, budget=listing.budget_change(run, trials, time), track=track, **how)
    answer(lambda: listing.ending(made), lambda: outcome.ending(made))


@cli.command()
@click.argument("spec")
@SETS
@click.option("--trial", metavar="RUN/NNN", help="Take the settings of this trial.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that train together.")
@click.option("--name", help="Name of the run's folder.")
@TRACK
@RUNS
@streams
def train(spec: str, sets: Sequence[str], trial: str | None, track: Sequence[str], **how: Any) -> None:
    """Train once, without a search."""
    from gxsearch import api, listing, outcome

    loaded = api.load_spec(spec, *sets, *_tracked(track))
    params = listing.trial_at(trial).params if trial else None
    run = api.train(loaded, trial=params, quiet=asked().quiet, say=sayer(), **how)
    answer(lambda: listing.ending(run), lambda: outcome.ending(run))


cli.add_command(status)


@cli.command()
@click.argument("run")
@click.option("--top", type=click.IntRange(1), help="Show the best N only.")
@click.option("--failed", is_flag=True, help="Show the trials that failed or diverged only.")
def trials(run: str, top: int | None, failed: bool) -> None:
    """List the trials, best first, with the baselines."""
    from gxsearch import listing

    write(listing.trials(run, top=top, failed=failed, as_json=asked().json))


@cli.command()
@click.argument("run")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def best(run: str, form: str) -> None:
    """Print the settings of the best trial."""
    from gxsearch import listing

    write(listing.best(run, "json" if asked().json else form))


@cli.command()
@click.argument("source", metavar="RUN[/NNN]_OR_MODEL")
@click.argument("data")
@click.option("-o", "--out", metavar="OUT.h5ad", help="Where to write; by default <data>_<model>.h5ad, here.")
@click.option("--recon", is_flag=True, help="Add the reconstructed values as a layer.")
@click.option("--umap", is_flag=True, help="Add neighbors and a UMAP of the vectors, as scanpy writes them.")
@click.option("--as-batch", multiple=True, metavar="NAME", help="Of counts: --recon as if all rows were of this batch.")
@click.option("--key", metavar="NAME", help="Name what is added so; by default as the model is called.")
@click.option("--force", is_flag=True, help="Replace a file that exists, and names in the data that are taken.")
def embed(source: str, data: str, out: str | None, **wish: Any) -> None:
    """Add vectors of new samples to an AnnData."""
    from gxsearch import api, outcome

    out = out or str(api.embedded_path(source, data))
    told = outcome.embedded(api.embed(source, data, out, **wish), out)
    added = [f"{axis}['{key}'] {shape}" for axis in ("obsm", "varm") for key, shape in told[axis].items()]
    answer(lambda: f"{out}: {', '.join(added)}", lambda: told)


@cli.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("-o", "--out", help="Folder to write; by default within the run.")
def export(run: str, out: str | None) -> None:
    """Write the best model, or that of RUN/NNN, as a folder that loads in one line."""
    from gxsearch import listing
    from gxsearch.results.export import export as make

    folder, number = listing.split_trial(run)
    path = make(folder, number, out)
    answer(lambda: str(path), lambda: {"folder": path})


for verb in (compare, confirm, predict, generate, genes, grid, ablate, refit, replay):
    cli.add_command(verb)


@cli.command()
@click.argument("run")
@click.option("--static", is_flag=True, help="Pictures instead of interactive plots.")
def report(run: str, static: bool) -> None:
    """Write results/report.html again."""
    if is_comparison(run):
        from gxsearch.results import compare_report
        from gxsearch.results.compare_dir import CompareDir
        from gxsearch.results.comparison import read

        place = CompareDir.open(run)
        path = compare_report.write(place, read(place), static=static)
    else:
        from gxsearch.results import report as page
        from gxsearch.results.run_dir import RunDir

        path = page.write(RunDir.open(run), static=static)
    answer(lambda: str(path), lambda: {"report": path})


for verb in (board, dash, doctor, data, cluster, completion):
    cli.add_command(verb)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; a fault of the user's is one line and an exit code, not a traceback."""
    exits.run(cli, sys.argv[1:] if argv is None else argv)


def _tracked(options: Sequence[str]) -> list[str]:
    from gxsearch.search.track import as_sets

    return as_sets(options)


if __name__ == "__main__":
    main()
