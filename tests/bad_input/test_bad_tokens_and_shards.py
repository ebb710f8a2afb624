"""What models of tokens cannot read, corpora whose shards do not fit together, and lists of genes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from anndata import AnnData
from case import Home, cells


def negative(adata: AnnData) -> None:
    adata.X[2, 3] = -1


TOKENS: dict[str, tuple[Callable[[AnnData], object], str, dict, str]] = {
    "no such phenotype": (lambda a: None, "E421", {"view": {"phenotypes": ["knd"]}}, "did you mean 'kind'?"),
    "one phenotype of two": (lambda a: None, "E421", {"view": {"phenotypes": ["kind", "sex"]}}, "sex"),
    "a phenotype twice": (lambda a: None, "E489", {"view": {"phenotypes": ["kind", "kind"]}}, "'kind' is named more than once"),
    "a phenotype of one category": (lambda a: a.obs.__setitem__("one", "x"), "E488", {"view": {"phenotypes": ["one"]}}, "1 categories of 'one'"),
    "a phenotype of names": (lambda a: a.obs.__setitem__("id", list(a.obs_names)), "E488", {"view": {"phenotypes": ["id"]}}, "tells rows apart"),
    "ends in the wrong order": (lambda a: None, "E489", {"view": {"binning": "uniform", "low": 5, "high": 2}}, "low 5 is not below high 2"),
    "nothing is expressed": (lambda a: None, "E487", {"view": {"threshold": 1000}}, "no value of the training rows is expressed"),
    "everything is expressed": (lambda a: setattr(a, "X", a.X + 1), "E487", {"view": {"threshold": 0.5}}, "are in bin 1"),
    "genes as rows": (lambda a: None, "E486", {"orientation": "genes"}, "by samples, not by genes"),
    "negative values": (negative, "E413", {}, "cell2"),
    "values below zero that are allowed": (negative, "E486", {"allow_negative": True}, "smallest is -1"),
    "no pretrained model": (lambda a: None, "E622", {"view": {"pretrained": "nowhere"}}, "nowhere"),
    "a pretrained model that is none": (lambda a: (Path("empty").mkdir(), Path("empty/manifest.json").write_text("{}")), "E490", {"view": {"pretrained": "empty"}}, "no exported model of tokens"),
    "one bin": (lambda a: None, "E303", {"view": {"n_bins": 1}}, "n_bins"),
    "more bins than a byte": (lambda a: None, "E303", {"view": {"n_bins": 257}}, "n_bins"),
    "a binning that there is not": (lambda a: None, "E303", {"view": {"binning": "unifrom"}}, "uniform"),
    "all is hidden": (lambda a: None, "E303", {"view": {"hidden_share": 1.5}}, "hidden_share"),
    "a setting misspelt": (lambda a: None, "E301", {"view": {"phenotpyes": []}}, "did you mean 'phenotypes'?"),
    "two rows": (lambda a: a[:2].copy(), "E430", {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", TOKENS)
def test_what_is_no_token_is_refused(home: Home, case: str):
    spoil, code, data, words = TOKENS[case]
    adata = cells()
    adata = changed if isinstance(changed := spoil(adata), AnnData) else adata
    adata.write_h5ad("cells.h5ad")

    found = home.refused("check", home.spec("transformer", **data))

    assert any(got == code and words in line for got, line in found), found


def shards(change: Callable[[list[AnnData]], object] = lambda parts: None) -> None:
    """Write three shards, spoiled in memory."""
    whole = cells()
    parts = [whole[i::3].copy() for i in range(3)]
    change(parts)
    Path("shards").mkdir()
    for i, part in enumerate(parts):
        part.write_h5ad(f"shards/{i}.h5ad")


def renamed(parts: list[AnnData]) -> None:
    parts[1].var_names = [f"other{i}" for i in range(12)]


def fewer(parts: list[AnnData]) -> None:
    parts[2] = parts[2][:, :7].copy()


def without_label(parts: list[AnnData]) -> None:
    del parts[2].obs["kind"]


def spoiled(value: float) -> Callable[[list[AnnData]], None]:
    def change(parts: list[AnnData]) -> None:
        parts[1].X[2, 3] = value

    return change


def hostile() -> None:
    shards()
    with h5py.File("shards/1.h5ad", "a") as file:
        file["uns/link"] = h5py.ExternalLink("other.h5", "/")


def truncated() -> None:
    shards()
    Path("shards/2.h5ad").write_bytes(Path("shards/2.h5ad").read_bytes()[:9000])


def two_kinds() -> None:
    shards()
    cells().write_zarr("shards/more.zarr")


CORPORA: dict[str, tuple[Callable[[], object], str, dict, str]] = {
    "no shards": (lambda: Path("shards").mkdir(), "E443", {}, "no shards in this folder"),
    "a pattern of nothing": (shards, "E443", {"path": "shards/x*.h5ad"}, "no file fits this pattern"),
    "another kind of file": (shards, "E443", {"path": "sh*"}, ""),
    "two kinds": (two_kinds, "E443", {}, "shards of two kinds"),
    "other genes": (lambda: shards(renamed), "E444", {}, "shards/1.h5ad"),
    "fewer genes": (lambda: shards(fewer), "E444", {}, "lacks 5 genes"),
    "a shard without the label": (lambda: shards(without_label), "E421", {"label": "kind"}, "kind"),
    "a NaN in a shard": (lambda: shards(spoiled(np.nan)), "E412", {}, "shards/1.h5ad"),
    "a negative value in a shard": (lambda: shards(spoiled(-1.0)), "E413", {}, "shards/1.h5ad"),
    "no such layer": (shards, "E410", {"layer": "count"}, "did you mean 'counts'?"),
    "genes as rows": (shards, "E445", {"orientation": "genes"}, "corpus of shards"),
    "a link out of a shard": (hostile, "E801", {}, "shards/1.h5ad"),
    "a shard cut short": (truncated, "E402", {}, "shards/2.h5ad"),
}  # fmt: skip


@pytest.mark.parametrize("case", CORPORA)
def test_shards_that_do_not_fit_are_refused_by_their_names(home: Home, monkeypatch, case: str):
    make, code, data, words = CORPORA[case]
    monkeypatch.setenv("GXSEARCH_CACHE", str(home.path / "cache"))
    make()

    found = home.refused("check", home.spec("nbvae", **{"path": "shards", **data}))

    assert any(got == code and words in line for got, line in found), found


LISTS = {
    "empty": (b"", "E431", "names no genes"),
    "blank lines": (b"\n\n  \n", "E431", "names no genes"),
    "unknown genes": (b"gene1\ngene2\nCD3E\n", "E431", "CD3E"),
    "nearly right": (b"gene1\nGene2\n", "E431", "Gene2"),
    "no text": (b"\xff\xfe\x00", "E431", "cannot be read as text"),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_of_genes_that_are_not_there_is_refused(home: Home, case: str):
    data, code, words = LISTS[case]
    cells().write_h5ad("cells.h5ad")
    Path("panel.txt").write_bytes(data)

    found = home.refused("check", home.spec(genes={"file": "panel.txt"}))

    assert any(got == code and words in line for got, line in found), found


NAMES = ["a\x1b[2Jb", "\u202egnp.exe", "a\nerror[E999] x: y", "a\rb", "\u2028b"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_strangers_do_not_reach_the_terminal_as_they_are(home: Home, name: str):
    adata = cells()
    adata.var_names = [name if i in (3, 4) else gene for i, gene in enumerate(adata.var_names)]
    adata.write_h5ad("cells.h5ad")

    ((code, line),) = home.refused("check", home.spec())

    assert code == "E416" and line.isprintable()
