"""Reads a table of text, rows = observations, strictly: nothing is renamed, shifted, filled in or guessed."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.data.findings import Findings, counted
from gxsearch.errors import DataError

MOST = 20  # faults told of one file


def read_text(path: Path, separator: str, source: str) -> AnnData:
    """Read a .csv or .tsv file, gzipped if its name ends in .gz, as (n, g) float64.

    The first column holds row names, the header gene names; names stay as they are written (``NA`` is a name, a
    repeated name is repeated). Numbers are read to the nearest float64, as Python's `float` does.

    Raises:
        DataError: E402 the file cannot be read as text, E440 rows of unequal length, E441 a cell that is no
            number, by row and column, E442 no genes or numbers where the gene names should be.
    """
    found = Findings(source, source)
    try:
        with _open(path) as file:
            rows = csv.reader(file, delimiter=separator, strict=True)
            header = next(rows, [])
            _check_header(header, separator, found)
            names, values = _read_rows(rows, header, found)
    except UnicodeDecodeError as error:
        raise DataError.one("E402", source, f"is not UTF-8 text ({error.reason})", "save it as UTF-8") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise DataError.one("E402", source, f"cannot be read to its end: {error}", "get the file again") from None
    found.stop_if_faulty()
    x_ng = np.stack(values) if values else np.zeros((0, len(header) - 1))
    obs, var = pd.DataFrame(index=pd.Index(names, dtype=str)), pd.DataFrame(index=pd.Index(header[1:], dtype=str))
    return AnnData(x_ng, obs=obs, var=var)


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        opener = gzip.open if file.read(2) == b"\x1f\x8b" else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _check_header(header: list[str], separator: str, found: Findings) -> None:
    if len(header) < 2:
        other = [name for name, sign in (("';'", ";"), ("tabs", "\t"), ("commas", ",")) if sign in "".join(header)]
        fix = f"it looks separated by {other[0]}" if other else "the first line must name the genes"
        found.content("E442", "line 1", "the header names no genes", fix)
    elif all(_is_decimal(name) for name in header[1:]):
        fix = "the first line must name the genes, the first column the rows"
        found.content("E442", "line 1", f"the header holds numbers ({', '.join(header[1:4])}, ...)", fix)
    found.stop_if_faulty()


def _is_decimal(word: str) -> bool:
    return "." in word and _number(word) is not None


def _read_rows(rows: Iterator[list[str]], header: list[str], found: Findings) -> tuple[list[str], list[np.ndarray]]:
    names, values = [], []
    for row in rows:
        if not row:  # a blank line
            continue
        if len(row) != len(header):
            fix = "the header needs a name for the first column too" if len(row) == len(header) + 1 else ""
            what = f"{counted(len(row), 'field')} where the header has {len(header)}"
            found.content("E440", f"line {rows.line_num}", what, fix)
        else:
            names.append(row[0])
            values.append(_numbers(row, header, found))
        if len(found.faults) >= MOST:
            break
    return names, values


def _numbers(row: list[str], header: list[str], found: Findings) -> np.ndarray:
    if "_" not in "".join(row[1:]):  # Python reads 1_000 as a thousand; a table should not
        with suppress(ValueError):  # the slow way below names the cells
            return np.array([float(word) for word in row[1:]])
    for gene, word in zip(header[1:], row[1:], strict=True):
        if _number(word) is None:
            what = f"gene '{gene}' is {word!r}, not a number" if word.strip() else f"gene '{gene}' is empty"
            fix = "write 0.3, not 0,3, and no thousands separators" if "," in word else ""
            found.content("E441", f"row '{row[0]}'", what, fix)
    return np.full(len(row) - 1, np.nan)


def _number(word: str) -> float | None:
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None
