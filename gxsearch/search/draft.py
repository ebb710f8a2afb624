"""Draft: the commented text of a search space file for a data set that was looked at; it passes `check` as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gxsearch.data.glance import Glance
from gxsearch.data.roles import FIT_TO_STRATIFY, Column, Roles
from gxsearch.models import registry
from gxsearch.search.advice import Advice
from gxsearch.search.suit import Sizes, Suited, documented, few_genes, seen_genes, shares, suit
from gxsearch.search.yaml_text import Page

_WINDOWS_FROM = 200
"""Samples of as many different pseudotimes are cells: averages over windows show courses, single ones do not."""
_TILES = 4
_FULL_VALUES = 5e7


@dataclass(frozen=True)
class Subject:
    """All that a draft is made from: the data as `data.path` names them, what was seen, the columns, the model."""

    path: str
    seen: Glance
    found: Roles
    advice: Advice
    spatial: str | None = None
    gpu: bool = False

    @property
    def model(self) -> str:
        """The name of the architecture."""
        return self.advice.model

    @property
    def of_genes(self) -> bool:
        """Whether the rows that get vectors are genes."""
        return registry.get(self.model).View.axis == "var"

    @property
    def label(self) -> str | None:
        """The column that colors and scores the vectors."""
        return self.found.genes_label if self.of_genes else self.found.label

    @property
    def sizes(self) -> Sizes:
        """Rows and genes as the model sees them."""
        n, g = self.seen.shape
        g = few_genes(self.model, g) or g
        return Sizes(g, n) if self.of_genes else Sizes(n, g)


def name_of(model: str, source: str) -> str:
    """Return a name for the search: the model's and the data's."""
    stem = Path(source.partition("?")[0].rstrip("/")).name.partition(".")[0].lower()
    return f"{model}-{re.sub(r'[^a-z0-9._-]+', '-', stem).strip('-._') or 'data'}"[:63].rstrip("-._")


def draft(subject: Subject, *, head: list[str]) -> str:
    """Return the file; `head` are the comment lines above it."""
    suited = suit(subject.model, subject.sizes, batches=bool(subject.found.batch))
    page = Page()
    for line in head:
        page.say(line)
    page.put("gxsearch", 1, "version of this format")
    page.put(
        "name", name_of(subject.model, subject.seen.source), "the run's folder is called so, with the time behind it"
    )
    page.put("model", subject.model, f"gxsearch models {subject.model} lists all settings")
    page.put("data")
    _data(page, subject)
    page.put("objective", {"metric": _metric(subject)}, _AIMS[_metric(subject)])
    page.put("space")
    for group, entries in suited.space.items():
        page.put(group, depth=1)
        for key, entry in entries.items():
            full = f"{group}.{key}"
            page.put(key, entry, suited.why.get(full) or documented(subject.model, full), depth=2)
    _search(page, subject, suited)
    return page.text()


def _data(page: Page, subject: Subject) -> None:
    seen, advice = subject.seen, subject.advice
    numbers = advice.numbers
    n, g = seen.shape
    page.put("path", subject.path, f"{n:,} rows x {g:,} genes; relative to this file", depth=1)
    if numbers.layer is not None:
        page.put("layer", numbers.layer, numbers.told(), depth=1)
    if advice.transform:
        steps = "; rows of zeros cannot be normalized" if numbers.empty_rows and numbers.kind == "counts" else ""
        page.put("transform", list(advice.transform), f"{numbers.place} holds {numbers.told()}{steps}", depth=1)
    elif not advice.negative:
        page.put("transform", [], f"none: {numbers.place} holds {numbers.told()}", depth=1)
    if advice.negative:
        page.put("allow_negative", True, numbers.told(), depth=1)
    _genes(page, subject)
    if subject.label is not None:
        page.put("label", subject.label, "colors and scores the vectors; never an input", depth=1)
    if subject.found.batch and subject.model in ("nbvae", "fe", "vae"):
        why = (
            "corrected for by the model"
            if subject.model == "nbvae"
            else "scores how well batches mix; not corrected for"
        )
        page.put("batch", subject.found.batch, why, depth=1)
    if subject.of_genes:
        page.put("time", subject.found.time, "obs column of times: hours, days or pseudotime", depth=1)
    if subject.model == "spatial":
        page.put("spatial", subject.spatial or seen.spatial[0], "obsm key of coordinates", depth=1)
    split, why = _split(subject)
    page.put("split", split, why, depth=1)
    view, why = _view(subject)
    if view:
        page.put("view", view, why, depth=1)


def _genes(page: Page, subject: Subject) -> None:
    g = subject.seen.shape[1]
    kept = few_genes(subject.model, g)
    if kept is not None:
        page.put("genes", {"top_variable": kept}, f"of {g:,}: chosen by variance over training rows only", depth=1)
    elif seen_genes(subject.model, subject.advice.numbers, g, subject.seen.shape[0]):
        why = "genes seen in less than 1 % of the rows would have huge z-scores"
        page.put("genes", {"min_detected": 0.01}, why, depth=1)


def _split(subject: Subject) -> tuple[dict[str, Any], str]:
    """Return the split and why it is so."""
    found = subject.found
    val, test = shares(subject.sizes.rows)
    split: dict[str, Any] = {"val": val, "test": test}
    if subject.of_genes:
        label = Column.of(subject.seen.var[subject.label]) if subject.label is not None else None
        kept = few_genes(subject.model, subject.seen.shape[1]) is None
        if label is not None and kept and label.least >= FIT_TO_STRATIFY and not label.gaps and label.classes > 1:
            split["stratify"] = subject.label
        return split | {"seed": 0}, "genes are held out, not samples"
    if subject.model == "spatial" and found.group is None:
        if subject.sizes.rows >= 20 * _TILES**2:
            split |= {"tiles": _TILES} | ({"group": found.section} if _several_sections(found) else {})
            return split | {"seed": 0}, "tiles of neighboring spots are held out; single spots would be given away"
        return split | {"seed": 0}, "single spots are held out: too few for tiles"
    why = "rows are held out at random"
    if found.group is not None:
        split["group"] = found.group
        why = f"all rows of one {found.group} stay together: else held-out rows have siblings in training"
    if found.label is not None and found.stratify and subject.model != "spatial":
        split["stratify"] = found.label
        why += f", by '{found.label}' alike in all parts" if found.group is None else ""
    return split | {"seed": 0}, why


def _several_sections(found: Roles) -> bool:
    return found.section is not None and found.columns[found.section].classes > 1


def _view(subject: Subject) -> tuple[dict[str, Any], str]:
    """Return the settings of the model's view, and why they are so."""
    return {"vae": _of_vae, "nbvae": _of_nbvae, "rvagene": _of_rvagene, "spatial": _of_spatial}.get(
        subject.model, _of_transformer if subject.model == "transformer" else lambda subject: ({}, "")
    )(subject)


