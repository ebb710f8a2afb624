"""Board: what TensorBoard shows of a training: scalars, HParams with their domains, pictures of 2-D embeddings."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from gxsearch.data.table import Table
from gxsearch.models.base import GeneModel, KeepsRowVectors

_FIRST_PICTURE_S = 1.0
_NOT_SHOWN = {"epoch", "best_epoch", "saved", "last"}
_DIMENSIONS = ("dimension 1", "dimension 2")
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000", "#999999", "#7A4FBF")


class Board:
    """One folder of events; opened on the first write, closed with the training."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: EventFileWriter | None = None
        self._picture_at = time.monotonic() + _FIRST_PICTURE_S

    def picture_due(self) -> bool:
        """Whether it is time for a picture: after a second, then so that pictures take a twentieth of the time."""
        return time.monotonic() >= self._picture_at

    def scalars(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Write an epoch's metrics, each under its own name."""
        values = [Summary.Value(tag=k, simple_value=v) for k, v in metrics.items() if k not in _NOT_SHOWN]
        self._add(Summary(value=values), epoch)

    def picture(self, tag: str, draw: Callable[[], bytes], epoch: int) -> None:
        """Write the PNG that `draw` gives."""
        begun = time.monotonic()
        image = Summary.Image(encoded_image_string=draw(), colorspace=3)
        self._add(Summary(value=[Summary.Value(tag=tag, image=image)]), epoch)
        now = time.monotonic()
        self._picture_at = now + 20 * (now - begun)

    def hparams(
        self,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        trial: str,
        domains: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Write a trial's settings and its final metrics for the HParams tab, in the form that `domains` declares."""
        shown = {name: _shown([value, *_options(domains.get(name, {}))])[0] for name, value in params.items()}
        self._summary(hparams.hparams_pb(shown, trial_id=trial))
        self.scalars({f"hparam/{name}": value for name, value in metrics.items()}, 0)

    def domains(self, domains: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, str]) -> None:
        """Declare the searched settings with their domains, and the metrics with what they mean."""
        declared = [hparams.HParam(name, _domain(domain)) for name, domain in domains.items()]
        shown = [hparams.Metric(f"hparam/{name}", display_name=text) for name, text in metrics.items()]
        self._summary(hparams.hparams_config_pb(hparams=declared, metrics=shown))

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()

    def _summary(self, summary: Any) -> None:
        self._add(Summary.FromString(summary.SerializeToString()), 0)

    def _add(self, summary: Summary, step: int) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventFileWriter(str(self._folder))
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _domain(domain: Mapping[str, Any]) -> hparams.Domain:
    if domain["kind"] == "choice":
        return hparams.Discrete(_shown(_options(domain)))
    interval = hparams.IntInterval if domain["kind"] == "int" else hparams.RealInterval
    return interval(domain["low"], domain["high"])


def _options(domain: Mapping[str, Any]) -> list[Any]:
    return list(domain.get("options", ()))


def _shown(values: list[Any]) -> list[bool | int | float | str]:
    """Return values as TensorBoard takes them: all of one type, numbers as numbers, anything else as text."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= {bool, int, float, str}:
        return values
    return [float(value) for value in values] if kinds == {int, float} else [str(value) for value in values]


def show(board: Board, metrics: Mapping[str, float], model: GeneModel, table: Table) -> None:
    """Write an epoch; a 2-D table of row vectors also as a picture, now and then."""
    epoch = int(metrics["epoch"])
    board.scalars(metrics, epoch)
    if not isinstance(model, KeepsRowVectors) or not board.picture_due():
        return
    z_nk = model.row_vectors()
    if z_nk.shape[1] == 2:
        labels = next((v[table.rows("train")] for v in table.obs.values() if v.dtype.kind == "U"), None)
        board.picture("embedding", lambda: scatter(z_nk, labels, f"epoch {epoch}"), epoch)


def scatter(
    z_nk: np.ndarray, labels_n: np.ndarray | None, title: str, axes_names: tuple[str, str] = _DIMENSIONS
) -> bytes:
    """Draw a 2-D embedding (n, 2) colored by label as a PNG."""
    from matplotlib.figure import Figure  # half a second that a trial without a 2-D embedding need not pay

    figure = Figure(figsize=(6, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    classes = np.unique(labels_n) if labels_n is not None else [None]
    for i, name in enumerate(classes):
        rows = labels_n == name if labels_n is not None else slice(None)
        axes.scatter(*z_nk[rows].T, s=8, color=_COLORS[i % len(_COLORS)], label=None if name is None else str(name))
    if labels_n is not None and len(classes) <= 30:
        axes.legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set(title=title, xlabel=axes_names[0], ylabel=axes_names[1])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
