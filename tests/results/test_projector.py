"""TensorBoard's Projector tab shows the best model's vectors, with names that cannot spoil it."""

import json
import time
import urllib.request

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tensorboard import program
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from gxsearch.results import projector
from gxsearch.results.run_dir import RunDir


@pytest.fixture(params=["false", "auto"])  # its own loader, and the fast one where that is installed
def served(request, samples_only):
    """TensorBoard on a concluded run; a function that asks it."""
    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", str(samples_only.path), "--port", "0", f"--load_fast={request.param}"])
    url = board.launch()
    return lambda path: urllib.request.urlopen(f"{url}data/plugin/projector/{path}", timeout=20).read()


def test_tensorboard_on_the_run_lists_the_vectors_and_gives_them_byte_for_byte(served, samples_only):
    adata = anndata.read_h5ad(samples_only.embeddings)

    patience = time.monotonic() + 20
    while not (found := json.loads(served("runs"))) and time.monotonic() < patience:
        time.sleep(0.05)  # it reads the folder in the background
    (run,) = found
    (rows,) = json.loads(served(f"info?run={run}"))["embeddings"]

    assert (run, rows["tensorName"], rows["tensorShape"]) == ("results/projector", "rows", [120, 2])
    assert served(f"tensor?run={run}&name=rows") == adata.obsm["X_toy"].tobytes()
    lines = served(f"metadata?run={run}&name=rows").decode().splitlines()
    assert lines[0].split("\t") == ["row", *adata.obs.columns] and len(lines) == 121
    assert lines[1].split("\t") == [adata.obs_names[0], *adata.obs.iloc[0].astype(str)]


def test_names_of_strangers_stay_in_their_cells():
    frame = pd.DataFrame({"a\tb": ["x\ty", "", "1\r\n2"]}, index=["r\n1", "r\u20282", "r3"])

    assert projector.metadata(frame, "row") == "row\ta b\nr 1\tx y\nr 2\t-\nr3\t1 2\n"


def test_a_single_column_gets_a_second_for_tensorboard_would_take_its_header_for_a_point():
    assert projector.metadata(pd.DataFrame(index=["g1", "g2"]), "gene") == "gene\tplace\ng1\t0\ng2\t1\n"


def test_of_many_rows_some_are_drawn_and_points_without_a_vector_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "MOST", 5)
    adata = AnnData(obs=pd.DataFrame({"n": range(9)}, index=[f"r{i}" for i in range(9)]))
    adata.obsm["X_fe"] = np.arange(18, dtype=np.float32).reshape(9, 2)
    adata.obsm["X_fe"][0] = np.nan
    run = RunDir(tmp_path)

    assert projector.write(run, adata, "fe") == ["rows"]

    names = [line.split("\t")[0] for line in (run.projector / "rows.tsv").read_text().splitlines()[1:]]
    vectors = np.frombuffer((run.projector / "rows.bytes").read_bytes(), dtype="<f4").reshape(5, 2)
    assert len(names) == 5 and "r0" not in names
    assert np.array_equal(vectors, adata[names].obsm["X_fe"])


def test_a_model_that_embeds_genes_shows_them_too(genes_as_rows, samples_only):
    config = (genes_as_rows.projector / "projector_config.pbtxt").read_text()

    assert 'tensor_name: "genes"' in config and 'tensor_name: "rows"' not in config


def test_the_images_tab_has_the_vectors_as_the_report_draws_them(samples_only):
    (file,) = samples_only.projector.glob("events.out.tfevents.*")

    (image,) = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]

    assert image.tag == "embedding" and image.tensor.string_val[2].startswith(b"\x89PNG")
