"""The verbs about cluster files, `gxsearch cluster VERB`: covers of Ray's, kubectl's and Slurm's commands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gxsearch.answer import answer, asked, sayer
from gxsearch.verbs import Verbs, named

SETS = click.option("-s", "--set", "sets", multiple=True, metavar="NAME=VALUE", help="Fill in ${GXSEARCH_NAME}.")
DRY = click.option("--dry-run", is_flag=True, help="Print the commands, run none.")


@click.group(cls=Verbs)
def cluster() -> None:
    """Check cluster files, and run searches on clusters."""


@cluster.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def lint(files: Sequence[str]) -> None:
    """Say what is wrong or unsafe in files of `ray up`, KubeRay or Slurm."""
    from gxsearch.cluster.findings import refuse
    from gxsearch.cluster.lint import lint as look

    seen = [(file, *look(file)) for file in files]
    fine = [f"{file}: ok ({kind})" for file, kind, faults in seen if not faults]
    if fine or asked().json:
        told = [{"file": file, "kind": kind, "faults": list(map(asdict, faults))} for file, kind, faults in seen]
        answer(lambda: "\n".join(fine), lambda: {"files": told})
    refuse([fault for _, _, faults in seen for fault in faults])


@cluster.command()
@click.argument("file")
@SETS
@DRY
def up(file: str, sets: Sequence[str], dry_run: bool) -> None:
    """Start the cluster of a file that passes the lint."""
    plan = _plan(file, sets)
    steps = plan.up()
    if not dry_run and plan.kind == "ray":
        from gxsearch.cluster.findings import refuse
        from gxsearch.search.launch import make_token

        make_token()
        refuse(plan.missing())
    _do(steps, dry_run)


@cluster.command()
@click.argument("file")
@click.argument("spec", required=False)
@click.option("--name", help="Name of the run; by default that of SPEC.")
@click.option("--resume", metavar="NAME", help="Go on with this run instead.")
@SETS
@DRY
def submit(
    file: str, spec: str | None, name: str | None, resume: str | None, sets: Sequence[str], dry_run: bool
) -> None:
    """Run the search of SPEC on the cluster, and leave it running."""
    if (spec is None) == (resume is None):
        raise click.UsageError("give a SPEC, or --resume NAME")
    from gxsearch.cluster.plan import RUNS, Work
    from gxsearch.results.run_dir import named as folder

    plan = _plan(file, sets)
    if spec is not None:
        from gxsearch.search.spec import load

        own = load(spec).name  # what is wrong with it is said here, and not in a log over there
        resume = name or own
    _do(plan.submit(Work(folder(RUNS, resume).name, spec)), dry_run)


@cluster.command()
@click.argument("file")
@click.argument("name", required=False)
@SETS
@DRY
def status(file: str, name: str | None, sets: Sequence[str], dry_run: bool) -> None:
    """Say where the cluster stands, or the run NAME on it."""
    _do(_plan(file, sets).status(name and _checked(name)), dry_run)


@cluster.command()
@click.argument("file")
@click.argument("name")
@click.option("-o", "--out", default="runs", show_default=True, help="Folder of runs, here.")
@SETS
@DRY
def fetch(file: str, name: str, out: str, sets: Sequence[str], dry_run: bool) -> None:
    """Copy the run NAME from the cluster's disk."""
    _do(_plan(file, sets).fetch(_checked(name), out), dry_run)


@cluster.command()
@click.argument("file")
@SETS
@DRY
def down(file: str, sets: Sequence[str], dry_run: bool) -> None:
    """End all that costs by the hour; the disk of the runs stays."""
    _do(_plan(file, sets, safe=False).down(), dry_run)


def _plan(file: str, sets: Sequence[str], *, safe: bool = True) -> Any:
    from gxsearch.cluster.plan import Plan

    given = {f"GXSEARCH_{name.removeprefix('GXSEARCH_')}": words[0] for name, words in named(sets, "set").items()}
    return Plan(file, {**os.environ, **given}, safe=safe)


def _checked(name: str) -> str:
    from gxsearch.results.run_dir import named as folder

    return folder(Path("runs"), name).name


def _do(steps: Sequence[Any], dry_run: bool) -> None:
    """Run steps, or show them; with `--json` what they print is talk, and the result is what was run."""
    from gxsearch.cluster.step import run

    if not dry_run:
        run(steps, sayer(), aside=asked().json)
    if dry_run or asked().json:
        told = {"dry_run": dry_run, "commands": list(map(str, steps))}
        answer(lambda: "\n".join(map(str, steps)), lambda: told)
