"""The tokenizer of a pretrained model, read from its exported folder and checked against the data and settings."""

from __future__ import annotations

import json
from pathlib import Path

from gxsearch.data.manifest import verified
from gxsearch.data.table import Table
from gxsearch.data.tokenizer import Binning, Tokenizer
from gxsearch.errors import DataError, Fault

_WHERE = "data.view.pretrained"


class Pretrains(Binning):
    """Settings that name a pretrained model."""

    pretrained: str | None


def read_pretrained(table: Table, config: Pretrains) -> Tokenizer:
    """Return the tokenizer of the exported model that the settings name.

    Raises:
        RunError: when the folder is missing or damaged.
        DataError: E490 when it holds no model of tokens; E491 where settings or the transform contradict its own.
    """
    try:
        view = json.loads(verified(Path(config.pretrained))["view.json"])
        tokenizer, own = Tokenizer.load(view["state"]["tokenizer"]), view["state"]["config"]
        steps = list(view["data"]["transform"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"{config.pretrained} holds no exported model of tokens ({error!r})"
        raise DataError.one("E490", _WHERE, what, "give RUN/results/best, or a folder of gxsearch export") from None
    faults = [
        Fault(
            "E491",
            f"data.view.{name}",
            f"{getattr(config, name)!r} here, {own[name]!r} in the pretrained model",
            "leave it out",
        )
        for name in Binning.model_fields
        if name in config.model_fields_set and getattr(config, name) != own[name]
    ]
    if table.facts.get("transform", steps) != steps:
        what = f"{table.facts['transform']} here, {steps} in the pretrained model: its bins are of other values"
        faults.append(Fault("E491", "data.transform", what, f"set transform: [{', '.join(steps)}]"))
    if faults:
        raise DataError(faults)
    return tokenizer
