import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from gxsearch.data.builtin import load_builtin
from gxsearch.data.manifest import verified
from gxsearch.errors import DataError, RunError, UnsafeError
from gxsearch.results import leaderboard, package
from gxsearch.results.export import export, load

FILES = {"config.json", "model.safetensors", "genes.txt", "view.json", "metrics.json", "README.md", "manifest.json"}


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    return export(finished, out=tmp_path_factory.mktemp("export") / "best")


def test_an_export_holds_the_files_of_a_hub_and_their_sums(exported, finished):
    config = json.loads((exported / "config.json").read_text())
    genes = (exported / "genes.txt").read_text().splitlines()

    assert {path.name for path in exported.iterdir()} == FILES
    assert config["model"] == "fe" and config["params"]["gene_dim"] == 6
    assert genes == package.of_run(finished).genes.tolist()
    assert json.loads((exported / "metrics.json").read_text())["test/knn"] == 0.9
    assert set(verified(exported)) == FILES - {"manifest.json"}


def test_a_loaded_export_embeds_bit_for_bit_like_the_checkpoint(exported, finished, table):
    from_run, from_folder = package.of_run(finished), load(exported)

    assert np.array_equal(from_run.embed_table(table), from_folder.embed_table(table))


def test_an_export_embeds_new_rows_whose_genes_are_in_another_order(exported):
    adata = load_builtin("sim_bulk?n=20&g=30&seed=5")
    adata.obs_names = [f"new{i}" for i in range(20)]
    model = load(exported)

    vectors = model.embed(adata)

    assert vectors.shape == (20, model.job.model_config["sample_dim"]) and np.isfinite(vectors).all()
    assert np.array_equal(vectors, model.embed(adata[:, ::-1].copy()))


def test_new_data_without_the_genes_is_refused(exported):
    adata = load_builtin("sim_bulk?n=20&g=30")[:, :25].copy()

    with pytest.raises(DataError, match="5 of 30 genes are missing"):
        load(exported).embed(adata)


def test_the_model_card_has_a_yaml_head_and_tells_trial_and_measures(exported, finished):
    _, head, body = (exported / "README.md").read_text().split("---\n", 2)
    best = leaderboard.best(finished)

    assert yaml.safe_load(head)["library_name"] == "gxsearch"
    assert yaml.safe_load(head)["metrics"][0] == "val/entry_mse"
    results = yaml.safe_load(head)["model-index"][0]["results"][0]["metrics"]
    assert {"type": "test/knn", "value": 0.9} in results
    assert f"| trial | {best.number} (complete) |" in body and "| run | fe-sim (0123abcd) |" in body


def test_the_model_card_tells_data_split_and_measures_beside_the_baselines(exported, finished, table):
    body = (exported / "README.md").read_text()

    assert f"| rows | {len(table.rows('train'))} train" in body and table.facts["sha256"] in body
    assert "| measure | this model | gene mean | hopeless |" in body and "| measure | this model | pca-8 |" in body
    assert "| test/knn | 0.9000 | 0.8000 |" in body
    assert "Beside the expression the model was told, in training: `donor`." in body
    assert "must not be used to diagnose" in body and "## Cite" in body and "| torch | 2.13 |" in body


def test_an_export_does_not_tell_where_on_a_machine_the_data_lay(own):
    facts = own.facts()
    facts["spec"]["data"]["path"] = facts["data"]["source"] = "/home/somebody/secret/cells.h5ad"
    own.run.write_text(json.dumps(facts))

    folder = export(own)

    assert "cells.h5ad" in (folder / "README.md").read_text()
    assert not [path.name for path in folder.iterdir() if b"somebody" in path.read_bytes()]


def test_what_the_card_says_loads_the_model_in_a_line_without_the_run_or_ray(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "elsewhere")
    adata = load_builtin("sim_bulk?n=20&g=30&seed=5")
    adata.write_h5ad(tmp_path / "new.h5ad")
    (line,) = re.findall(r"^model = .*", (folder / "README.md").read_text(), re.MULTILINE)
    code = f"import gxsearch, sys, anndata\n{line}\nadata = anndata.read_h5ad({str(tmp_path / 'new.h5ad')!r})\n"
    code += "gxsearch.embed('.', adata)\nassert (model.embed(adata) == adata.obsm['X_fe']).all()\n"
    code += "print([m for m in ('ray', 'optuna', 'scanpy', 'plotly') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "[]", done.stderr


def test_only_epochs_that_count_are_exported(own):
    folder = export(own, 2)

    assert folder == own.exported(2)
    assert json.loads((folder / "config.json").read_text())["epoch"] == leaderboard.find(own, 2).best_epoch <= 2
    assert "test/knn" not in json.loads((folder / "metrics.json").read_text())


def test_a_trial_without_epochs_cannot_be_exported(own):
    with pytest.raises(RunError, match="no epoch that counts"):
        export(own, 4)


def test_an_export_replaces_an_earlier_one_and_nothing_else(own, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")

    assert export(own) == export(own) == own.best
    with pytest.raises(RunError, match="E636.*is there already"):
        export(own, out=mine)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_an_export_does_not_follow_a_link(own, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(UnsafeError, match="E810"):
        export(own, out=tmp_path / "link")


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_a_flipped_bit_in_an_export_is_found(own, name):
    folder = export(own)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)

    with pytest.raises(RunError, match=f"E623.*{name}"):
        load(folder)


def test_a_folder_that_is_no_export_is_told_in_one_line(tmp_path, own):
    with pytest.raises(RunError, match="E622"):
        load(tmp_path)
    with pytest.raises(RunError, match="E632.*not an exported model"):
        load(own.checkpoints(1) / f"{leaderboard.find(own, 1).best_epoch:06d}")
