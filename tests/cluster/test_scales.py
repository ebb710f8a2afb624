"""How many trials are run side by side where an autoscaler adds nodes as they are asked for."""

from __future__ import annotations

import pytest

from gxsearch.errors import ResourceError
from gxsearch.search.launch import _grown, slots
from gxsearch.search.sections import Resources


def test_what_an_autoscaler_may_add_counts(monkeypatch):
    monkeypatch.setenv("GXSEARCH_SCALES_TO", "CPU=32,GPU=8")

    have = _grown({"CPU": 4.0, "memory": 1e9})

    assert have == {"CPU": 32, "GPU": 8, "memory": 1e9}
    assert slots(Resources(cpus=4, gpus=1), have["CPU"], have["GPU"]) == 8


def test_a_cluster_that_has_more_counts_as_it_is(monkeypatch):
    monkeypatch.setenv("GXSEARCH_SCALES_TO", "CPU=2")

    assert _grown({"CPU": 4.0}) == {"CPU": 4.0}


def test_nothing_is_added_unless_it_is_said(monkeypatch):
    monkeypatch.delenv("GXSEARCH_SCALES_TO", raising=False)

    assert _grown({"CPU": 4.0}) == {"CPU": 4.0}


@pytest.mark.parametrize("word", ["8", "GPU=", "GPU=many", "GPU=-1"])
def test_what_is_no_resource_is_refused(monkeypatch, word):
    monkeypatch.setenv("GXSEARCH_SCALES_TO", word)

    with pytest.raises(ResourceError, match="E508"):
        _grown({})
