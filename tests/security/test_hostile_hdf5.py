"""HDF5 files that were made to do harm are refused before their values are read, in little memory and time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from gxsearch.data.guard import guard_hdf5
from gxsearch.data.probe import probed
from gxsearch.errors import GxError, UnsafeError

SECRET = b"the key of another user"


def external_link(file: h5py.File) -> None:
    file["uns/link"] = h5py.ExternalLink("secret.h5", "/secret")


def external_link_behind_a_soft_one(file: h5py.File) -> None:
    file["uns/a"] = h5py.SoftLink("/uns/z/secret")
    file["uns/z"] = h5py.ExternalLink("secret.h5", "/")


def external_link_to_a_pipe(file: h5py.File) -> None:
    os.mkfifo(Path(file.filename).with_name("pipe"))
    file["uns/link"] = h5py.ExternalLink("pipe", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("uns/key", (len(SECRET),), "u1", external=[("secret.txt", 0, len(SECRET))])


def external_storage_as_values(file: h5py.File) -> None:
    del file["layers/dense"]
    file.create_dataset("layers/dense", (24, 9), "u1", external=[("secret.txt", 0, 216)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "secret", (3,))
    file.create_virtual_dataset("uns/virtual", layout)


def virtual_of_itself(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((24, 9), "f4")
    layout[:] = h5py.VirtualSource(".", "layers/virtual", (24, 9))
    file.create_virtual_dataset("layers/virtual", layout)


def bomb(file: h5py.File) -> None:
    file.create_dataset("layers/bomb", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")


def bomb_without_chunks(file: h5py.File) -> None:
    space = h5py.h5s.create_simple((10**5, 10**6))
    h5py.h5d.create(file["layers"].id, b"bomb", h5py.h5t.NATIVE_DOUBLE, space)


def bomb_of_filters(file: h5py.File) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1, 2**24))
    for _ in range(3):
        plan.set_deflate(9)
    space = h5py.h5s.create_simple((64, 2**24))
    made = h5py.h5d.create(file["layers"].id, b"bomb", h5py.h5t.NATIVE_UINT8, space, plan)
    made.write(h5py.h5s.create_simple((1, 2**24)), _row(space), np.zeros((1, 2**24), np.uint8))


def _row(space: h5py.h5s.SpaceID) -> h5py.h5s.SpaceID:
    space.select_hyperslab((0, 0), (1, 2**24))
    return space


def bomb_of_links(file: h5py.File) -> None:
    """Groups that each hold the next one twice: 2^40 ways to the last."""
    here = file.create_group("uns/links")
    for _ in range(30):
        inner = here.create_group("a")
        here["b"] = inner
        here = inner
    here["x"] = np.ones(8)


def many_links_to_one_array(file: h5py.File) -> None:
    large = file.create_dataset("uns/large", (2**23,), "f8", chunks=(2**20,), compression="gzip")
    for number in range(400):
        file[f"uns/again{number}"] = large


def huge_string(file: h5py.File) -> None:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(2**31 - 8)
    h5py.h5d.create(file["uns"].id, b"text", kind, h5py.h5s.create_simple((4,)))


def strings_that_share_their_bytes(file: h5py.File) -> None:
    """Pointers of 16 bytes each to one text of 1 MB: read, they are 100 GB."""
    made = file.create_dataset("uns/text", (100_000,), h5py.string_dtype())
    made[0] = "x" * 2**20
    at, name = made.id.get_offset(), file.filename
    file.close()
    with open(name, "r+b") as raw:
        raw.seek(at)
        pointer = raw.read(16)
        raw.seek(at)
        raw.write(pointer * 100_000)


def attribute_whose_words_share_their_bytes(file: h5py.File) -> None:
    """3,000 pointers to one text of 1 MB."""
    file["uns"].attrs.create("text", ["x" * 1_123_457, *["y"] * 2999], dtype=h5py.string_dtype())
    name = file.filename
    file.close()
    data = Path(name).read_bytes()
    at = data.index((1_123_457).to_bytes(4, "little"))
    Path(name).write_bytes(data[:at] + data[at : at + 16] * 3000 + data[at + 16 * 3000 :])


def many_attributes(file: h5py.File) -> None:
    for number in range(300):
        file["X"].attrs[f"a{number}"] = np.zeros(100)
    file["X"].attrs["encoding-type"] = "pickle"


def soft_loop(file: h5py.File) -> None:
    file["uns/again"] = h5py.SoftLink("/uns")


def soft_link_to_itself(file: h5py.File) -> None:
    file["uns/self"] = h5py.SoftLink("/uns/self")


def hard_loop(file: h5py.File) -> None:
    file["uns/again"] = file["uns"]


def hard_loop_of_the_root(file: h5py.File) -> None:
    file["uns/root"] = file["/"]


def deep_nesting(file: h5py.File) -> None:
    here = file["uns"]
    for _ in range(2000):
        here = here.create_group("a")


def many_groups(file: h5py.File) -> None:
    here = file["uns"].id
    for number in range(20_100):
        h5py.h5g.create(here, b"%d" % number)


def index_beyond(file: h5py.File) -> None:
    file["X/indices"][5] = 2**31 - 1


def index_below(file: h5py.File) -> None:
    file["X/indices"][5] = -(2**31)


def pointers_beyond(file: h5py.File) -> None:
    file["X/indptr"][3:] = 2**31 - 1


def pointers_below(file: h5py.File) -> None:
    file["X/indptr"][3] = -5


def codes_below(file: h5py.File) -> None:
    file["obs/kind/codes"][3] = -77


def shape_of_attribute(file: h5py.File) -> None:
    file["X"].attrs["shape"] = [2**62, 2**62]


def object_references(file: h5py.File) -> None:
    del file["layers/dense"]
    made = file.create_dataset("layers/dense", (24, 9), h5py.ref_dtype)
    made[0, 0] = file["uns"].ref


def region_references(file: h5py.File) -> None:
    made = file.create_dataset("uns/regions", (3,), h5py.regionref_dtype)
    made[0] = file["obs/age"].regionref[1:3]
    file["obs/age"].attrs["encoding-type"] = "categorical"


def numbers_of_any_length(file: h5py.File) -> None:
    del file["layers/dense"]
    made = file.create_dataset("layers/dense", (24, 9), h5py.vlen_dtype(np.float64))
    made[0, 0] = np.ones(1000)


def compound(file: h5py.File) -> None:
    del file["layers/dense"]
    file["layers/dense"] = np.zeros((24, 9), dtype=[("a", "f8"), ("b", "S9")])


def opaque(file: h5py.File) -> None:
    del file["layers/dense"]
    file["layers/dense"] = np.full((24, 9), np.void(b"pickle"))


def named_type(file: h5py.File) -> None:
    file["layers/type"] = np.dtype("f8")


def unknown_filter(file: h5py.File) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((24, 9))
    plan.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL, ())
    made = h5py.h5d.create(file["layers"].id, b"odd", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((24, 9)), plan)
    made.write_direct_chunk((0, 0), b"\0" * 24 * 9 * 4)


HOSTILE: dict[Callable[[h5py.File], None], str] = {
    external_link: "E801",
    external_link_behind_a_soft_one: "E801",
    external_link_to_a_pipe: "E801",
    external_storage: "E801",
    external_storage_as_values: "E801",
    virtual: "E801",
    virtual_of_itself: "E801",
    bomb: "E802",
    bomb_without_chunks: "E802",
    bomb_of_filters: "E802",
    bomb_of_links: "E80|E402",
    many_links_to_one_array: "E802",
    huge_string: "E802",
    strings_that_share_their_bytes: "E802|E402",
    attribute_whose_words_share_their_bytes: "E802|E402",
    many_attributes: "E402",
    soft_loop: "E803",
    soft_link_to_itself: "E402",
    hard_loop: "E803",
    hard_loop_of_the_root: "E803",
    deep_nesting: "E803",
    many_groups: "E803",
    index_beyond: "E411",
    index_below: "E411",
    pointers_beyond: "E4",
    pointers_below: "E4",
    codes_below: "E4",
    shape_of_attribute: "E4",
    object_references: "E4",
    region_references: "E4",
    numbers_of_any_length: "E4",
    compound: "E4",
    opaque: "E4",
    named_type: "E4",
    unknown_filter: "E4",
}

CHILD = """
import json, resource, sys, time
from pathlib import Path
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.errors import GxError

