"""Data that do not fit into the machine's memory are told of before a search takes it all (F15)."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse

from gxsearch.cli import main
from gxsearch.errors import ResourceError
from gxsearch.search import memory

MIB = 2**20


@pytest.mark.fault("F15")
@pytest.mark.parametrize("verb", ["tune", "train"])
def test_data_larger_than_memory_are_refused_before_anything_begins(toy_spec, tmp_path, monkeypatch, capsys, verb):
    monkeypatch.setattr(memory, "total", lambda: 500 * MIB)

    with pytest.raises(SystemExit) as stop:
        main([verb, toy_spec().path, "--out", str(tmp_path / "runs"), "-q"])

    told = capsys.readouterr().err.strip()
    assert stop.value.code == 5 and "\n" not in told
    assert "error[E509]" in told and "rows x" in told and "GiB in memory" in told and "there are 0.5 GiB" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.fault("F15")
def test_what_is_needed_grows_with_the_trials_at_once(toy_table, monkeypatch):
    big = dataclasses.replace(toy_table, x_ng=np.zeros((100 * MIB // 400, 100), dtype=np.float32))
    monkeypatch.setattr(memory, "total", lambda: 1500 * MIB)

    memory.check_memory(big, 1)
    with pytest.raises(ResourceError, match="E509.*concurrent lower"):
        memory.check_memory(big, 4)
    memory.check_memory(dataclasses.replace(toy_table, x_ng=sparse.csr_matrix((1 * MIB, 100), dtype=np.float32)), 2)


@pytest.mark.fault("F15")
def test_this_machine_has_memory_for_the_tests():
    assert memory.total() > 1000 * MIB
