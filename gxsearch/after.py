"""The verbs that go on from a finished run; `api` has them too."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from gxsearch.results.far import give_back, near
from gxsearch.results.run_dir import RunDir, fresh_name, is_number
from gxsearch.search.spec import Spec

if TYPE_CHECKING:
    from gxsearch.results.package import Package

    Place = str | os.PathLike[str]
    Source = Place | Package


class Wish(TypedDict, total=False):
    """What may be asked of new curves and cells: settings of `results.generate.Wish` and `results.cells.CellWish`."""

    n: int
    seed: int
    phenotypes: dict[str, str]
    steps: int
    temperature: float
    clusters: int
    cluster: int
    sd: float
    at: list[float]
    prior: bool
    times: list[float]
    batch: str


def ablate(run: Place, *changes: str, seeds: int = 3, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Train the best settings of a run over paired seeds, as they are and with changes such as ``model.contrast=none``.

    Returns what `search.ablate.ablate` describes; it is kept in the run and told in its report.

    Raises:
        SpecError: when a setting is unknown or its value is refused.
    """
    from gxsearch.results import report
    from gxsearch.search.ablate import ablate as compare

    folder = RunDir.open(os.fspath(run))
    told = compare(folder, changes, seeds=seeds, say=say)
    report.write(folder)
    return told


def embed(
    source: Source,
    data: Any,
    out: str | Path | None = None,
    *,
    recon: bool = False,
    umap: bool = False,
    as_batch: Sequence[str] = (),
    key: str | None = None,
    copy: bool = False,
    force: bool = False,
) -> Any:
    """Add the vectors of a run's best model, a trial's, or an exported one's, to a data set; return it.

    Args:
        data: an AnnData, to which is added in place (with `copy`, to a copy of it), or the name, path or URI of one.
        out: the file to write; by default none of an AnnData, else ``<name of the data>_<model>.h5ad``, here.
        recon: add the model's values as a layer; of counts those under the batches that `as_batch` names.
        umap: add neighbors and a UMAP of the vectors, as scanpy writes them.
        key: what the names of all that is added are made of; by default the model's name.
        force: replace a file that exists, and names in the data that are taken.

    Raises:
        DataError: when the data cannot be read, lack genes of the model, or the file or a name exists.
    """
    from gxsearch.results.embed import embed_new

    if isinstance(data, str | Path):
        out = embedded_path(source, data) if out is None else out
    elif copy:
        data = data.copy()
    return embed_new(source, data, out, recon=recon, umap=umap, as_batch=as_batch, key=key, force=force)


def embedded_path(source: Source, data: str | Path) -> Path:
    """Return where `embed` writes unless it is told."""
    stem = Path(str(data).split("?")[0]).name.split(".")[0]
    return Path(f"{stem}_{open_model(source).name}.h5ad")


def open_model(path: Source) -> Any:
    """Read a run's best model, that of a trial (RUN/NNN), or an exported one; nothing in it is executed.

    Returns:
        a `results.package.Package`.
    """
    from gxsearch.results.package import open_package

    return open_package(path)


def generate(
    run: Place, out: Place | None = None, *, number: int | None = None, force: bool = False, **wish: Unpack[Wish]
) -> Any:
    """Draw from a run's best model, or that of trial `number`: new curves of genes, or new cells.

    Args:
        run: a run, or a trial of one (RUN/NNN).
        out: a file to write, .csv or .h5ad for curves, .h5ad for cells; one that exists is replaced only with `force`.
        wish: settings of `results.generate.Wish`, for a model of series: n, clusters, cluster, at, prior, times,
            batch, sd, seed; of `results.cells.CellWish`, for one of tokens: n, phenotypes, steps, temperature, seed.

    Returns:
        curves: a data frame with a row per curve: name, cluster, center, its vector, and its scaled values by time.
        cells: an AnnData, as `results.cells.new_cells` says.

    Raises:
        SpecError: when a setting is unknown, out of bounds or for the other kind of model, or a phenotype or category
            is none of the model's.
        DataError: when the model is of neither kind, or the cluster, point, time or batch is not among its own.
    """
    from gxsearch.results import cells

    place, number = parted(run, number)
    folder = RunDir.open(place)
    draw = _new_cells if cells.suit(folder, wish) else _new_curves
    return draw(folder, None if out is None else Path(out), number, wish, force=force)


def _new_cells(run: RunDir, out: Path | None, number: int | None, wish: dict[str, Any], *, force: bool) -> Any:
    from gxsearch.config import read
    from gxsearch.data import h5ad
    from gxsearch.results.cells import CellWish, new_cells

    asked = read(CellWish, wish, "")
    if out is not None:
        h5ad.check_out(out, force=force)
    made = new_cells(run, asked, number)
    if out is not None:
        h5ad.write(made, out)
    return made


def _new_curves(run: RunDir, out: Path | None, number: int | None, wish: dict[str, Any], *, force: bool) -> Any:
    from gxsearch.config import read
    from gxsearch.results import generate as new

    asked = read(new.Wish, wish, "")
    if out is not None:
        new.check_out(out, force=force)
    made = new.new_curves(run, asked, number)
    if out is not None:
        new.write(made, out, force=force)
    return new.frame(made)


