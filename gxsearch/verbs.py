"""The group of verbs, which suggests the nearest; the verbs that make data sets, `gxsearch data VERB`, and curves."""

from __future__ import annotations

from collections.abc import Sequence
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


@click.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("-o", "--out", required=True, metavar="OUT.csv|OUT.h5ad", help="Where to write.")
@click.option("--clusters", type=click.IntRange(1), help="Clusters of the genes; by default the label's classes, or 6.")
@click.option("--cluster", type=click.IntRange(0), help="Draw around this one only; 0 is the largest.")
@click.option("-n", type=click.IntRange(0), default=20, show_default=True, help="Curves around each center.")
@click.option("--sd", type=click.FloatRange(0), help="Deviation of the draws; by default the paper's, the root of 0.3.")
@click.option("--at", metavar="Z,Z,...", help="Draw around this point of the latent space instead.")
@click.option("--prior", is_flag=True, help="Draw anywhere instead: from N(0, I).")
@click.option("--times", metavar="T,T,...", help="Times, in units of the data; by default those of the training.")
@click.option(
    "--batch", metavar="NAME", help="Batch of the curves, where the model is given any; by default that of most times."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of clusters and draws.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def generate(run: str, out: str, at: str | None, times: str | None, force: bool, **given: Any) -> None:
    """Draw new curves of genes around the clusters of a model of series, or anywhere."""
    from gxsearch import api, listing

    folder, number = listing.split_trial(run)
    wish = {name: value for name, value in given.items() if value is not None}
    wish |= {name: _numbers(text, name) for name, text in (("at", at), ("times", times)) if text is not None}
    made = api.generate(folder.path, out, number=number, force=force, **wish)
    click.echo(f"{out}: {len(made):,} curves, of which {int(made['center'].sum())} are of centers")


def _numbers(text: str, option: str) -> Sequence[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"'{text}' is no list of numbers such as 0,1.5", param_hint=f"--{option}") from None
