"""Verbs that ask more of a finished run: its genes, its map, what a change would do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gxsearch.answer import answer, asked, sayer, streams
from gxsearch.errors import RunFailed
from gxsearch.verbs import ADDRESS, RUNS, named


@click.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.argument("names", metavar="[GENE]...", nargs=-1)
@click.option("--list", "file", metavar="FILE", help="Text file of further genes, one a line.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Nearest genes of each.")
@click.option("--measure", type=click.Choice(["cosine", "pearson"]), default="cosine", show_default=True)
@click.option("-o", "--out", metavar="OUT.csv", help="Write the pairs as CSV instead of printing tables.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def genes(run: str, names: Sequence[str], file: str | None, out: str | None, force: bool, **how: Any) -> None:
    """Compare genes by their vectors, and find the nearest of each."""
    if not names and file is None:
        raise click.UsageError("name at least one GENE, or --list FILE")
    from gxsearch import api, listing, outcome
    from gxsearch.data.genes import read_genes
    from gxsearch.results.similar import write

    listed = read_genes(file, None) if file is not None else []
    found = api.genes(run, [*names, *listed], **how)
    file = {} if out is None else {"file": write(found, Path(out), force=force)}
    answer(lambda: str(file["file"]) if file else listing.genes(found), lambda: {**file, **outcome.genes(found)})


@click.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("-o", "--out", help="Folder to write; by default the run's results.")
def grid(run: str, out: str | None) -> None:
    """Map a two-dimensional embedding: profiles decoded on a grid, as a picture and an AnnData."""
    from gxsearch import listing
    from gxsearch.results.grid import write

    folder, number = listing.split_trial(run)
    paths = write(folder, number, Path(out) if out else None)
    answer(lambda: "\n".join(map(str, paths)), lambda: {"files": paths})


@click.command()
@click.argument("run")
@click.argument("changes", nargs=-1, required=True, metavar="SETTING=VALUE...")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings of each kind.")
def ablate(run: str, changes: Sequence[str], seeds: int) -> None:
    """Train the best settings with and without a change, over the same seeds."""
    from gxsearch import api, listing

    told = api.ablate(run, *changes, seeds=seeds, say=sayer())
    answer(lambda: listing.ablation(told), lambda: told)


@click.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("--trial", type=click.IntRange(0), help="Repeat this one; by default the best.")
@click.option("--keep", is_flag=True, help="Write what was found to RUN/results/replay.json.")
def replay(run: str, trial: int | None, keep: bool) -> None:
    """Train the best trial again from the run's record, and say whether its figures are the same."""
    from gxsearch import api, listing

    folder, number = listing.split_trial(run)
    told = api.replay(folder.path, number if trial is None else trial, keep=keep, say=sayer())
    answer(lambda: listing.replayed(told), lambda: told)
    if told["verdict"] == "differs":
        raise RunFailed.one("E715", run, f"trial {told['trial']:03d} does not repeat", "see the reasons above")


@click.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("--epochs", type=click.IntRange(1), help="By default those of the search.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="By default that of the search.")
@click.option("--workers", type=click.IntRange(1), help="Processes that train together; by default as in the search.")
@click.option("--name", help="Name of the new run's folder.")
@RUNS
@ADDRESS
@streams
def refit(run: str, **wish: Any) -> None:
    """Train the best settings once more under Ray's TorchTrainer: longer, over more workers, by another seed."""
    from gxsearch import api, listing, outcome

    folder, number = listing.split_trial(run)
    made = api.refit(folder.path, number, quiet=asked().quiet, say=sayer(), **wish)
    answer(lambda: listing.ending(made), lambda: outcome.ending(made))


@click.command()
@click.argument("run", metavar="RUN[/NNN]_OR_MODEL")
@click.argument("data", required=False)
@click.option("-o", "--out", required=True, metavar="OUT.csv|OUT.h5ad", help="Where to write.")
@click.option("--phenotype", "phenotypes", multiple=True, metavar="NAME", help="Infer this one; by default all.")
@click.option("--given", multiple=True, metavar="NAME", help="Read this one, as the rows have it; others are hidden.")
@click.option(
    "--where", multiple=True, metavar="NAME=CATEGORY[,...]", help="Only rows of one of these; several are all needed."
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def predict(run: str, data: str | None, out: str, where: Sequence[str], **wish: Any) -> None:
    """Infer phenotypes of new rows, or of the run's test rows (transformer)."""
    from gxsearch import api, listing, outcome
    from gxsearch.results.predict import told

    source, number = (run, None) if (Path(run) / "manifest.json").is_file() else listing.split_trial(run)
    source = source if number is None and isinstance(source, str) else source.path
    made = api.predict(source, data, out, number=number, where=named(where, "where", several=True), **wish)
    answer(
        lambda: "\n".join([f"{out}:", *(f"  {line}" for line in told(made))]),
        lambda: {"file": out, "phenotypes": outcome.predicted(made)},
    )
