"""The group of verbs, which suggests the nearest; and the verbs that make data sets, `gxsearch data VERB`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from gxsearch.errors import did_you_mean


class Verbs(click.Group):
    """A group that suggests the nearest verb, and lists verbs in the order of a user's day."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a verb by name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"no verb '{args[0]}'; {did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of their definition."""
        return list(self.commands)


@click.group(cls=Verbs)
def data() -> None:
    """Make data sets from others."""


@data.command()
@click.argument("cells")
@click.option("-o", "--out", required=True, metavar="OUT.h5ad", help="Where to write.")
@click.option("--donor", required=True, metavar="COLUMN", help="Column of obs that names the donor of each cell.")
@click.option("--cell-type", required=True, metavar="COLUMN", help="Column of obs that names the type of each cell.")
@click.option("--layer", help="Layer to read instead of X.")
@click.option("--mixtures", type=click.IntRange(1), default=1, show_default=True, help="Mixtures per donor.")
@click.option(
    "--alpha",
    type=click.FloatRange(0.001, 1e6),
    default=1.0,
    show_default=True,
    help="Concentration of the Dirichlet proportions.",
)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Seed of the proportions.")
@click.option("--min-cells", type=click.IntRange(1), default=1, show_default=True, help="Least cells of a profile.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def pseudobulk(cells: str, out: str, force: bool, **given: Any) -> None:
    """Average cells by donor and type, and mix the averages at random into samples like bulk tissue."""
    from gxsearch import api

    made = api.pseudobulk(cells, out, force=force, say=partial(click.echo, err=True), **given)
    of, donors = made.obs["kind"].value_counts(), made.obs["donor"].nunique()
    click.echo(
        f"{out}: {donors:,} donors, {of['profile']:,} profiles, {of['pseudobulk']:,} mixtures x {made.n_vars:,} genes"
    )
