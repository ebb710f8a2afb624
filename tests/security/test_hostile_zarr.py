"""Folders of zarr arrays that were made to do harm are refused before their values are read."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData
from numcodecs import Pickle, Zstd
from scipy import sparse

from gxsearch.data.sources import load
from gxsearch.data.zarr_guard import guard_zarr
from gxsearch.errors import GxError

SECRET = b"the key of another user"


def change(name: str, **new: object) -> Callable[[Path], None]:
    """Return what puts other values into the description of an array."""

    def harm(store: Path) -> None:
        place = store / name / ".zarray"
        place.write_text(json.dumps(json.loads(place.read_text()) | new))
        (store / ".zmetadata").unlink()  # else it is this that zarr reads

    return harm


def link_to_a_file(store: Path) -> None:
    (store / "X" / "0.0").unlink()
    (store / "X" / "0.0").symlink_to(store.parent / "secret")


def link_to_a_folder(store: Path) -> None:
    (store.parent / "other").mkdir()
    (store / "uns" / "other").symlink_to(store.parent / "other")


def link_to_itself(store: Path) -> None:
    (store / "uns" / "again").symlink_to(store)


def link_to_a_pipe(store: Path) -> None:
    os.mkfifo(store / "uns" / "pipe")


def pickled(store: Path) -> None:
    (store / "uns/evil").mkdir()
    told = {"shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C", "compressor": None}
    told |= {"filters": [{"id": "pickle", "protocol": 5}], "zarr_format": 2}
    (store / "uns/evil/.zarray").write_text(json.dumps(told))
    (store / "uns/evil/.zattrs").write_text(json.dumps({"encoding-type": "array", "encoding-version": "0.2.0"}))
    (store / "uns/evil/0").write_bytes(bytes(Pickle().encode(np.array([Canary(store)], dtype=object))))


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, store: Path):
        self._store = store

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self._store.parent / "ran"),)


def pickled_within_another(store: Path) -> None:
    change("X", filters=[{"id": "outer", "configuration": {"codecs": [{"id": "pickle"}]}}])(store)


def objects_without_a_codec(store: Path) -> None:
    change("X", dtype="|O", filters=None)(store)


def bomb_of_zstd(store: Path) -> None:
    """Blocks of 256 MB of zeros in some kB, declared as the 48 values of the array."""
    (store / "X" / "0.0").write_bytes(bytes(Zstd(1).encode(np.zeros(2**28, np.uint8))) * 8)
    change("X", compressor={"id": "zstd", "level": 1})(store)


def consolidated_names_outside(store: Path) -> None:
    whole = json.loads((store / ".zmetadata").read_text())
    whole["metadata"]["../outside/.zarray"] = json.loads((store / "X/.zarray").read_text())
    (store / ".zmetadata").write_text(json.dumps(whole))


def consolidated_sizes(store: Path) -> None:
    whole = json.loads((store / ".zmetadata").read_text())
    whole["metadata"]["X/.zarray"]["shape"] = [10**6, 10**7]
    (store / ".zmetadata").write_text(json.dumps(whole))


def deep(store: Path) -> None:
    place = store / "uns"
    for _ in range(60):
        place = place / "a"
        place.mkdir()
        (place / ".zgroup").write_text('{"zarr_format": 2}')


def deep_json(store: Path) -> None:
    (store / "uns" / ".zattrs").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def version_3(**new: object) -> Callable[[Path], None]:
    def harm(store: Path) -> None:
        (store / "uns/three").mkdir()
        told = {"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "float64", "fill_value": 0.0}
        told |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}}, "attributes": {}}
        told |= {"chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}]} | new
        (store / "uns/three/zarr.json").write_text(json.dumps(told))

    return harm


HOSTILE: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a link to a file": (link_to_a_file, "E801", "!/X/0.0"),
    "a link to a folder": (link_to_a_folder, "E801", "!/uns/other"),
    "a link to itself": (link_to_itself, "E801", "!/uns/again"),
    "a pipe": (link_to_a_pipe, "E801", "!/uns/pipe"),
    "a name that leads outside": (consolidated_names_outside, "E801", "outside"),
    "a shape beyond memory": (change("X", shape=[10**6, 10**7]), "E802", "!/X"),
    "a chunk beyond memory": (change("X", chunks=[10**6, 10**7]), "E802", "!/X"),
    "items beyond memory": (change("X", dtype="|V4000000000"), "E802", "!/X"),
    "text beyond memory": (change("X", dtype="<U2000000000"), "E802", "!/X"),
    "chunks without end": (change("X", shape=[48, 3 * 10**5], chunks=[1, 1]), "E802", "chunks"),
    "a size told elsewhere": (consolidated_sizes, "E802", "!/X"),
    "a shape of version 3 beyond memory": (version_3(shape=[10**12]), "E802", "!/uns/three"),
    # numcodecs 0.15 refuses it by itself
    "blocks that unpack to more": (bomb_of_zstd, ("E802", "E402"), ""),
    "folders within folders": (deep, "E803", "!/uns"),
    "a pickle": (pickled, "E806", "!/uns/evil"),
    "a pickle within another": (pickled_within_another, "E806", "!/X"),
    "objects": (objects_without_a_codec, "E806", "!/X"),
    "a pickle of version 3": (version_3(codecs=[{"name": "numcodecs.pickle"}]), "E806", "!/uns/three"),
    "a size below zero": (change("X", shape=[-1, 12]), "E402", "/X"),
    "a size that is no number": (change("X", shape=["many", 12]), "E402", "/X"),
    "a description without end": (deep_json, "E402", ".zattrs"),
    "a description that is none": (lambda s: (s / "X/.zarray").write_bytes(b"\xff\x00{"), "E402", ".zarray"),
    "a codec that there is not": (change("X", compressor={"id": "evil"}), "E402", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of version 2, with the description of all in one place too."""
    import zarr

    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("sound") / "cells.zarr"
    adata = AnnData(draw.poisson(3.0, (48, 12)).astype(np.float32), obs={"kind": ["a", "b", "c"] * 16}, uns={"n": 1})
    adata.layers["sparse"] = sparse.csr_matrix(adata.X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_zarr(path)
        zarr.consolidate_metadata(str(path))
    (path.parent / "secret").write_bytes(SECRET)
    return path


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound.parent, tmp_path / "place")
    return tmp_path / "place" / "cells.zarr"


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_store_is_refused_in_a_line_and_nothing_of_it_runs(store: Path, case: str):
    harm, code, where = HOSTILE[case]
    harm(store)
    begun = time.monotonic()

    with pytest.raises(GxError) as caught:
        load(str(store))

    told = [str(fault) for fault in caught.value.faults]
    assert all(fault.code.startswith(code) for fault in caught.value.faults), told
    assert all(where in line and "\n" not in line and SECRET.decode() not in line for line in told), told
    assert not (store.parent / "ran").exists() and time.monotonic() - begun < 20


@pytest.mark.parametrize("version", [2, 3])
def test_a_sound_store_is_read_as_it_was_written(store: Path, tmp_path: Path, version: int):
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=version):
        warnings.simplefilter("ignore")
        adata = anndata.read_zarr(store)
        adata.X[:5] = 0
        adata.write_zarr(tmp_path / "again.zarr")

    guard_zarr(tmp_path / "again.zarr", "again.zarr")

    assert (load(str(tmp_path / "again.zarr")).X == adata.X).all()


def test_a_shard_is_looked_at_like_a_file(store: Path):
    from gxsearch.data.shard import Shard

    link_to_a_folder(store)

    with pytest.raises(GxError, match="E801"):
        Shard(store, "cells.zarr").head(lambda name: True, lambda name: False)


def test_indices_of_a_sparse_matrix_that_lead_nowhere_do_no_harm(store: Path):
    import zarr

    zarr.open_group(str(store), mode="r+")["layers/sparse/indices"][3] = 2**30

    with pytest.raises(GxError) as caught:
        from gxsearch.data.prepare import prepare
        from gxsearch.data.table import DataConfig

        prepare(DataConfig(path=str(store), layer="sparse"), where="spec.yaml")

    assert caught.value.faults[0].code == "E411"
