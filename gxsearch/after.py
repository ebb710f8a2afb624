"""The verbs that go on from a finished run; `api` has them too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from gxsearch.results.run_dir import RunDir


def ablate(
    run: str | Path, *changes: str, seeds: int = 3, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train the best settings of a run over paired seeds, as they are and with changes such as ``model.contrast=none``.

    Returns what `search.ablate.ablate` describes; it is kept in the run and told in its report.

    Raises:
        SpecError: when a setting is unknown or its value is refused.
    """
    from gxsearch.results import report
    from gxsearch.search.ablate import ablate as compare

    folder = RunDir.open(run)
    told = compare(folder, changes, seeds=seeds, say=say)
    report.write(folder)
    return told


def embed(
    source: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    recon: bool = False,
    as_batch: Sequence[str] = (),
    force: bool = False,
) -> Any:
    """Add the vectors of a run's best model, or of an exported one, to a data set; return it and write it.

    The file is `out`, or ``<name of the data>_<model>.h5ad`` in the working folder; one that exists is replaced only
    with `force`. Values (`recon`) of a model of counts are those under the batches that `as_batch` names.

    Raises:
        DataError: when the data cannot be read, lack genes of the model, or the file exists.
    """
    from gxsearch.results.embed import embed_new

    out = embedded_path(source, data) if out is None else out
    return embed_new(source, data, out, recon=recon, as_batch=as_batch, force=force)


def embedded_path(source: str | Path, data: str | Path) -> Path:
    """Return where `embed` writes unless it is told."""
    stem = Path(str(data).split("?")[0]).name.split(".")[0]
    return Path(f"{stem}_{open_model(source).name}.h5ad")


def open_model(path: str | Path) -> Any:
    """Read a run's best model, or an exported one, as a `results.package.Package`; nothing in it is executed."""
    from gxsearch.results.package import open_package

    return open_package(path)


def generate(
    run: str | Path, out: str | Path | None = None, *, number: int | None = None, force: bool = False, **wish: Any
) -> Any:
    """Draw new curves of genes from a run's best model of series, or that of trial `number`.

    Args:
        out: a .csv or .h5ad file to write; one that exists is replaced only with `force`.
        wish: settings of `results.generate.Wish`: n, clusters, cluster, at, prior, times, batch, sd, seed.

    Returns:
        a data frame with a row per curve: name, cluster, center, its vector, and its scaled values by time.

    Raises:
        SpecError: when a setting is unknown or out of bounds.
        DataError: when the model is none of series, or the cluster, point, time or batch is not among its own.
    """
    from gxsearch.config import read
    from gxsearch.results import generate as new

    asked = read(new.Wish, wish, "")
    if out is not None:
        new.check_out(Path(out), force=force)
    made = new.new_curves(RunDir.open(run), asked, number)
    if out is not None:
        new.write(made, out, force=force)
    return new.frame(made)


def genes(
    source: str | Path,
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

    place = Path(source)
    if place.name.isdigit() and not (place / "run.json").exists() and (place.parent / "run.json").exists():
        return similar(place.parent, names, top=top, measure=measure, number=int(place.name))
    return similar(source, names, top=top, measure=measure)
