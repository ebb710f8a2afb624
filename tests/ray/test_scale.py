"""A search of many trials at once on the whole driver, with trials that are not trained (benchmarks/scale.py)."""

import gc
import sys
from pathlib import Path

import pytest
from ray.tune.experiment import Trial

from gxsearch.results.ledger import events, trials
from gxsearch.search.intake import read_table
from gxsearch.search.opening import reopen
from gxsearch.search.thrift import Thrift

pytestmark = pytest.mark.ray
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from scale import STOPS, search_simulated, spec_of  # noqa: E402


def test_hundreds_of_trials_end_well_every_report_is_counted_and_tune_forgets_them(slots, tmp_path, monkeypatch):
    spec = spec_of(tmp_path / "spec.yaml", trials=200, epochs=9, sampler="random", stop=STOPS["asha"])
    held, over = [], Thrift.over
    monkeypatch.setattr(
        Thrift, "over", lambda self, trial: (over(self, trial), held.append(len(self._controller._trials)))
    )

    run, meter = search_simulated(spec, read_table(spec), 50, tmp_path / "run", [100])

    gc.collect()
    told, found = events(run.ledger), trials(run.ledger)
    assert len(found) == 200
    assert {trial.state for trial in found} == {"complete", "stopped"}
    assert (told[-1]["event"], told[-1]["state"]) == ("run_ended", "done")
    assert meter.reports >= sum(event["event"] == "epoch" for event in told)  # some came when their trial was over
    assert [mark["trials"] for mark in meter.marks] == [0, 100, 200]
    assert max(held) <= 2 * 50
    assert sum(isinstance(kept, Trial) for kept in gc.get_objects()) <= 2 * 50, "something keeps Tune's trials"
    with reopen(run, {}) as again:
        assert again.referee.done
        assert again.referee.leader.best == min(trial.best for trial in found)
        assert again.referee.endings.total() == 200


def test_a_simulated_search_repeats_itself(slots, tmp_path):
    spec = spec_of(tmp_path / "spec.yaml", trials=60, epochs=6, sampler="tpe", stop=STOPS["asha"])
    table = read_table(spec)

    first, second = (search_simulated(spec, table, 20, tmp_path / name, [])[0] for name in ("a", "b"))

    kept = [[(t.number, t.params, t.state, t.best) for t in trials(run.ledger)] for run in (first, second)]
    assert kept[0] == kept[1]
