"""Tables of text that must not start a trial, and what is said of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from case import Home


def table(n: int = 12, g: int = 4, separator: str = ",") -> list[list[str]]:
    """Return a sound table as words: a header of genes, then a row each."""
    values = np.random.default_rng(0).poisson(4.0, (n, g)) + 1
    return [["id", *(f"gene{j}" for j in range(g))]] + [[f"r{i}", *map(str, row)] for i, row in enumerate(values)]


def text(rows: list[list[str]], separator: str = ",") -> str:
    return "\n".join(separator.join(row) for row in rows) + "\n"


def cell(row: int, column: int, word: str) -> str:
    rows = table()
    rows[row][column] = word
    return text(rows)


def line(row: int, words: list[str]) -> str:
    rows = table()
    rows[row] = words
    return text(rows)


FAULTY: dict[str, tuple[str, str, str]] = {
    "a word": (cell(3, 2, "x"), "E441", "row 'r2': gene 'gene1' is 'x', not a number"),
    "an empty cell": (cell(3, 2, ""), "E441", "gene 'gene1' is empty"),
    "a cell of spaces": (cell(3, 2, "  "), "E441", "gene 'gene1' is empty"),
    "NA": (cell(3, 2, "NA"), "E441", "'NA'"),
    "None": (cell(3, 2, "None"), "E441", "'None'"),
    "a decimal comma": (cell(3, 2, '"0,3"'), "E441", "write 0.3, not 0,3"),
    "a thousands separator": (cell(3, 2, '"1,000"'), "E441", "no thousands separators"),
    "a Python thousand": (cell(3, 2, "1_000"), "E441", "'1_000', not a number"),
    "hexadecimal": (cell(3, 2, "0x1F"), "E441", "'0x1F'"),
    "a percentage": (cell(3, 2, "12%"), "E441", "'12%'"),
    "a formula": (cell(3, 2, "=A1"), "E441", "'=A1'"),
    "a date": (cell(3, 2, "2026-11-21"), "E441", "'2026-11-21'"),
    "true": (cell(3, 2, "true"), "E441", "'true'"),
    "nan": (cell(3, 2, "nan"), "E412", "row 'r2' gene 'gene1'"),
    "inf": (cell(3, 2, "inf"), "E412", "row 'r2' gene 'gene1'"),
    "1e400": (cell(3, 2, "1e400"), "E412", "row 'r2'"),
    "beyond float32": (cell(3, 2, "1e39"), "E417", "row 'r2'"),
    "negative": (cell(3, 2, "-1"), "E413", "row 'r2' gene 'gene1' is -1"),
    "a NUL": (cell(3, 0, "r\0x"), "E416", ""),
    "a repeated row": (cell(3, 0, "r0"), "E416", "r0"),
    "a repeated gene": (cell(0, 2, "gene0"), "E416", "gene0"),
    "a blank row name": (cell(3, 0, ""), "E416", "obs_names"),
    "a blank gene name": (cell(0, 2, ""), "E416", "var_names"),
    "a field too many": (line(3, ["r2", "1", "2", "3", "4", "5"]), "E440", "line 4: 6 fields where the header has 5"),
    "a field too few": (line(3, ["r2", "1", "2"]), "E440", "line 4: 3 fields"),
    "every row longer than the header": (text([table()[0][1:], *table()[1:]]), "E440", "needs a name for the first column"),
    "semicolons": (text(table(), ";"), "E442", "looks separated by ';'"),
    "tabs in a csv": (text(table(), "\t"), "E442", "looks separated by tabs"),
    "no header": (text([["r9", "0.5", "1.5", "2.5", "3.5"], *table()[1:]]), "E442", "the header holds numbers"),
    "no genes": (text([row[:1] for row in table()]), "E442", "names no genes"),
    "empty": ("", "E442", "names no genes"),
    "header only": (text(table()[:1]), "E414", "has no rows"),
    "one row": (text(table()[:2]), "E430", ""),
    "an open quote": (cell(3, 2, '"1'), "E402", "cannot be read to its end"),
    "text after a quote": (cell(3, 2, '"1"2'), "E402", "cannot be read to its end"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_table_is_refused_by_its_row_and_gene(home: Home, case: str):
    content, code, words = FAULTY[case]
    Path("cells.csv").write_text(content)

    found = home.refused("check", home.spec(path="cells.csv"))

    assert any(got == code and words in told for got, told in found), found


def test_all_cells_that_are_no_numbers_are_told_with_their_rows(home: Home):
    rows = table()
    rows[1][1], rows[2][2], rows[9][3] = "a", "b", "c"
    Path("cells.csv").write_text(text(rows))

    found = home.refused("check", home.spec(path="cells.csv"))

    assert [told.split("row '")[1].split("'")[0] for _, told in found] == ["r0", "r1", "r8"]


BYTES = {
    "utf-16": text(table()).encode("utf-16"),
    "latin-1": text(table()).replace("gene0", "gäne").encode("latin-1"),
    "gzip cut short": gzip.compress(text(table(400)).encode())[:-40],
    "gzip of nothing": b"\x1f\x8b",
    "a zip": b"PK\x03\x04" + bytes(60),
    "h5ad with another name": b"\x89HDF\r\n\x1a\n" + bytes(60),
}


@pytest.mark.parametrize("case", BYTES)
def test_what_is_no_utf8_text_is_refused(home: Home, case: str):
    Path("cells.csv").write_bytes(BYTES[case])

    found = home.refused("check", home.spec(path="cells.csv"))

    assert found[0][0] in ("E402", "E440", "E441", "E442")