def genes(
    source: Place,
    names: Sequence[str],
    *,
    top: int = 10,
    measure: Literal["cosine", "pearson"] = "cosine",
) -> Any:
    """Compare genes by their vectors in a run's best model (or RUN/NNN's, or an exported one's).

    Returns:
        a `results.similar.Similar`: `among`, the similarity of the genes named, and `nearest`, the `top` nearest of
        each, both as data frames.

    Raises:
        DataError: naming every gene that the model lacks, or when it has no vectors of genes.
    """
    from gxsearch.results.similar import similar

    place, number = parted(source)
    return similar(place, names, top=top, measure=measure, number=number)


def parted(source: Place, number: int | None = None) -> tuple[Path, int | None]:
    """Return a run, or a model, and the number of its trial: that which is told, or that of RUN/NNN."""
    place = Path(near(os.fspath(source)))
    if is_number(place.name) and not (place / "run.json").exists() and (place.parent / "run.json").exists():
        return place.parent, int(place.name) if number is None else number
    return place, number


def predict(
    source: Place,
    data: Any = None,
    out: Place | None = None,
    *,
    number: int | None = None,
    phenotypes: Sequence[str] = (),
    given: Sequence[str] = (),
    where: dict[str, Sequence[str]] | None = None,
    force: bool = False,
) -> Any:
    """Infer phenotypes of rows from their genes, and other phenotypes if asked to, by a model of tokens.

    Args:
        source: a run (its best model, or that of trial `number`), a trial, or an exported model.
        data: a data set, or an AnnData, which is only read; by default the run's own test rows.
        out: a .csv or .h5ad file to write; one that exists is replaced only with `force`.
        phenotypes: those to infer; by default all that are not given.
        given: those that the model reads, as the rows have them; all others are hidden from it.
        where: phenotype -> categories: only rows that have one of these, for each phenotype; '' is not specified.

    Returns:
        a `results.predict.Predicted`; `results.predict.frame` makes it a table.

    Raises:
        SpecError: naming every phenotype or category that the model does not know.
        DataError: when the model tells no phenotypes, the data lack genes or a column that is needed, no row is left,
            or the file exists.
    """
    from gxsearch.results import predict as inferred

    if out is not None:
        inferred.check_out(Path(out), force=force)
    source, number = parted(source, number)
    asked = {"number": number, "phenotypes": phenotypes, "given": given, "where": where}
    made = inferred.predict(source, data, **asked)
    if out is not None:
        inferred.write(made, out, force=force)
    return made


def refit(
    run: Place,
    number: int | None = None,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    **settings: Any,
) -> RunDir:
    """Train the best settings of a run, or those of trial `number`, once more under Ray's TorchTrainer: for longer,
    over more workers, or by another seed.

    Args:
        epochs, seed, workers: by default those of the run's spec. settings: as for `api.train`: out, name, address,
            quiet, say.

    Returns:
        the folder of the new run, with its results; the old one is only read.

    Raises:
        RunFailed: when no trial may win. RunError: E630 when there is no such trial.
    """
    from gxsearch.api import train
    from gxsearch.results import leaderboard

    folder = RunDir.open(near(run))
    spec = Spec.from_json(folder.facts()["spec"])
    trial = leaderboard.best(folder) if number is None else leaderboard.find(folder, number)
    budget = spec.budget.model_copy(update={"epochs": epochs or spec.budget.epochs, "time_s": None})
    search = spec.search.model_copy(update={"seed": spec.search.seed if seed is None else seed})
    spec = dataclasses.replace(spec, budget=budget, search=search)
    settings["name"] = settings.get("name") or fresh_name(f"{spec.name}-refit")
    return train(spec, trial=trial.params, workers=workers or spec.resources.workers, trainer=True, **settings)


def replay(
    run: Place, number: int | None = None, *, keep: bool = False, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train the best trial of a run, or trial `number`, again from the run's own record, and compare the figures.

    Returns what `search.replay.replay` describes; its ``verdict`` is identical, rounding or differs. The run is only
    read, but for results/replay.json with `keep`.

    Raises:
        RunError: when data, columns or split are no longer those of the run, or there is no such trial.
    """
    from gxsearch.search.replay import replay as again

    place, number = parted(run, number)
    folder = RunDir.open(place)
    told = again(folder, number, keep=keep, say=say)
    give_back(folder)
    return told


def warmed(spec: Spec, runs: Sequence[Place], *, top: int = 3) -> Spec:
    """Return a spec whose search begins with the best settings of older runs of the same model, `top` of each.

    The runs may be of other data and other spaces: what `spec` does not search is left out, and a value outside its
    ranges is drawn anew. `notes` of the result says so.

    Raises:
        RunError: naming all runs that are missing or damaged.
        SpecError: when a run is of another model, has no result, or nothing of it fits.
    """
    from gxsearch.search.warm import warmed as begun

    return begun(spec, [os.fspath(run) for run in runs], top=top)
