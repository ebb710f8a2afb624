"""Names, files and URIs become AnnData, or one clear line."""

from __future__ import annotations

import gzip
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import h5py
import numpy as np
import pytest
from anndata import AnnData

from gxsearch.data.remote import fetch, public
from gxsearch.data.sources import load
from gxsearch.errors import DataError, GxError, UnsafeError


def faults_of(path: str, base: Path | None = None) -> tuple:
    with pytest.raises(GxError) as caught:
        load(path, base=base)
    assert all("\n" not in str(fault) for fault in caught.value.faults)
    return caught.value.faults


@pytest.fixture
def adata() -> AnnData:
    return load("sim_counts?n=30&g=12&seed=3")


@pytest.fixture
def h5ad(tmp_path: Path, adata: AnnData) -> Path:
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_pbmc68k_has_the_values_of_raw_and_the_labels():
    adata = load("pbmc68k")

    assert adata.shape == (700, 765)
    assert adata.obs["bulk_labels"].nunique() == 10
    assert adata.X.min() == 0 and 6 < adata.X.max() < 7


def test_pbmc68k_is_read_without_importing_scanpy():
    code = "import sys; from gxsearch.data.sources import load; load('pbmc68k'); assert 'scanpy' not in sys.modules"

    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_counts_of_pbmc68k_are_whole_and_give_the_log_values_back():
    counts, logged = load("pbmc68k_counts").X, load("pbmc68k").X

    assert (counts.data == np.round(counts.data)).all() and counts.data.min() == 1
    ratio = np.expm1(logged.toarray().astype(float))
    ratio /= np.where(ratio > 0, ratio, np.inf).min(axis=1, keepdims=True)
    assert np.abs(ratio - counts.toarray()).max() < 0.1125  # data/PROVENANCE: 0.112


