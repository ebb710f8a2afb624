"""The time that a search has: from its first trial on, unless that is long in coming."""

import pytest

from gxsearch.search import deadline as module
from gxsearch.search.deadline import Deadline


@pytest.mark.parametrize(("took", "left"), [(5.0, 60.0), (module.START_S + 1, 60.0 - module.START_S - 1)])
def test_the_start_of_processes_counts_only_where_it_takes_long(monkeypatch, took, left):
    now = iter([100.0, 100.0 + took, 100.0 + took, 100.0 + took])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    deadline = Deadline(70.0, spent_s=10.0)

    deadline.start()
    deadline.start_late()

    assert deadline.left_s() == pytest.approx(left)
