"""Split: which rows are held out; decided by hashes of names, so that it is the same for every trial and model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from gxsearch.data.table import PARTS, Split

TILE = "\0tile"
"""The column of tiles; no column of a file has this name."""
FILL = ("test", "val", "train")  # test first: its rows do not depend on the share of val


def split(obs_names: np.ndarray, config: Split, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the part of each row (n,), int8, index into `PARTS`.

    Rows are ordered by a 64-bit hash of (seed, name); the order of the rows in the file has no influence, and a row
    more or less moves at most a few rows next to the borders. Parts have round(share n) rows. With `stratify` each
    class holds its share in each part to within a row and a half. With `group` whole groups are placed, one after
    another in the order of their hashes, where rows (of the group's classes) are most wanting; every part that is
    asked for gets a group. Groups larger than a held-out part come first.

    Args:
        obs_names: unique row names (n,).
        columns: text columns (n,) that `config` names as group and stratify.
    """
    if config.val_seed is not None:
        return _divided_anew(obs_names, config, columns)
    class_n = _codes(columns[config.stratify]) if config.stratify else np.zeros(len(obs_names), dtype=np.int64)
    if config.group:
        names, group_n = np.unique(columns[config.group].astype(str), return_inverse=True)
        return _place_groups(_hashes(names, config.seed), group_n, class_n, config)[group_n]
    return _cut(_hashes(obs_names, config.seed), class_n, config)


def _divided_anew(obs_names: np.ndarray, config: Split, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the split with the same test rows, and the others divided by `val_seed`."""
    part_n = split(obs_names, config.model_copy(update={"val_seed": None}), columns)
    others = np.flatnonzero(part_n != PARTS.index("test"))
    rest = {"val": config.val / (1 - config.test), "test": 0.0, "seed": config.val_seed, "val_seed": None}
    among = {name: values[others] for name, values in columns.items()}
    part_n[others] = split(obs_names[others], config.model_copy(update=rest), among)
    return part_n


def tiled(
    config: Split, columns: Mapping[str, np.ndarray], at_nd: np.ndarray | None
) -> tuple[Split, dict[str, np.ndarray]]:
    """Return the split with tiles as its groups, and the columns with one that tells each row's tile.

    Tiles lie between the quantiles of the first two coordinates (n, d), of each section by itself: those of the column
    that `config` names as group, which then no longer stay together. Without `tiles` both are returned as they are.
    """
    if config.tiles is None:
        return config, dict(columns)
    section_n = columns[config.group].astype(str) if config.group else np.full(len(at_nd), "")
    tile_n = np.empty(len(at_nd), dtype=object)
    for section in np.unique(section_n):
        rows = np.flatnonzero(section_n == section)
        cuts = np.quantile(at_nd[rows, :2], np.arange(1, config.tiles) / config.tiles, axis=0)
        place = [np.searchsorted(cuts[:, d], at_nd[rows, d], side="right") for d in range(2)]
        tile_n[rows] = [f"{section}\0{i}\0{j}" for i, j in zip(*place, strict=True)]
    return config.model_copy(update={"group": TILE}), {**columns, TILE: tile_n.astype(str)}


def shares(config: Split) -> dict[str, float]:
    """Return the share of each part."""
    return {"train": 1.0 - config.val - config.test, "val": config.val, "test": config.test}


def sizes(n: int, config: Split) -> dict[str, int]:
    """Return the number of rows of each part of n rows without groups."""
    test = round(n * config.test)
    held = max(round(n * (config.test + config.val)), test)
    return {"train": n - held, "val": held - test, "test": test}


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values.astype(str), return_inverse=True)[1]


def _hashes(names: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 random-looking bits per name, the same on every machine (uint64)."""
    texts = (f"{seed}\0{name}".encode() for name in names.tolist())
    return np.array([int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") for text in texts], np.uint64)


def _cut(hash_n: np.ndarray, class_n: np.ndarray, config: Split) -> np.ndarray:
    """Order rows by their quantile within their class and cut: equal shares in each class, exact sizes overall."""
    by_class = np.lexsort((hash_n, class_n))
    size_c = np.bincount(class_n)
    rank_n = np.empty(len(hash_n))
    rank_n[by_class] = np.arange(len(hash_n)) - np.repeat(np.cumsum(size_c) - size_c, size_c)
    order_n = np.lexsort((hash_n, (rank_n + 0.5) / size_c[class_n]))
    part_n = np.empty(len(hash_n), dtype=np.int8)
    size = sizes(len(hash_n), config)
    part_n[order_n] = np.repeat([PARTS.index(part) for part in FILL], [size[part] for part in FILL])
    return part_n


def _place_groups(hash_b: np.ndarray, group_n: np.ndarray, class_n: np.ndarray, config: Split) -> np.ndarray:
    """Return the part of each group. The sum over classes and parts of (rows - wanted)^2 / class size is kept low."""
    size_bc = np.zeros((len(hash_b), class_n.max() + 1))
    np.add.at(size_bc, (group_n, class_n), 1)
    total_c = size_bc.sum(0)
    share = shares(config)
    wanting_pc = np.array([share[part] for part in FILL])[:, None] * total_c
    empty = [p for p, part in enumerate(FILL) if share[part] > 0]
    part_b = np.empty(len(hash_b), dtype=np.int8)
    fits_b = size_bc.sum(1) <= max(config.val, config.test) * total_c.sum()
    order = np.lexsort((hash_b, fits_b))  # groups too large for a held-out part first: they go to training
    for done, group in enumerate(order):
        need_p = wanting_pc @ (size_bc[group] / total_c)
        allowed = empty if len(order) - done <= len(empty) else [p for p, part in enumerate(FILL) if share[part] > 0]
        best = max(allowed, key=lambda p: need_p[p])
        wanting_pc[best] -= size_bc[group]
        empty = [p for p in empty if p != best]
        part_b[group] = PARTS.index(FILL[best])
    return part_b
