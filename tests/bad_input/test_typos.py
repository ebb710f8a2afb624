"""One-edit typos of sections, settings, models, measures and words: what was meant is suggested."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import yaml

from gxsearch.config import settings
from gxsearch.errors import SpecError
from gxsearch.models import registry
from gxsearch.search.override import SECTIONS
from gxsearch.search.spec import load
from gxsearch.training import objectives

MODELS = ["fe", "nbvae", "rvagene", "spatial", "transformer", "vae"]


def typo(word: str, rng: random.Random) -> str:
    """Return a word with a letter dropped, doubled, replaced or swapped with the next; never another known word."""
    at, kind = rng.randrange(len(word) - 1), rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[: at + 1] + word[at:]
    if kind == 2:
        return word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def sites() -> list[tuple[str, str, str]]:
    """Return all that can be misspelt: model, where (section or group), and the word."""
    found = [("fe", "root", name) for name in SECTIONS if name not in ("gxsearch", "name", "data", "model")]
    found += [("fe", "model name", name) for name in MODELS if len(name) > 2]
    for model in MODELS:
        kind = registry.get(model)
        for group, config in {"model": kind.Config, "train": kind.Train, "data.view": kind.View.Config}.items():
            found += [(model, group, setting.name) for setting in settings(config)]
        found += [(model, "metric", metric) for metric in objectives.measures(kind)]
    for section, names in SETTINGS.items():
        found += [("fe", section, name) for name in names]
    return [site for site in found if len(site[2]) > 1]


SETTINGS = {
    "data": [
        "path",
        "layer",
        "label",
        "batch",
        "transform",
        "orientation",
        "allow_negative",
        "genes",
        "split",
        "spatial",
    ],
    "budget": ["trials", "epochs", "time"],
    "resources": ["workers", "cpus", "gpus", "concurrent"],
    "search": ["sampler", "seed", "startup", "start"],
}


def spec(model: str, place: str, wrong: str) -> dict[str, Any]:
    """Return a search space with a misspelt word in its place."""
    made: dict[str, Any] = {"gxsearch": 1, "name": "case", "model": model, "data": {"path": "x.h5ad"}}
    made["budget"] = {"trials": 2, "epochs": 2}
    if place == "root":
        made[wrong] = {}
    elif place == "model name":
        made["model"] = wrong
    elif place == "metric":
        made["objective"] = {"metric": wrong}
    elif place == "data.view":
        made["data"]["view"] = {wrong: 1}
    elif place in ("model", "train"):
        made["space"] = {place: {wrong: 1}}
    else:
        made.setdefault(place, {})[wrong] = 1
    return made


@pytest.mark.parametrize("seed", range(1))
def test_of_200_typos_190_are_told_with_what_was_meant(tmp_path, seed):
    rng, known = random.Random(seed), sites()
    words = {word for _, _, word in known}
    missed = []
    for model, place, word in (rng.choice(known) for _ in range(200)):
        wrong = typo(word, rng)
        while wrong == word or wrong in words:
            wrong = typo(word, rng) if len(word) > 2 else word + "x"
        (tmp_path / "case.yaml").write_text(yaml.safe_dump(spec(model, place, wrong)))
        with pytest.raises(SpecError) as raised:
            load(tmp_path / "case.yaml")
        told = [str(fault) for fault in raised.value.faults if wrong in str(fault)]
        if not any(re.search(rf"did you mean '([a-z.]+[./])?{re.escape(word)}'", line) for line in told):
            missed.append((model, place, word, wrong, told))

    assert len(missed) <= 10, missed
