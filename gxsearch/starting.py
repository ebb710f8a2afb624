"""The verbs of a first day: `init` writes a spec, `schema` is for editors, `doctor` looks at the machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click

from gxsearch.verbs import ADDRESS, RUNS


@click.command()
@click.argument("model", required=False)
@click.option("-d", "--data", required=True, metavar="DATA", help="File, folder of shards, URI, or built-in set.")
@click.option("-o", "--out", metavar="FILE.yaml", help="Where to write; by default MODEL-DATA.yaml, here.")
@click.option("--label", metavar="COLUMN", help="Column that colors and scores the vectors.")
@click.option("--batch", multiple=True, metavar="COLUMN", help="Column of a nuisance covariate; several at once.")
@click.option("--group", metavar="COLUMN", help="Column (donor, patient) whose rows stay together in the split.")
@click.option("--time", metavar="COLUMN", help="Column of times, for series.")
@click.option("--spatial", metavar="KEY", help="Key of obsm with coordinates.")
@click.option("--layer", help="Layer to read instead of X.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(
    model: str | None, data: str, out: str | None, batch: Sequence[str], force: bool, as_json: bool, **asked: str | None
) -> None:
    """Look at a data set; with MODEL, write a search space file for it that runs."""
    if model is None and (out or force):
        raise click.UsageError("-o and --force are for a MODEL; without one nothing is written")
    from gxsearch import drafting
    from gxsearch.data.roles import Wish

    places = {name: asked.pop(name) for name in ("layer", "spatial")}
    seen = drafting.look(data, Wish(batch=batch, **asked), **places)
    path = drafting.write(seen, model, out, force=force) if model is not None else None
    if as_json:
        click.echo(json.dumps(seen.to_json() | {"written": None if path is None else str(path)}, indent=1))
        return
    click.echo(drafting.told(seen))
    if path is None:
        click.echo(drafting.advised(seen))
        return
    own = next(one for one in seen.advice if one.model == model)
    click.echo(drafting.following(path, checked=own.numbers.looked == 1))


@click.command()
@click.argument("model", required=False)
@click.option("-o", "--out", metavar="FILE.json", help="Where to write; by default to standard output.")
def schema(model: str | None, out: str | None) -> None:
    """Print the JSON Schema of search space files of MODEL, or of all models, for editors."""
    from gxsearch.search import json_schema, shipped

    found = json_schema.schema(model) if model is not None else json_schema.of_any()
    text = json_schema.text(found)
    if out is None:
        click.echo(text, nl=False)
        return
    shipped.write_schema(text, out)
    click.echo(f"{out}: first line of a search space file beside it:  # yaml-language-server: $schema={Path(out).name}")


@click.command()
@RUNS
@ADDRESS
@click.option("--no-ray", is_flag=True, help="Do not start Ray, or ask the one at --address.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(out: str, address: str, no_ray: bool, as_json: bool) -> None:
    """Look at this machine: versions, CPUs, memory, GPUs, disks, storage, Ray; starts no search."""
    from gxsearch.errors import ResourceError, visible
    from gxsearch.search.doctor import diagnose

    found = []
    for one in diagnose(out=out, address=address, ray=not no_ray):
        found.append(one)
        if not as_json:
            line = f"{one.state:<6} {one.part:<11} {one.what}" + (f" - {one.fix}" if one.fix else "")
            click.echo(visible(line))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
    wrong = [one.part for one in found if one.state == "wrong"]
    if wrong:
        raise ResourceError.one("E516", "", f"wrong on this machine: {', '.join(wrong)}", "see the lines above")
