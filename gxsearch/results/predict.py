"""Predict: any phenotypes of rows from their genes and any other phenotypes, by a run's best model of tokens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.data import h5ad
from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.errors import DataError, Fault, SpecError, UnsafeError, did_you_mean
from gxsearch.results import adding, package, tokens
from gxsearch.results.embed import PROVENANCE, again, provenance
from gxsearch.results.far import near
from gxsearch.results.leaderboard import cell
from gxsearch.results.package import Package
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.token_baselines import chances_of_phenotypes

Where = dict[str, Sequence[str]]
"""Phenotype -> categories of which a row must have one; '' is not specified."""


@dataclass(frozen=True)
class Predicted:
    """What was inferred of rows.

    Attributes:
        names: of the rows (n,).
        classes: names of the categories (c,) of each phenotype that was inferred.
        chances: their probabilities (n, c).
        known: the category that each row has (n,), by all phenotypes of the model; '' where it has none.
        adata: the rows with all that the data have of them; without values where they are a run's own.
    """

    found: Package
    names: np.ndarray
    classes: dict[str, np.ndarray]
    chances: dict[str, np.ndarray]
    known: dict[str, np.ndarray]
    adata: AnnData


def predict(
    source: str | Path | Package,
    data: str | Path | AnnData | None,
    *,
    number: int | None = None,
    phenotypes: Sequence[str] = (),
    given: Sequence[str] = (),
    where: Where | None = None,
    device: str = "cpu",
) -> Predicted:
    """Infer phenotypes of the rows of a data set, or of a run's own test rows.

    Args:
        source: a run, or a model, exported or read, which has no test rows of its own.
        phenotypes: those to infer; by default all that are not given.
        given: those that the model reads besides the genes, as the rows have them; all others are hidden from it.
        where: the rows to take; by default all.

    Raises:
        SpecError: naming every phenotype or category that the model does not know, before the data are read.
        DataError: when the model is none of tokens, the data lack a column that is given or chosen by, no row is left,
            or as for `embed_new`.
    """
    source = source if isinstance(source, Package) else near(source)
    found = package.of_run(RunDir.open(source), number) if number is not None else package.open_package(source)
    where = where or {}
    of_tokens(found, str(source) if not isinstance(source, Package) else found.name)
    phenotypes = _checked(found, phenotypes, given, where)
    if data is None and (isinstance(source, Package) or not RunDir(source).run.is_file()):
        raise SpecError.one("E302", "DATA", "an exported model has no rows of its own", "name a data set")
    adata, table = _rows(found, source, data, {*given, *where})
    code_np, view = found.view.codes(table), found.view
    known = {
        name: np.where(code_np[:, p] < 0, "", tokens.classes_of(view, name)[code_np[:, p]])
        for p, name in enumerate(view.dims.phenotypes)
    }
    chosen_n = np.ones(table.n_obs, dtype=bool)
    for name, words in where.items():
        chosen_n &= np.isin(known[name], list(words))
    kept = np.flatnonzero(chosen_n)
    if not len(kept):
        raise DataError.one("E495", "--where", f"none of {table.n_obs:,} rows has these phenotypes", "ask for others")
    found.model.to(device)
    chances = chances_of_phenotypes(found.model, view, table.take(kept), list(given))
    chances = {name: chances[name] for name in phenotypes}
    classes = {name: tokens.classes_of(view, name) for name in phenotypes}
    known = {name: values[kept] for name, values in known.items()}
    return Predicted(found, table.obs_names[kept], classes, chances, known, adata[kept].copy())


def frame(made: Predicted) -> pd.DataFrame:
    """Return a row per row: ``row`` and, of each phenotype, the category predicted, its probability and all of them.

    Columns: row, <phenotype>, <phenotype>_probability, <phenotype>_known (what the row has; '' for nothing), and
    <phenotype>=<category> for each category.
    """
    columns: dict[str, np.ndarray] = {"row": made.names}
    for name, chance_nc in made.chances.items():
        columns[name] = made.classes[name][chance_nc.argmax(1)]
        columns[f"{name}_probability"] = chance_nc.max(1)
        columns[f"{name}_known"] = made.known[name]
        columns |= {f"{name}={c}": chance_nc[:, i] for i, c in enumerate(made.classes[name].tolist())}
    return pd.DataFrame(columns)


def told(made: Predicted) -> list[str]:
    """Return a line a phenotype: of how many rows it is known, and how many of these are right."""
    lines = []
    for name, chance_nc in made.chances.items():
        known = made.known[name] != ""
        right = made.classes[name][chance_nc.argmax(1)] == made.known[name]
        share = f", {right[known].mean():.1%} of them right" if known.any() else ""
        lines.append(f"{name}: {len(known):,} rows, {int(known.sum()):,} of which say it themselves{share}")
    return lines


def write(made: Predicted, out: str | Path, *, force: bool = False) -> Path:
    """Write ``.csv`` as `frame` says, or ``.h5ad``: the rows, with predictions as `results.tokens.add` names them.

    Raises:
        DataError: when the file is of another kind, or it or a name in the data is there already, without `force`.
        UnsafeError: when it is a link.
    """
    out = Path(out)
    check_out(out, force=force)
    if out.suffix == ".csv":
        text = io.StringIO()
        table = frame(made).rename(columns=cell)
        table.map(cell).to_csv(text, index=False, lineterminator="\n", float_format="%.6g")
        write_atomic(out, text.getvalue().encode())
    else:
        add(made, made.adata, force=force)
        h5ad.write(made.adata, out, keep_text=True)
    return out


def add(made: Predicted, adata: AnnData, *, force: bool = False) -> None:
    """Put predictions into an AnnData of the rows that they are of, as `results.tokens.add` names them.

    Raises:
        DataError: E457 when a name is there already, of another trial, without `force`.
    """
    more = AnnData(obs=pd.DataFrame(index=adata.obs_names), var=pd.DataFrame(index=adata.var_names))
    tokens.add_chances(more, made.found, made.chances)
    more.uns[PROVENANCE] = {made.found.key: provenance(made.found)}
    adding.add(adata, more, made.found.key, force=force)


def check_out(out: Path, *, force: bool) -> None:
    """Refuse an output that must not be written; to be asked before the work is done."""
    if out.suffix != ".csv":
        h5ad.check_out(out, force=force)
    if out.is_symlink():
        raise UnsafeError.one("E811", str(out), "the output file is a link", "give the file it points to")
    if out.exists() and not force:
        raise DataError.one("E454", str(out), "this file exists already", "give another -o, or --force to replace it")


def of_tokens(found: Package, where: str) -> None:
    """Refuse a model that has no phenotypes.

    Raises:
        DataError: when it is none of tokens, or was told of none.
    """
    if not isinstance(found.view, TokensView):
        what = f"the model {found.name} tells no phenotypes"
        raise DataError.one("E479", where, what, "give a run of transformer")
    if not found.view.dims.phenotypes:
        what = "this transformer was trained without phenotypes"
        raise DataError.one("E479", where, what, "train one with data.view.phenotypes: [COLUMN]")


def category_faults(view: TokensView, phenotype: str, names: Sequence[str], option: str) -> list[Fault]:
    """Return what is wrong with a phenotype and some of its categories, '' being none."""
    known = view.tokenizer.phenotypes
    if phenotype not in known:
        what = f"'{phenotype}' is no phenotype of this model"
        return [Fault("E304", option, what, did_you_mean(phenotype, known))]
    odd = [name for name in names if name not in ("", *known[phenotype])]
    return [
        Fault("E304", option, f"'{name}' is no category of {phenotype}", did_you_mean(name, known[phenotype]))
        for name in odd
    ]


def _checked(found: Package, phenotypes: Sequence[str], given: Sequence[str], where: Where) -> list[str]:
    """Return the phenotypes to infer, once all names are known and fit together."""
    faults = [f for name in phenotypes for f in category_faults(found.view, name, (), "--phenotype")]
    faults += [f for name in given for f in category_faults(found.view, name, (), "--given")]
    faults += [f for name, words in where.items() for f in category_faults(found.view, name, words, "--where")]
    both = [name for name in phenotypes if name in given]
    faults += [Fault("E305", "--given", f"'{name}' is to be inferred and given", "leave one out") for name in both]
    able = list(found.view.dims.phenotypes)
    if found.model.config.task == "classify":
        able = [found.model.config.target]
        other = [name for name in phenotypes if name not in able]
        what = f"this model was trained to tell {able[0]} only"
        faults += [Fault("E305", "--phenotype", f"{name}: {what}", "leave it out") for name in other]
    wanted = [name for name in able if name in (phenotypes or able) and name not in given]
    if not wanted and not faults:
        faults.append(Fault("E305", "--given", "every phenotype is given, none is left to infer", "give fewer"))
    if faults:
        raise SpecError(faults)
    return wanted


def _rows(
    found: Package, source: str | Path | Package, data: str | Path | AnnData | None, needed: set[str]
) -> tuple[AnnData, Table]:
    """Return the rows of the data, or of a run's test part, as an AnnData and as a table."""
    from gxsearch.data.sources import load

    if data is None:
        whole = again(RunDir.open(source))
        table = whole.take(whole.rows("test"))
        obs = pd.DataFrame(table.obs, index=pd.Index(table.obs_names.astype(object)))
        adata = AnnData(obs=obs, var=pd.DataFrame(index=pd.Index(table.var_names.astype(object))))
        if not table.n_obs:
            raise DataError.one("E495", str(source), "the run has no test rows", "name a data set")
        return adata, table
    adata = adding.whole(data) if isinstance(data, AnnData) else load(str(data))
    missing = sorted(needed - set(adata.obs))
    if missing:
        hint = did_you_mean(missing[0], adata.obs)
        where = "the data" if isinstance(data, AnnData) else str(data)
        raise DataError([Fault("E421", where, f"no column obs/{name}", hint) for name in missing])
    return adata, found.read(adata)