def _of_vae(subject: Subject) -> tuple[dict[str, Any], str]:
    scale = "none" if subject.advice.numbers.kind == "scaled" else "standard"
    why = "the values are z-scores already" if scale == "none" else "z-scores by training rows; validation hides 15 %"
    return {"scale": scale, "clip": 10.0, "hide": 0.15}, why


def _of_nbvae(subject: Subject) -> tuple[dict[str, Any], str]:
    total = subject.found.total
    return ({"total": total}, "obs column of each row's total over all genes; the file has some") if total else ({}, "")


def _of_rvagene(subject: Subject) -> tuple[dict[str, Any], str]:
    times, rows = subject.found.columns[subject.found.time].classes, subject.seen.shape[0]
    windows = 40 if rows >= _WINDOWS_FROM and times > rows / 2 else 0
    missing = "mask" if subject.advice.numbers.gaps else "error"
    why = "each gene by its own mean and deviation; replicates are averaged"
    if windows:
        why = f"{rows:,} samples are averaged in 40 windows of time"
    return {"scaling": "zscore", "replicates": "average", "windows": windows, "missing": missing}, why


def _of_spatial(subject: Subject) -> tuple[dict[str, Any], str]:
    found = subject.found
    components = max(1, min(30, subject.sizes.genes - 1, subject.sizes.training - 1))
    view = {"k": 6, "features": "pca", "components": components, "center": "all", "hops": 4}
    if _several_sections(found):
        view |= {"section": found.section, "center": "section"}
    if found.label is not None:
        view["classes"] = found.label
    return view, "k neighbors of the same section; classes are told of training spots only"


def _of_transformer(subject: Subject) -> tuple[dict[str, Any], str]:
    view: dict[str, Any] = {"layout": "dense", "binning": "quantile", "n_bins": 5}
    if subject.found.phenotypes:
        view["phenotypes"] = subject.found.phenotypes
    return view, "a token for each gene and each phenotype, which are found from the rest"


def _metric(subject: Subject) -> str:
    found = subject.found
    if subject.model == "spatial":
        return "val/balanced_accuracy" if found.label else "val/nll"
    if subject.model == "transformer":
        return "val/balanced_accuracy" if found.phenotypes else "val/gene_nll"
    return {"fe": "val/entry_mse", "vae": "val/masked_mse", "nbvae": "val/elbo", "rvagene": "val/elbo"}[subject.model]


_AIMS = {
    "val/entry_mse": "error of 10 % held-out entries of training rows",
    "val/masked_mse": "error of hidden values of held-out rows",
    "val/elbo": "nats of what is held out, at beta 1",
    "val/balanced_accuracy": "of classes of held-out rows, all classes alike",
    "val/nll": "nats of the counts of hidden spots",
    "val/gene_nll": "nats of hidden genes of held-out rows",
}


def _search(page: Page, subject: Subject, suited: Suited) -> None:
    n, g = subject.seen.shape
    page.put("search")
    page.put("sampler", "tpe", "learns from the trials that ended", depth=1)
    page.put("startup", min(suited.startup, max(1, suited.trials // 3)), "draws at random before it does", depth=1)
    page.put("seed", 0, "the same seed gives the same search", depth=1)
    if any(suited.start):
        page.put("start", why="tried first: the published settings, and others that did well", depth=1)
        for point in suited.start:
            page.item(point, depth=2)
    page.put("stop", suited.stop, "trials that fall behind end early")
    time = "12h" if n * g > _FULL_VALUES else "2h"
    why = "whichever is over first; 3 trials or more for each setting that is searched"
    page.put("budget", {"trials": suited.trials, "epochs": suited.epochs, "time": time}, why)
    why = (
        "this machine has a GPU: as many trials share it as fit"
        if subject.gpu
        else "of one trial; no GPU was found here"
    )
    page.put("resources", {"cpus": 1, "gpus": "auto" if subject.gpu else 0, "concurrent": "auto"}, why)