def read(path):
    try:
        for layer in (None, "dense"):
            told = repr(prepare(DataConfig(path=str(path), layer=layer), where="spec.yaml").x_ng[:9])
        return ["fine", told]
    except GxError as error:
        return [error.faults[0].code, str(error)]

read(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for path in sys.argv[2:]:
    began = time.monotonic()
    told = read(path)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([Path(path).stem, *told, time.monotonic() - began, most]), flush=True)
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """How reading each file ended, in one process of limited memory: code, text, seconds, most kB so far."""
    folder = tmp_path_factory.mktemp("hostile")
    with h5py.File(folder / "secret.h5", "w") as other:
        other["secret"] = SECRET.decode()
    (folder / "secret.txt").write_bytes(SECRET * 10)
    obs = pd.DataFrame({"kind": pd.Categorical(["a", "b", "c"] * 8), "age": np.arange(24.0)})
    adata = AnnData(sparse.csr_matrix(np.arange(1.0, 217).reshape(24, 9)), obs=obs.set_index(obs.index.astype(str)))
    adata.layers["dense"] = adata.X.toarray()
    adata.uns["n"] = 3
    for name in ["sound", *(case.__name__ for case in HOSTILE)]:
        adata.write_h5ad(folder / f"{name}.h5ad")
    for case in HOSTILE:
        with h5py.File(folder / f"{case.__name__}.h5ad", "a") as file:
            case(file)
    names = [str(folder / f"{name}.h5ad") for name in ["sound", "sound", *(case.__name__ for case in HOSTILE)]]
    done = subprocess.run([sys.executable, "-c", CHILD, *names], capture_output=True, cwd=folder, timeout=250)
    assert done.returncode == 0, done.stderr.decode()
    return {name: told for name, *told in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.__name__)
