"""The group of verbs, which suggests the nearest; `check`, `gxsearch data VERB`, `generate`; options they share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from gxsearch.answer import answer, equip, sayer
from gxsearch.completing import offer
from gxsearch.errors import did_you_mean

RUNS = click.option(
    "-o", "--out", default=lambda: os.environ.get("GXSEARCH_RUNS", "runs"), help="Runs: folder, s3:// (GXSEARCH_RUNS)."
)
ADDRESS = click.option("--address", default="local", show_default=True, help="Ray cluster; local starts one here.")


class Verbs(click.Group):
    """A group that suggests the nearest verb, lists verbs in the order of a user's day, and gives all some options."""

    def __init__(self, *given: Any, **how: Any):
        super().__init__(*given, **{"no_args_is_help": False, **how})
        equip(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a verb."""
        if not isinstance(cmd, Verbs):
            equip(cmd)
            offer(cmd)
        super().add_command(cmd, name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a verb by name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"no verb '{args[0]}'; {did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of their definition."""
        return list(self.commands)


SETS = click.option("-s", "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a value of the file.")
TRACK = click.option(
    "--track", multiple=True, metavar="NAME=TARGET", help="Send it to mlflow=URI or wandb=PROJECT too; repeatable."
)


class Gpus(click.ParamType):
    """A number of GPUs, which may be a share of one, or auto."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return auto, or the number."""
        return value if value == "auto" else click.FloatRange(0).convert(value, param, ctx)


@click.command()
@click.argument("spec")
@SETS
@click.option("--no-data", is_flag=True, help="Check the file only.")
@click.option("--measure", is_flag=True, help="Take a few steps of some trainings; tell what the search would take.")
@click.option("--within", type=click.FloatRange(1), help="Most seconds of each such training; by default 60.")
@click.option("--price", type=click.FloatRange(0), help="Price of an hour of a machine like this one.")
def check(spec: str, sets: Sequence[str], no_data: bool, **wish: Any) -> None:
    """Check a search space file and its data; start nothing. With --measure, also what its search would take."""
    if not wish["measure"] and (wish["within"] or wish["price"]):
        raise click.UsageError("--within and --price are of --measure")
    if wish["measure"] and no_data:
        raise click.UsageError("--measure needs the data")
    from gxsearch import api, overview

    loaded = api.load_spec(spec, *sets)
    found = api.check(loaded, data=not no_data, say=sayer(), **wish)
    answer(lambda: overview.checked(loaded, found), lambda: found)
    if "measured" in found:
        from gxsearch.search.dry import fault

        wrong = fault(found["measured"], spec)
        if wrong is not None:
            raise wrong


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

    made = api.pseudobulk(cells, out, force=force, say=sayer(), **given)
    kinds, n = made.obs["kind"].value_counts(), int(made.obs["donor"].nunique())
    of = {"donors": n, "profiles": int(kinds["profile"]), "mixtures": int(kinds["pseudobulk"]), "genes": made.n_vars}
    counts = "{donors:,} donors, {profiles:,} profiles, {mixtures:,} mixtures x {genes:,} genes".format(**of)
    answer(lambda: f"{out}: {counts}", lambda: {"file": out, **of})


@click.command()
@click.argument("run", metavar="RUN[/NNN]")
@click.option("-o", "--out", required=True, metavar="OUT.csv|OUT.h5ad", help="Where to write; cells as .h5ad.")
@click.option("-n", type=click.IntRange(0), help="Curves around each center, by default 20; or cells, by default 100.")
@click.option("--seed", type=click.IntRange(0), help="Seed of all draws; by default 0.")
@click.option(
    "--as",
    "phenotypes",
    multiple=True,
    metavar="NAME=CATEGORY",
    help="Cells: of this phenotype; several at once.",
)
@click.option("--steps", type=click.IntRange(1), help="Cells: rounds in which genes are drawn; by default 16.")
@click.option("--temperature", type=float, help="Cells: below 1 likelier ones, above 1 more varied ones.")
@click.option("--clusters", type=click.IntRange(1), help="Curves: clusters of the genes; by default the label's, or 6.")
@click.option("--cluster", type=click.IntRange(0), help="Curves: draw around this one only; 0 is the largest.")
@click.option("--sd", type=click.FloatRange(0), help="Curves: deviation of the draws; by default the root of 0.3.")
@click.option("--at", metavar="Z,Z,...", help="Curves: draw around this point of the latent space instead.")
@click.option("--prior", is_flag=True, help="Curves: draw anywhere instead: from N(0, I).")
@click.option("--times", metavar="T,T,...", help="Curves: times, in units of the data; by default the training's.")
@click.option(
    "--batch",
    metavar="NAME",
    help="Curves: of this batch, where the model knows any; by default that of most times.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def generate(run: str, out: str, force: bool, **given: Any) -> None:
    """Draw new cells under chosen phenotypes (transformer), or new curves of genes (rvagene)."""
    from gxsearch import api, listing, outcome

    folder, number = listing.split_trial(run)
    made = api.generate(folder.path, out, number=number, force=force, **_wish(given))
    answer(lambda: f"{out}: {listing.generated(made)}", lambda: {"file": out, **outcome.generated(made)})


def _wish(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, in words of the library."""
    wish = {name: value for name, value in given.items() if value is not None and value is not False and value != ()}
    wish |= {name: _numbers(wish[name], name) for name in ("at", "times") if name in wish}
    if "phenotypes" in wish:
        pairs = named(wish["phenotypes"], "as")
        wish["phenotypes"] = {name: words[0] for name, words in pairs.items()}
    return wish


def named(options: Sequence[str], option: str, *, several: bool = False) -> dict[str, list[str]]:
    """Return ``NAME=WORD`` options as words by name; ``NAME=WORD,WORD`` where there may be `several`."""
    found: dict[str, list[str]] = {}
    for text in options:
        name, equals, words = text.partition("=")
        if not name or not equals or name in found:
            what = "is given twice" if name in found else f"must be NAME=CATEGORY, got '{text}'"
            raise click.BadParameter(f"{name} {what}" if name in found else what, param_hint=f"--{option}")
        found[name] = words.split(",") if several else [words]
    return found


def _numbers(text: str, option: str) -> Sequence[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"'{text}' is no list of numbers such as 0,1.5", param_hint=f"--{option}") from None
