"""What a change of the best settings does is measured over the same seeds, on validation rows."""

import pytest

from gxsearch import api
from gxsearch.errors import SpecError
from gxsearch.results import ablations
from gxsearch.results.run_dir import RunDir

SPEC = """
gxsearch: 1
name: ablated
model: vae
data: {path: "sim_bulk?n=80&g=40", label: cell_type}
space:
  model: {hidden: {value: [16]}, latent_dim: {int: [2, 4]}, beta: 1e-3}
  train: {lr: 1e-2, batch_size: 10}
budget: {trials: 1, epochs: 6}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "spec.yaml").write_text(SPEC)
    return api.train(api.load_spec(folder / "spec.yaml"), out=folder, name="run", quiet=True)


def test_a_rate_that_learns_nothing_is_told_to_be_worse_and_the_report_says_so(run):
    told = api.ablate(run.path, "train.lr=1e-6", seeds=3)

    row = told["measures"]["val/masked_mse"]
    assert len(row["as found"]) == len(set(row["as found"])) == 3
    assert row["interval"][0] < row["difference"] < row["interval"][1] and row["difference"] > 0
    assert ablations.sentence("val/masked_mse", row).split(": ")[1].startswith("worse")
    assert {"val/knn", "val/r2"} <= set(told["measures"])
    assert ablations.past(run) == [told]
    assert "with train.lr=1e-6, over 3 seeds" in run.report.read_text()


def test_no_change_cannot_be_told_apart(run):
    told = api.ablate(run.path, "model.beta=1e-3", seeds=2)

    row = told["measures"]["val/masked_mse"]
    assert row["as found"] == row["changed"] and row["interval"] == [0, 0]
    assert "cannot be told apart" in ablations.sentence("val/masked_mse", row)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.skpi=none", "E324.*did you mean 'model.skip'"),
        ("model.skip=pcs", "E303.*model.skip"),
        ("model.contrast=supcon", "E331.*data.view.classes"),
        ("skip", "E324"),
    ],
)
def test_a_change_that_cannot_be_is_refused_before_anything_is_trained(run, change, told):
    before = ablations.past(run)

    with pytest.raises(SpecError, match=told):
        api.ablate(run.path, change)

    assert ablations.past(run) == before