def test_a_hostile_file_is_refused_in_little_time(ends, case):
    code, text, seconds, _ = ends[case.__name__]

    assert re.match(HOSTILE[case], code), f"{seconds:.1f} s: {text}"
    assert SECRET.decode() not in text and all(line.startswith("error[") for line in text.splitlines())
    assert seconds < 10


def test_no_hostile_file_takes_much_memory(ends):
    first, *_, last = [most for *_, most in ends.values()]

    assert ends["sound"][0] == "fine"
    assert last - first < 300_000, "kB"


def dies(number: int) -> Callable[[], list]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_what_crashes_the_library_is_refused(number):
    with pytest.raises(UnsafeError, match="E804.*crashes on this file"):
        probed(dies(number), "x.h5ad", 10)


def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr("gxsearch.data.probe.SECONDS", 0.2)

    with pytest.raises(UnsafeError, match="E804.*comes to no end"):
        probed(lambda: time.sleep(60), "x.h5ad", 10)


def test_what_asks_for_too_much_memory_is_refused():
    with pytest.raises((GxError, OSError), match="E802|[Mm]emory|allocate"):
        found = probed(lambda: [np.ones(2**30)], "x.h5ad", 10)
        raise UnsafeError(found)


def test_a_look_leaves_no_process_and_no_open_file(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["x"] = np.ones(3)
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    forked, fork = [], os.fork

    def watched() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", watched)
    for _ in range(5):
        guard_hdf5(tmp_path / "x.h5ad", "x")

    assert len(forked) == 5
    for pid in forked:
        with pytest.raises(ChildProcessError):  # it was waited for
            os.waitpid(pid, os.WNOHANG)
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_a_chunk_in_the_middle_of_a_large_array_that_lies_beyond_the_file_is_found(tmp_path):
    path = tmp_path / "cells.h5ad"
    with h5py.File(path, "w") as file:
        large = file.create_dataset("X", (600, 2000), "f4", chunks=(10, 2000), compression="gzip")
        large[:] = np.random.default_rng(0).normal(size=large.shape)
        chunk = large.id.get_chunk_info(30)
    guard_hdf5(path, "cells.h5ad")  # it is sound
    data = path.read_bytes()
    told = chunk.byte_offset.to_bytes(8, "little")
    assert data.count(told) == 1
    path.write_bytes(data.replace(told, (len(data) - 100).to_bytes(8, "little")))

    with pytest.raises(OSError, match="a chunk of /X lies beyond the end of the file"):
        guard_hdf5(path, "cells.h5ad")
