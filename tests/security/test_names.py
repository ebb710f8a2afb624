"""Names in data are written by strangers: none of them becomes markup of the report or a formula of a table."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from test_report import Page, _evil_run

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.results import curves, evaluation, leaderboard, predict, report, similar, tokens
from gxsearch.results.run_dir import RunDir

XSS = [
    *("<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>"),
    *('"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "' onfocus='alert(1)' autofocus='"),
    *("</title><script>alert(1)</script>", "</style><script>alert(1)</script>", "</pre><iframe src=//x>", "</td></tr></table><b>"),
    *("<a href=javascript:alert(1)>x</a>", "<math><mi//xlink:href='data:x,<script>'>", "<details open ontoggle=alert(1)>", "<!--<script>"),
    *("-->  <script>alert(1)</script>", "<![CDATA[<script>alert(1)]]>", "<?xml version='1.0'?><x/>", "{{ 7*7 }}{% raw %}"),
    *("${alert(1)}`", "\\u003cscript\\u003e", "&lt;script&gt;", "&#60;script&#62;alert(1)"),
    *("\u2028alert(1)\u2029", "<scr\u0000ipt>", "\u202e<b>txet</b>", "<base href=//x>", "<meta http-equiv=refresh content=0>"),
    "<form action=//x><input name=a></form>",
]  # fmt: skip
FORMULAS = ["=1+1", "+1+1", "-1+1|x", "@SUM(A1)", "\t=1+1", "\r=1+1"]


@pytest.fixture(scope="module")
def table():
    return prepare(DataConfig(path="sim_bulk?n=60&g=30", label="cell_type", batch=["donor"]), where="spec.yaml")


@pytest.fixture(scope="module")
def tame(tmp_path_factory, table) -> Page:
    return Page(report.write(_evil_run(tmp_path_factory.mktemp("tame") / "run", "plain", table)).read_text())


@pytest.mark.parametrize("part", range(6))
def test_no_name_adds_an_element_or_attribute_to_the_report(tmp_path, table, tame, part):
    name = " ".join(XSS[part::6]).replace("\0", "")  # HDF5 cuts names there

    evil = Page(report.write(_evil_run(tmp_path / "run", name, table)).read_text())

    assert len(XSS) == 30
    assert evil.elements == tame.elements
    assert [(t, n) for t, n, _ in evil.attributes] == [(t, n) for t, n, _ in tame.attributes]
    assert not [
        v for _, n, v in evil.attributes if n in ("href", "src") and not v.startswith("data:image/svg+xml;base64,")
    ]


def _leaderboard(name: str, folder: Path, table: Table) -> list[Path]:
    run = _evil_run(folder / "run", name, table)
    leaderboard.write(run)
    return [run.leaderboard]


def _genes(name: str, folder: Path, table: Table) -> list[Path]:
    genes = similar.GeneVectors("fe", np.array([f"{name}{i}" for i in range(5)]), np.eye(5))
    among = pd.DataFrame(np.eye(2), index=genes.names[:2], columns=genes.names[:2])
    nearest = pd.concat([similar._nearest(genes, row, genes.similarity([row])[0], 3) for row in (0, 1)])
    return [similar.write(similar.Similar(genes, "cosine", among, nearest), folder / "genes.csv")]


def _clusters(name: str, folder: Path, table: Table) -> list[Path]:
    adata = AnnData(obs=pd.DataFrame({"kind": [name, "b"] * 10}, index=[f"{name}{i}" for i in range(20)]))
    adata.obsm[f"X_{name.replace('/', '')}"] = np.random.default_rng(0).normal(size=(20, 3))
    run = RunDir(folder / "run")
    evaluation.write_clusters(run, adata, name.replace("/", ""), "kind")
    return [run.clusters]


def _curves(name: str, folder: Path, table: Table) -> list[Path]:
    rows = pd.DataFrame({"cluster": [0, 1], "genes": 3, "time": [0.0, 1.0], "mean": 0.5, "sd": 0.1, "decoded": -0.2})
    genes = pd.DataFrame(
        {"gene": [f"{name}1", name], "cluster": 0, "time": [0.0, 1.0], "value": -1.0, "reconstructed": 1.0}
    )
    latent = pd.DataFrame({"gene": [f"{name}1", name], "cluster": [0, 1], "split": "val", "z0": [0.1, -0.2], "z1": 1.0})
    run = RunDir(folder / "run")
    curves.write(run, curves.SeriesCurves(rows, genes, latent))
    return sorted(run.curves.glob("*.csv"))


def _predicted(name: str, folder: Path, table: Table) -> list[Path]:
    classes, chances = {name: np.array([name, "b"], dtype=object)}, {name: np.array([[0.7, 0.3], [0.2, 0.8]])}
    made = predict.Predicted(
        None, np.array([f"{name}1", name]), classes, chances, {name: np.array([name, ""])}, AnnData()
    )
    return [predict.write(made, folder / "predicted.csv")]


def _confusion(name: str, folder: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    view = SimpleNamespace(
        codes=lambda tested: np.arange(tested.n_obs)[:, None] % 2,
        dims=SimpleNamespace(phenotypes=[name]),
        tokenizer=SimpleNamespace(phenotypes={name: [name, "b"]}),
    )
    chances = lambda model, view, tested, given: {name: np.tile([0.6, 0.4], (tested.n_obs, 1))}  # noqa: E731
    monkeypatch.setattr(tokens, "chances_of_phenotypes", chances)
    run = RunDir(folder / "run")
    tokens.write_confusion(run, SimpleNamespace(view=view, model=None), table)
    return run.confusions()


TABLES = {
    "leaderboard.csv": _leaderboard,
    "genes": _genes,
    "clusters.csv": _clusters,
    "curves": _curves,
    "predict": _predicted,
    "confusion": _confusion,
}


@pytest.mark.parametrize("kind", TABLES)
def test_no_name_is_a_formula_or_a_row_more_in_a_table(tmp_path, table, kind, monkeypatch):
    monkeypatch.setattr(curves, "_drawn", lambda data, name, kind: b"")  # pictures are of no concern here

    def written(name: str, folder: Path) -> list[list[list[str]]]:
        folder.mkdir()
        more = {"monkeypatch": monkeypatch} if kind == "confusion" else {}
        return [_parsed(path) for path in TABLES[kind](name, folder, table, **more)]

    plain, found = [_sizes(rows) for rows in written("plain", tmp_path / "plain")], set()
    for i, name in enumerate([*XSS, *FORMULAS]):
        tables = written(name.replace("\0", ""), tmp_path / str(i))
        assert [_sizes(rows) for rows in tables] == plain, name
        cells = [cell for rows in tables for row in rows for cell in row]
        assert not [c for c in cells if c.startswith(("=", "+", "-", "@", "\t", "\r")) and not _number(c)], name
        found |= {name} if any(name.strip().strip("\0\u2028\u2029")[:8] in c for c in cells) else set()
    assert kind == "clusters.csv" or len(found) >= 34, "the names are in the tables"


def _parsed(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _sizes(rows: list[list[str]]) -> list[int]:
    return [len(row) for row in rows]


@pytest.mark.parametrize("part", range(2))
def test_no_name_adds_an_element_or_attribute_to_a_report_of_pictures(tmp_path, table, part):
    name = " ".join([*XSS[part::2], *FORMULAS[part::2]]).replace("\0", "")

    tame, evil = (
        Page(report.write(_evil_run(tmp_path / str(i), given, table), static=True).read_text())
        for i, given in enumerate(("plain", name))
    )

    assert evil.elements == tame.elements
    assert [(t, n) for t, n, _ in evil.attributes] == [(t, n) for t, n, _ in tame.attributes]


def _number(cell: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", cell) is not None
