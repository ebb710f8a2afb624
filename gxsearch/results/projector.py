"""Projector: the best model's vectors for the Projector and Images tabs of ``tensorboard --logdir RUN``."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from gxsearch.results.maps import is_number
from gxsearch.results.projection import plane
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.vectors import Vectors, gene_vectors, vectors_of
from gxsearch.training.board import scatter

MOST = 10_000
"""Points of one set of vectors; what the browser turns without stuttering. Of more, so many are drawn."""
LEGIBLE = 30
"""Classes that a picture has colors and a legend for."""
_EVENTS = "events.out.tfevents.0.projector"
"""TensorBoard knows a run by a file of events, its fast loader by one that holds an event; else it is none."""


def write(run: RunDir, adata: AnnData, model: str) -> list[str]:
    """Write results/projector/: vectors as float32 bytes, metadata as TSV, and projector_config.pbtxt.

    Sets: ``rows`` (or ``genes``, of a model that embeds those only), and ``genes`` where the model has vectors of them
    too. The metadata are names, the columns of obs (var) and the split.

    Returns:
        the names of the sets.
    """
    found = vectors_of(adata, model)
    assert found is not None, f"no vectors of {model}"
    sets = {f"{found.what}s": found}
    genes = gene_vectors(adata, model)
    if genes is not None and found.what != "gene":
        sets["genes"] = genes
    entries = [_write_set(run.projector, name, _drawn(vectors)) for name, vectors in sets.items()]
    write_atomic(run.projector / _EVENTS, _events(_picture(run, found, model)))
    write_atomic(run.projector / "projector_config.pbtxt", "".join(entries).encode())
    return list(sets)


def _events(picture: bytes) -> bytes:
    """Return a file of the event that begins every such file, and of a PNG for the Images tab."""
    image = Summary.Value(tag="embedding", image=Summary.Image(encoded_image_string=picture, colorspace=3))
    buffer, now = io.BytesIO(), time.time()
    writer = RecordWriter(buffer)
    for event in (
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, summary=Summary(value=[image])),
    ):
        writer.write(event.SerializeToString())
    return buffer.getvalue()


def _picture(run: RunDir, vectors: Vectors, model: str) -> bytes:
    """Draw the vectors in the plane, colored by the first column of classes, as the report does."""
    flat = plane(run, vectors.matrix, model)
    about = vectors.frame.iloc[flat.rows]
    label = next((c for c in about if not is_number(about[c]) and about[c].nunique() <= LEGIBLE), None)
    labels = None if label is None else about[label].astype(str).to_numpy()
    return scatter(flat.points, labels, model if label is None else f"{model}, by {label}", flat.axes)


def _drawn(vectors: Vectors) -> Vectors:
    """Return the points, or `MOST` of them, by a fixed seed and in their order."""
    n = len(vectors.matrix)
    if n <= MOST:
        return vectors
    kept = np.sort(np.random.default_rng(0).choice(n, MOST, replace=False))
    return Vectors(vectors.matrix[kept], vectors.frame.iloc[kept], None, vectors.what)


def _write_set(folder: Path, name: str, vectors: Vectors) -> str:
    """Write a set's two files; return its entry of the configuration, a text protocol buffer."""
    matrix_nk = np.ascontiguousarray(vectors.matrix, dtype="<f4")
    write_atomic(folder / f"{name}.bytes", matrix_nk.tobytes())
    write_atomic(folder / f"{name}.tsv", metadata(vectors.frame, vectors.what).encode())
    shape = "".join(f"  tensor_shape: {size}\n" for size in matrix_nk.shape)
    paths = f'  tensor_path: "{name}.bytes"\n  metadata_path: "{name}.tsv"\n'
    return f"embeddings {{\n  tensor_name: {json.dumps(name)}\n{shape}{paths}}}\n"


def metadata(frame: pd.DataFrame, what: str) -> str:
    """Return a table as TSV: a header, then a line a point; names come from strangers and cannot add to either.

    Of a single column TensorBoard takes the first line for a point, so there is always a second, the place.
    """
    columns = {what: frame.index.astype(str), **{str(c): frame[c].astype(str) for c in frame.columns}}
    columns |= {"place": [str(i) for i in range(len(frame))]} if len(columns) == 1 else {}
    lines = zip(*([_flat(value) for value in values] for values in columns.values()), strict=True)
    return "".join(f"{chr(9).join(line)}\n" for line in ([_flat(name) for name in columns], *lines))


def _flat(text: str) -> str:
    """Return text as one cell: no tab, no end of a line (of any kind that Python or a browser knows), never empty."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip() or "-"
