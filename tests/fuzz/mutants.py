"""Damaged copies of .h5ad files, read one after another in a child process: `python tests/fuzz/mutants.py FOLDER A B`.

The child tells each case on a line of its own, so that the parent knows which one killed it.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

LIMIT = 4 << 30
"""Bytes of address space of the child."""


def sound(n: int = 24, g: int = 9) -> AnnData:
    """Return a set with all kinds of things that .h5ad files hold."""
    draw = np.random.default_rng(0)
    obs = {"kind": pd.Categorical(np.tile(["a", "b", "c"], n // 3)), "age": draw.uniform(20, 80, n)}
    obs |= {"note": [f"note {i}" for i in range(n)], "male": draw.uniform(size=n) > 0.5}
    index = pd.Index([f"cell{i}" for i in range(n)])
    adata = AnnData(draw.poisson(3.0, (n, g)).astype(np.float32) + 1, obs=pd.DataFrame(obs, index=index))
    adata.var_names = [f"gene{j}" for j in range(g)]
    adata.obsm["spatial"] = draw.normal(size=(n, 2))
    adata.layers["counts"] = sparse.csr_matrix(adata.X)
    adata.uns["colors"] = {"kind": np.array(["#fff", "#000"]), "n": 3, "text": "word"}
    return adata


def write_seeds(folder: Path) -> list[Path]:
    """Write sound files of several layouts: contiguous, chunked and packed, sparse, and of the newest file format."""
    adata = sound()
    adata.write_h5ad(folder / "seed0.h5ad")
    adata.write_h5ad(folder / "seed1.h5ad", compression="gzip")
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(folder / "seed2.h5ad", compression="lzf")
    with h5py.File(folder / "seed3.h5ad", "w", libver="latest") as new, h5py.File(folder / "seed2.h5ad", "r") as old:
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value
    return [folder / f"seed{i}.h5ad" for i in range(4)]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with bits turned, numbers replaced by odd ones, blocks copied or the end cut off."""
    new = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at, kind = rng.randrange(len(new)), rng.random()
        if kind < 0.45:
            new[at] ^= 1 << rng.randrange(8)
        elif kind < 0.6:
            new[at] = rng.randrange(256)
        elif kind < 0.85:
            size = rng.choice([2, 4, 8])
            odd = rng.choice([0, 1, len(new), 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1, rng.randrange(len(new))])
            at -= at % size
            new[at : at + size] = (odd % 2 ** (8 * size)).to_bytes(size, "little")
        elif kind < 0.95:
            size, source = rng.choice([8, 16, 64, 512]), rng.randrange(len(new))
            new[at : at + size] = new[source : source + size]
        elif len(new) > 100:
            del new[rng.randrange(100, len(new)) :]
    return bytes(new)


def read(path: Path) -> str:
    """Read a file as a search does; return how that ended: fine, or the code of the first fault."""
    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig
    from gxsearch.errors import GxError

    try:
        prepare(DataConfig(path=str(path), label="kind"), where="spec.yaml")
    except GxError as error:
        return error.faults[0].code
    return "fine"


def main(folder: Path, first: int, end: int) -> None:
    """Read the cases from `first` to before `end`; each is told before it is read, and after."""
    seeds = [path.read_bytes() for path in sorted(folder.glob("seed*.h5ad"))]
    read(shutil.copy(folder / "seed0.h5ad", folder / "warm.h5ad"))  # imports, before the memory is limited
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    path = folder / "case.h5ad"
    for number in range(first, end):
        rng = random.Random(number)
        path.write_bytes(mutate(rng.choice(seeds), rng))
        print("case", number, flush=True)
        began = time.monotonic()
        try:
            told = read(path)
        except BaseException as error:  # what is looked for
            told = f"raised:{type(error).__name__}:{' '.join(str(error).split())[:200]}"
        print("end", number, f"{time.monotonic() - began:.3f}", told, flush=True)


if __name__ == "__main__":
    anndata.settings.allow_write_nullable_strings = True
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
