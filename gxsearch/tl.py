"""Tools on an AnnData, with the conventions of scanpy: written in place, or into a copy that is returned."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gxsearch.results import embed as embedding
from gxsearch.results import package
from gxsearch.results.adding import checked
from gxsearch.results.package import Package

if TYPE_CHECKING:
    from anndata import AnnData

    Model = str | os.PathLike[str] | Package


def embed(
    adata: AnnData,
    model: Model,
    *,
    key_added: str | None = None,
    copy: bool = False,
    recon: bool = False,
    as_batch: Sequence[str] = (),
    force: bool = False,
) -> AnnData | None:
    """Add the vectors of the rows: obsm["X_fe"], varm["fe"] where genes have vectors, and where they are from.

    Nothing that is there is lost; what the same trial had added is replaced.

    Args:
        model: what `Trial.model` or `load` gave; or a run (its best), a trial, or the path of any of these.
        key_added: what takes the place of the model's name in all that is added.
        copy: change and return a copy instead.
        recon: add the model's values as a layer too; of counts those under the batches that `as_batch` names.
        force: replace names that are taken.

    Raises:
        DataError: when the data lack genes of the model, or a name is taken: E457.
    """
    adata = adata.copy() if copy else adata
    embedding.embed_new(model, adata, None, recon=recon, as_batch=as_batch, key=key_added, force=force)
    return adata if copy else None


def predict(
    adata: AnnData,
    model: Model,
    *,
    phenotypes: Sequence[str] = (),
    given: Sequence[str] = (),
    key_added: str | None = None,
    copy: bool = False,
    force: bool = False,
) -> AnnData | None:
    """Add phenotypes of the rows as a model of tokens infers them.

    For each, obs["transformer_<phenotype>"], obsm["transformer_<phenotype>_probabilities"] and
    uns["transformer_<phenotype>_classes"].

    Args:
        phenotypes: those to infer; by default all that are not given.
        given: those that the model reads, as the rows have them; all others are hidden from it.
        model, key_added, copy, force: as in `embed`.

    Raises:
        SpecError: naming every phenotype that the model does not know.
        DataError: when the model tells no phenotypes, the data lack genes or a column given, or a name is taken.
    """
    from gxsearch.results import predict as inferred

    found = dataclasses.replace(package.open_package(model), key_added=checked(key_added))
    adata = adata.copy() if copy else adata
    inferred.add(inferred.predict(found, adata, phenotypes=phenotypes, given=given), adata, force=force)
    return adata if copy else None
