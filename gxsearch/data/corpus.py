"""A corpus: many shards as one data set, of which names and columns are in memory and values pass by in blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import union_categoricals

from gxsearch.data.checks import check_names
from gxsearch.data.columns import named_columns
from gxsearch.data.findings import Findings, counted, shown
from gxsearch.data.orient import turned
from gxsearch.data.shard import Head, Shard
from gxsearch.data.survey import Moments, Survey
from gxsearch.data.table import DataConfig
from gxsearch.data.transform import transform
from gxsearch.data.values import Matrix, NumberCheck, as_float32, negative_fix
from gxsearch.errors import DataError, did_you_mean

MOST = 20  # faulty shards told of


@dataclass(frozen=True)
class Corpus:
    """Shards under one another.

    Attributes:
        start: the first row of each shard, and the number of all (s + 1,).
        place: of each shard, where its genes stand in the order of the first one's; None where the order is the same.
        adata: names of rows and genes, the columns and coordinates that are read; no values.
    """

    shards: tuple[Shard, ...]
    start: np.ndarray
    place: tuple[np.ndarray | None, ...]
    adata: AnnData

    def survey(self, config: DataConfig, found: Findings, *, allow_negative: bool) -> Survey:
        """Read and check all values once; faults are told by shard (E410-E413, E417)."""
        survey, faulty = Survey(*self.adata.shape), 0
        negative = None if allow_negative else negative_fix()
        for i, shard in enumerate(self.shards):
            here = Findings(found.where, shard.source)
            check = NumberCheck(negative=negative, gaps=False)
            for start, block in self._blocks(i, config.layer, here):
                names = self.adata.obs_names[start : start + block.shape[0]]
                if check.add(block, names, self.adata.var_names):
                    survey.add(start, as_float32(block))
            check.report(f"layers/{config.layer}" if config.layer else "X", here)
            found.faults.extend(here.faults)
            faulty += bool(here.faults)
            if faulty == MOST:
                break
        return survey

    def moments(self, config: DataConfig, target: float | None, train: np.ndarray) -> Moments:
        """Read all values again, and return the moments of transformed ones over the rows `train`, which ascend."""
        moments = Moments(self.adata.n_vars)
        for start, block in self.transformed(config, target):
            low, high = np.searchsorted(train, [start, start + block.shape[0]])
            moments.add(block[train[low:high] - start])
        return moments

    def transformed(self, config: DataConfig, target: float | None) -> Iterator[tuple[int, Matrix]]:
        """Yield the number of the first row, and the transformed values of the rows (n', g), block by block."""
        for i, shard in enumerate(self.shards):
            here = Findings("", shard.source)
            for start, block in self._blocks(i, config.layer, here):
                yield start, transform(as_float32(block), config.transform, target)
            here.stop_if_faulty()

    def stamps(self) -> list[list[Any]]:
        """Return what changes with the shards' content."""
        return [shard.stamp() for shard in self.shards]

    def _blocks(self, i: int, layer: str | None, here: Findings) -> Iterator[tuple[int, Matrix]]:
        """Yield the rows of a shard with its genes in the corpus' order."""
        shape, place = (int(self.start[i + 1] - self.start[i]), self.adata.n_vars), self.place[i]
        for start, block in self.shards[i].blocks(layer, shape, here):
            aligned = block if place is None else block[:, place]
            if place is not None and not isinstance(aligned, np.ndarray):
                aligned.sort_indices()
            yield int(self.start[i]) + start, aligned


def open_corpus(shards: tuple[Shard, ...], config: DataConfig, extra: Iterable[str], found: Findings) -> Corpus:
    """Read names, columns and coordinates of all shards.

    Genes may come in any order. Where two rows of different shards have one name, all rows get their shard's name in
    front: ``shard03:AAACCTGA``. A column that only the model names may be absent from a shard: its rows have a gap.

    Raises:
        DataError: by shard: E402, E416 names used twice, E421 columns that the spec names, E425 coordinates,
            E444 genes; E445 settings that need all values at once.
        UnsafeError: E80x.
    """
    _check_settings(config, found)
    named, extra = named_columns(config), tuple(extra)
    prefixes = tuple(name.removesuffix("*") for name in extra if name.endswith("*"))
    columns = {*named.values(), *extra}
    reader = _Reader(
        lambda name: name in columns or (bool(prefixes) and name.startswith(prefixes)),
        lambda name: name == config.spatial or name in prefixes,
    )
    for shard in shards:
        reader.read(shard, named, config.spatial, found)
        if len(found.faults) >= MOST:
            break
    found.stop_if_faulty()
    obs = _joined([head.obs for head in reader.heads])
    start = np.cumsum([0, *(len(head.obs) for head in reader.heads)])
    if not obs.index.is_unique:
        labels = _labels(shards)
        obs.index = np.repeat([f"{label}:" for label in labels], np.diff(start)).astype(object) + obs.index
        found.warn(f"rows of different shards have one name: all are called by their shard, as {shown(obs.index[:1])}")
    keys = set.intersection(*(set(head.obsm) for head in reader.heads))
    obsm = {key: np.concatenate([np.asarray(head.obsm[key]) for head in reader.heads]) for key in sorted(keys)}
    var = pd.DataFrame(index=pd.Index(reader.heads[0].var_names.astype(object)))
    return Corpus(shards, start, tuple(reader.place), AnnData(obs=obs, var=var, obsm=obsm))


class _Reader:
    """Reads one shard after the other, and compares each with the first."""

    def __init__(self, wanted: Callable[[str], bool], obsm: Callable[[str], bool]):
        self._wanted, self._obsm = wanted, obsm
        self._first: Shard | None = None
        self.heads: list[Head] = []
        self.place: list[np.ndarray | None] = []

    def read(self, shard: Shard, named: dict[str, str], spatial: str | None, found: Findings) -> None:
        here = Findings(found.where, shard.source)
        try:
            head = shard.head(self._wanted, self._obsm)
        except DataError as error:
            found.faults.extend(error.faults)
            return
        check_names(head.obs.index, "obs_names", here)
        for setting, name in named.items():
            if name not in head.columns:
                hint = did_you_mean(name, head.columns) or "obs has no columns"
                here.setting("E421", f"{setting}: {shard.source} has no obs column '{name}'", hint)
        if spatial is not None and spatial not in head.obsm:
            here.setting("E425", f"data.spatial: {shard.source} has no obsm '{spatial}'", "leave this shard out")
        self.place.append(self._aligned(head, here))
        if self._first is None:
            self._first = shard
        else:
            head = Head(head.obs, [], np.array([]), head.obsm)  # thousands of shards have the same names of genes
        self.heads.append(head)
        found.faults.extend(here.faults)

    def _aligned(self, head: Head, here: Findings) -> np.ndarray | None:
        """Return the shard's genes in the order of the first one's; None where they are so already."""
        if self._first is not None and np.array_equal(head.var_names, self.heads[0].var_names):
            return None
        check_names(head.var_names, "var_names", here)
        if self._first is None or here.faults:
            return None
        place_g = pd.Index(head.var_names).get_indexer(self.heads[0].var_names)
        if (place_g < 0).any() or len(head.var_names) > len(place_g):
            lost = self.heads[0].var_names[place_g < 0]
            more = np.setdiff1d(head.var_names, self.heads[0].var_names)
            words = [f"lacks {counted(len(lost), 'gene')} of {self._first.source}: {shown(lost)}"] if len(lost) else []
            words += [f"has {counted(len(more), 'gene')} that it lacks: {shown(more)}"] if len(more) else []
            here.content("E444", "var", "; ".join(words), "give all shards the same genes, in any order")
        return place_g


def _check_settings(config: DataConfig, found: Findings) -> None:
    """Note settings that need all values at once (E445)."""
    if turned(config):
        found.setting("E445", "data.orientation: genes cannot be rows of a corpus of shards", "join them into one file")
    if config.view.get("missing") == "mask":
        found.setting("E445", "data.view.missing: shards cannot have missing values", "join them into one file")


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return frames under one another; a column that some lack has gaps there."""
    names = list(dict.fromkeys(name for frame in frames for name in frame))
    index = pd.Index(np.concatenate([frame.index.to_numpy(dtype=object) for frame in frames]))
    return pd.DataFrame({name: _column(name, frames) for name in names}, index=index)


def _column(name: str, frames: list[pd.DataFrame]) -> Any:
    stop = np.cumsum([len(frame) for frame in frames])
    parts = [frame[name] for frame in frames if name in frame]
    rows = np.concatenate([np.arange(b - len(f), b) for f, b in zip(frames, stop, strict=True) if name in f])
    categories = {part.cat.categories.dtype if isinstance(part.dtype, pd.CategoricalDtype) else None for part in parts}
    if len(categories) == 1 and None not in categories:
        values = union_categoricals(parts, ignore_order=True)
    else:
        values = pd.concat(parts, ignore_index=True).array
    return values if len(rows) == stop[-1] else pd.Series(values, index=rows).reindex(np.arange(stop[-1])).array


def _labels(shards: tuple[Shard, ...]) -> list[str]:
    """Return the shards' names without endings, below the folder that they have in common."""
    above = Path(os.path.commonpath([shard.path.parent.resolve() for shard in shards]))
    return [str(shard.path.parent.resolve().relative_to(above) / shard.path.stem) for shard in shards]
