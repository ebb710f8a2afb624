"""Memory that a corpus of shards takes, beside its size: python tests/benchmarks/corpus_memory.py [--whole]

Simulated counts of many shards are prepared, and read in batches for an epoch, each in a process of its own. Told are
peaks above what the process had after its imports: memory of its own, and with pages of files that it maps, which the
system takes back when it needs them. With --whole one file of all rows is prepared in memory, for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from scipy import sparse

KEYS = {"own": "RssAnon", "all": "VmRSS"}


def status() -> dict[str, float]:
    """Return the memory of this process in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[key].split()[0]) / 1e3 for name, key in KEYS.items()}


class Peak:
    """Samples the memory of this process in a thread, from here on."""

    def __init__(self):
        self._base, self._most, self._done = status(), dict.fromkeys(KEYS, 0.0), False
        self._begun, self._thread = time.perf_counter(), threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done:
            self._most = {name: max(self._most[name], value) for name, value in status().items()}
            time.sleep(0.005)

    def stop(self) -> dict[str, float]:
        """Return the growth in MB at the peak, and the seconds."""
        self._done = True
        self._thread.join()
        return {name: self._most[name] - self._base[name] for name in KEYS} | {"s": time.perf_counter() - self._begun}


def make(folder: Path, args: argparse.Namespace, *, whole: bool) -> float:
    """Write the shards, and one file of all if asked for; return the size of their values as CSR in MB."""
    from anndata import AnnData, concat, read_h5ad

    rng, share_g, size = np.random.default_rng(0), None, 0
    for i in range(args.shards):
        share_g = rng.dirichlet(np.full(args.genes, 0.3)) if share_g is None else share_g
        depth = rng.lognormal(np.log(args.depth), 0.4, (args.rows, 1))
        x_ng = sparse.csr_matrix(rng.poisson(depth * share_g).astype(np.float32))
        adata = AnnData(x_ng, obs={"donor": np.full(args.rows, f"d{i % 40}")})
        adata.obs_names = [f"cell{i:03}-{j:06}" for j in range(args.rows)]
        adata.var_names = [f"gene{g:05}" for g in range(args.genes)]
        adata.write_h5ad(folder / f"shard{i:03}.h5ad")
        size += x_ng.data.nbytes + x_ng.indices.nbytes
    if whole:
        files = sorted(folder.glob("*.h5ad"))
        (folder / "whole").mkdir()
        concat([read_h5ad(file) for file in files]).write_h5ad(folder / "whole/all.h5ad")
    return size / 1e6


def measure(what: str, path: str) -> dict[str, float]:
    """Prepare a corpus, or read an epoch of it, in this process; return the memory and time that it took."""
    import torch

    from gxsearch.data.counts import CountsConfig, CountsView
    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig, Genes, Split

    torch.set_num_threads(1)
    transform, genes = (["normalize", "log1p"], Genes(top_variable=1000)) if what == "chosen" else ([], Genes())
    config = DataConfig(path=path, split=Split(group="donor"), transform=transform, genes=genes)
    peak = Peak()
    table = prepare(config, where="here", layout="sparse")
    if what != "epoch":
        return peak.stop()
    peak.stop()
    peak = Peak()
    examples = CountsView.fit(table, CountsConfig()).examples(table, torch.device("cpu"))
    rows = sum(len(batch.x) for batch in examples.train(256, torch.Generator().manual_seed(0)))
    found = peak.stop()
    return found | {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("shards", 20), ("rows", 5000), ("genes", 4000), ("depth", 2500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--child", nargs=2)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(*args.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size, rows = make(Path(folder), args, whole=args.whole), args.shards * args.rows
        dense = rows * args.genes * 4 / 1e6
        print(f"{args.shards} shards, {rows:,} x {args.genes:,} values: {size:,.0f} MB as CSR, {dense:,.0f} MB dense")
        print(f"{'':44}{'own MB':>10}{'with maps':>12}{'s':>8}")
        told = {
            "prepared, counts of all genes": ("counts", folder),
            "prepared, normalized, 1,000 genes": ("chosen", folder),
            "an epoch of batches (counts, cached)": ("epoch", folder),
        }
        told |= (
            {"one file in memory, counts of all genes": ("counts", f"{folder}/whole/all.h5ad")} if args.whole else {}
        )
        environment = {**os.environ, "GXSEARCH_CACHE": f"{folder}/cache"}
        for words, child in told.items():
            command = [sys.executable, __file__, "--child", *child]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"{words:44}{found['own']:>10,.0f}{found['all']:>12,.0f}{found['s']:>8.1f}")


if __name__ == "__main__":
    main()