def test_options_of_a_simulated_set_are_used():
    assert load("sim_bulk?n=44&g=33&seed=1").shape == (44, 33)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("sim_bulk?sed=1", "unknown option 'sed' - did you mean 'seed'?"),
        ("sim_bulk?n=many", "option 'n' must be a whole number from 4 to 20000, got 'many'"),
        ("sim_bulk?n=-3", "must be a whole number from 4"),
        ("sim_bulk?n=1e9", "must be a whole number"),
        ("sim_bulk?noise=nan", "must be a number from 0"),
        ("sim_bulk?n=9&n=10", "given twice"),
        ("pbmc68k?n=3", "unknown option 'n'"),
        ("pbmc68", "did you mean 'pbmc68k'"),
        ("no/such.h5ad", "there is no folder 'no'"),
        ("ftp://host/x.csv", "unknown scheme 'ftp'"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(path: str, part: str):
    assert part in str(faults_of(path)[0])


def test_all_wrong_options_are_told_at_once():
    assert len(faults_of("sim_bulk?a=1&n=x&seed=-1")) == 3


def test_a_missing_file_is_told_with_the_nearest_in_its_folder(h5ad: Path):
    assert "did you mean 'cells.h5ad'?" in str(faults_of("cels.h5ad", base=h5ad.parent)[0])


def test_a_file_is_found_beside_the_spec_before_the_working_folder(h5ad: Path, monkeypatch: pytest.MonkeyPatch):
    (h5ad.parent / "spec").mkdir()
    load("sim_bulk?n=5&g=6").write_h5ad(h5ad.parent / "spec" / "cells.h5ad")
    monkeypatch.chdir(h5ad.parent)

    assert load("cells.h5ad", base=h5ad.parent / "spec").n_obs == 5
    assert load("cells.h5ad").n_obs == 30


def test_zarr_and_h5ad_hold_the_same(h5ad: Path, adata: AnnData):
    adata.write_zarr(h5ad.parent / "cells.zarr")

    assert (load("cells.zarr", base=h5ad.parent).X != load("cells.h5ad", base=h5ad.parent).X).nnz == 0


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_a_cut_h5ad_is_one_line_with_its_name(h5ad: Path, cut: int):
    h5ad.write_bytes(h5ad.read_bytes()[:cut])

    (fault,) = faults_of("cells.h5ad", base=h5ad.parent)

    assert fault.code == "E402" and fault.where == "cells.h5ad"


def test_a_plain_hdf5_file_is_refused_as_data(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["x"] = np.ones(3)

    assert faults_of("a.h5ad", base=tmp_path)[0].code == "E402"


def test_a_folder_that_is_no_zarr_is_refused(tmp_path: Path):
    (tmp_path / "a.h5ad").mkdir()
    (tmp_path / "b.zarr").mkdir()

    assert "is a folder" in str(faults_of("a.h5ad", base=tmp_path)[0])
    assert faults_of("b.zarr", base=tmp_path)[0].code == "E402"


def test_links_to_other_files_are_refused(h5ad: Path, tmp_path: Path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones(3)
    with h5py.File(h5ad, "a") as file:
        file["uns/link"] = h5py.ExternalLink("other.h5", "secret")
        file.create_dataset("uns/raw", (3,), "u1", external=[(str(tmp_path / "other.h5"), 0, 3)])
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (3,))
        file.create_virtual_dataset("uns/virtual", layout)

    with pytest.raises(UnsafeError) as caught:
        load(str(h5ad))

    assert [fault.code for fault in caught.value.faults] == ["E801"] * 3


def test_an_impossible_size_is_refused_before_it_is_read(h5ad: Path):
    with h5py.File(h5ad, "a") as file:
        file.create_dataset("layers/bomb", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")

    assert faults_of(str(h5ad))[0].code == "E802"


def test_a_loop_of_links_is_refused(h5ad: Path):
    with h5py.File(h5ad, "a") as file:
        file["uns/again"] = h5py.SoftLink("/uns")

    assert faults_of(str(h5ad))[0].code == "E803"


def test_text_is_read_to_the_last_digit_with_its_names_as_written(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,A,A,NA\nNA,0.30000000000000004,1e-3,2\nNA,1,2,-0.5\n")

    adata = load("a.csv", base=tmp_path)

    assert list(adata.obs_names) == ["NA", "NA"] and list(adata.var_names) == ["A", "A", "NA"]
    assert adata.X.tolist() == [[0.30000000000000004, 1e-3, 2.0], [1.0, 2.0, -0.5]]


def test_gzipped_tabs_are_read_like_commas(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,A,B\nr1,1,2\n")
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"id\tA\tB\nr1\t1\t2\n"))

    assert load("a.csv", base=tmp_path).X.tolist() == load("a.tsv.gz", base=tmp_path).X.tolist()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("id,A,B\nr1,1,x\n", "a.csv!/row 'r1': gene 'B' is 'x', not a number"),
        ("id,A,B\nr1,1,\n", "gene 'B' is empty"),
        ("id,A,B\nr1,1,NA\n", "gene 'B' is 'NA'"),
        ('id,A,B\nr1,1,"0,3"\n', "write 0.3, not 0,3"),
        ("id,A,B\nr1,1,1_000\n", "'1_000', not a number"),
        ("id,A,B\nr1,1,2,3\n", "line 2: 4 fields where the header has 3"),
        ("id,A,B\nr1,1\n", "line 2: 2 fields"),
        ("id;A;B\nr1;1;2\n", "it looks separated by ';'"),
        ("r0,0.5,1.5\nr1,1,2\n", "the header holds numbers"),
        ("", "the header names no genes"),
        ('id,A\nr1,"1\n', "cannot be read to its end"),
    ],
)
def test_a_damaged_table_is_told_by_row_and_column(tmp_path: Path, text: str, part: str):
    (tmp_path / "a.csv").write_text(text)

    assert part in str(faults_of("a.csv", base=tmp_path)[0])


def test_all_cells_that_are_no_numbers_are_told_at_once(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,A,B\nr1,x,y\nr2,1,2\nr3,1,z\n")

    assert len(faults_of("a.csv", base=tmp_path)) == 3


@pytest.mark.parametrize(
    "content", ["id,Ä\nr,1".encode("utf-16"), "id,Ä\nr,1".encode("latin-1"), gzip.compress(b"id,A\n" * 9, mtime=0)[:-9]]
)
def test_text_in_another_encoding_or_cut_short_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "a.csv").write_bytes(content)

    assert faults_of("a.csv", base=tmp_path)[0].code in ("E402", "E442")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_behind_an_address_is_fetched_once_per_version(cache: Path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/set/a.csv", b"id,A\nr1,1\n")
    first = fetch("memory://set/a.csv")
    changed = first.stat().st_mtime_ns

    assert load("memory://set/a.csv").X.tolist() == [[1.0]]
    assert first.parent == cache and first.stat().st_mtime_ns == changed and len(list(cache.iterdir())) == 1

    memory.pipe("/set/a.csv", b"id,A\nr1,22\n")

    assert load("memory://set/a.csv").X.tolist() == [[22.0]]


def test_a_zarr_folder_behind_an_address_is_read(cache: Path, tmp_path: Path, adata: AnnData):
    adata.write_zarr(tmp_path / "cells.zarr")

    assert (load(f"file://{tmp_path}/cells.zarr").X != adata.X).nnz == 0


def test_https_style_addresses_are_read(cache: Path, h5ad: Path):
    pytest.importorskip("aiohttp")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the test's output empty."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(h5ad.parent)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert load(f"{address}/cells.h5ad").shape == (30, 12)
        assert "there is no such file" in str(faults_of(f"{address}/other.h5ad")[0])
    finally:
        server.shutdown()
        server.server_close()


def test_secrets_in_an_address_are_not_told(cache: Path):
    assert public("https://me:word@host/a.h5ad?signature=abc") == "https://host/a.h5ad"
    (fault,) = faults_of("memory://me:word@nowhere/a.csv?signature=abc")
    assert "word" not in str(fault) and "abc" not in str(fault)


def test_a_missing_package_for_a_scheme_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)

    with pytest.raises(DataError, match="pip install s3fs"):
        load("s3://bucket/a.h5ad")
