"""Pre-trained weights: what is taken, what is refused, what is told before a trial."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import sparse

from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.errors import RunError, TrialError
from gxsearch.models.transformer import HEADS, Transformer
from gxsearch.nn.pretrained import load_into
from gxsearch.training import checkpoint
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, build, session

GENES = 12
DIMS = Dims(100, GENES, n_bins=3, phenotypes={"cell.type": 4, "type": 2})


def make() -> Transformer:
    torch.manual_seed(0)
    return Transformer(Transformer.Config(), DIMS).eval()


def exported(folder, model: Transformer, **change):
    """Write what an export holds of the weights; `change` replaces or, with None, removes tensors."""
    weights = {**model.state_dict(), **change}
    weights = {name: value for name, value in weights.items() if value is not None}
    told = {"model": "transformer", "params": model.config.model_dump(), "dims": dataclasses.asdict(model.dims)}
    checkpoint.publish(folder, {"model.safetensors": weights, "config.json": json.dumps(told).encode()})
    return str(folder)


def test_a_pretrained_trunk_is_taken_and_a_classifier_drawn(tmp_path):
    trunk = make()
    folder = exported(tmp_path / "best", trunk)
    torch.manual_seed(5)
    model = Transformer(Transformer.Config(task="classify", target="type"), DIMS)

    loaded = load_into(model, folder, HEADS)

    assert all(n.startswith("classifier.") for n in loaded.drawn) and len(loaded.drawn) == 4
    assert any(n.startswith("gene_head.") for n in loaded.left)
    assert all(torch.equal(model.state_dict()[name], trunk.state_dict()[name]) for name in loaded.taken)
    assert "encoder.blocks.0.qkv.weight" in loaded.taken and "newly drawn: classifier" in str(loaded)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder.blocks.1.up.weight": None}, "'encoder.blocks.1.up.weight' is not in the file"),
        ({"encoder.extra": torch.ones(2)}, "'encoder.extra' is unknown"),
        ({"embedding.gene.weight": torch.ones(5, 64)}, "'embedding.gene.weight' is 5 x 64, the model's is 12 x 64"),
    ],
)
def test_weights_that_are_missing_unknown_or_misshapen_are_refused(tmp_path, change, said):
    folder, model = exported(tmp_path / "best", make(), **change), make()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with pytest.raises(RunError, match=said):
        load_into(model, folder, HEADS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_folder_that_is_damaged_or_holds_no_model_is_refused(tmp_path):
    folder = exported(tmp_path / "best", make())
    path = tmp_path / "best" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")

    with pytest.raises(RunError, match="E623"):
        load_into(make(), folder, HEADS)
    with pytest.raises(RunError, match="E622"):
        load_into(make(), str(tmp_path / "none"), HEADS)


def test_settings_that_cannot_work_are_told_before_a_trial(tmp_path):
    config, objection = Transformer.Config, Transformer.objection
    folder = exported(tmp_path / "best", make())
    tuned = dataclasses.replace(DIMS, pretrained=folder)

    assert objection(config(), DIMS) is None and objection(config(), tuned) is None
    assert "name it in data.view.phenotypes" in objection(config(task="classify", target="age"), DIMS)
    assert "never read" in objection(config(task="classify", target="type", embed_phenotypes=["type"]), DIMS)
    assert "set model.size to xs" in objection(config(size="s"), tuned)
    assert "set model.ffn_mult to 4" in objection(config(ffn_mult=2), tuned)
    assert "n_genes is 10" in objection(config(), dataclasses.replace(tuned, n_genes=10))


def table_of(n: int = 240, genes: int = GENES) -> Table:
    """Cells of two types that differ in most genes."""
    draw = np.random.default_rng(0)
    kind_n = np.arange(n) % 2
    rate_ng = np.where((np.arange(genes) % 2 == kind_n[:, None]), 2.5, 0.4)
    x_ng = np.log1p(draw.poisson(rate_ng)).astype(np.float32)
    part_n = np.zeros(n, dtype=np.int8)
    part_n[2 * n // 3 :], part_n[5 * n // 6 :] = 1, 2
    names = [np.array([f"{stem}{i:03d}" for i in range(size)]) for stem, size in (("cell", n), ("gene", genes))]
    obs = {"kind": np.array(["a", "b"])[kind_n]}
    return Table(sparse.csr_matrix(x_ng), *names, part_n, obs, facts={"transform": ["log1p"]})


def test_fine_tuning_starts_from_the_exported_weights_and_says_so(tmp_path):
    table, bench = table_of(), Bench(table_of(), torch.device("cpu"))
    job = Job("transformer", {}, {"batch_size": 8, "lr": 1e-3}, {"phenotypes": ["kind"]}, 6, 0, "val/loss", "min")
    *_, (_, first) = session(job, bench, LocalRuntime())
    view = bench.view(job)[0]
    files = {
        "model.safetensors": first.state_dict(),
        "config.json": json.dumps(
            {"model": "transformer", "params": {}, "dims": dataclasses.asdict(view.dims)}
        ).encode(),
        "view.json": json.dumps({"data": {"transform": ["log1p"]}, "state": view.state()}).encode(),
    }
    checkpoint.publish(tmp_path / "best", files)
    view_config = {"phenotypes": ["kind"], "pretrained": str(tmp_path / "best")}
    tuned = dataclasses.replace(
        job, model_config={"task": "classify", "target": "kind"}, view_config=view_config, metric="val/accuracy"
    )

    model, _ = build(tuned, bench.view(tuned)[0], table, started=False)
    *_, (metrics, _) = session(tuned, bench, LocalRuntime())

    weights = first.state_dict()
    trunk = [name for name in model.state_dict() if name.startswith(("embedding.", "encoder."))]
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in trunk)
    assert metrics["model/drawn"] == 4 and metrics["model/pretrained"] >= len(trunk)
    assert metrics["val/accuracy"] == metrics["val/accuracy_kind"] > 0.9
    with pytest.raises(TrialError, match="no measure 'val/gene_nll'"):
        next(session(dataclasses.replace(tuned, metric="val/gene_nll"), bench, LocalRuntime()))
