"""Names in data are written by strangers: none of them becomes markup of the report or a formula of a table."""

from __future__ import annotations

import csv
import re

import numpy as np
import pandas as pd
import pytest
from test_report import Page, _evil_run

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.results import leaderboard, report, similar

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


@pytest.mark.parametrize("word", FORMULAS, ids=ascii)
def test_no_name_is_a_formula_in_a_table(tmp_path, table, word):
    run = _evil_run(tmp_path / "run", word, table)
    leaderboard.write(run)
    genes = similar.GeneVectors("fe", np.array([f"{word}{i}" for i in range(5)]), np.eye(5))
    among = pd.DataFrame(np.eye(2), index=genes.names[:2], columns=genes.names[:2])
    nearest = pd.concat([similar._nearest(genes, row, genes.similarity([row])[0], 3) for row in (0, 1)])
    similar.write(similar.Similar(genes, "cosine", among, nearest), tmp_path / "genes.csv")
    tables = [run.leaderboard, tmp_path / "genes.csv"]
    cells = [cell for path in tables for row in csv.reader(path.read_text().splitlines()) for cell in row]

    assert any(word.strip() in cell for cell in cells), "the names are in the tables"
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _number(cell)]


def _number(cell: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", cell) is not None
