"""Track: which trackers a search sends to: what is asked for is looked at before anything starts."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Sequence

from gxsearch.errors import ResourceError, SpecError, did_you_mean
from gxsearch.search.sections import TRACKERS, Track

_MLFLOW = re.compile(r"(https?|sqlite|(postgresql|mysql|mssql)(\+\w+)?|databricks)://\S+|databricks")
_WANDB = re.compile(r"([A-Za-z0-9_.-]{1,128}/)?[A-Za-z0-9_.-]{1,128}")


def odd_target(name: str, target: str) -> str | None:
    """Return what to write instead of something that a tracker cannot send to; None where it can.

    Raises:
        UnsafeError: E805 when it holds a password.
    """
    from gxsearch.data.remote import check_secrets, is_uri

    if is_uri(target):
        check_secrets(target)
    if name == "wandb":
        return None if _WANDB.fullmatch(target) else "write the name of a project, or ENTITY/PROJECT"
    return None if _MLFLOW.fullmatch(target) else "write sqlite:///FILE.db, or http://HOST:5000 of `mlflow server`"


def as_sets(options: Sequence[str]) -> list[str]:
    """Return ``NAME=TARGET`` options as changes of a search space file.

    Raises:
        SpecError: E360 when one names no tracker, or one is given twice.
    """
    sets: dict[str, str] = {}
    for text in options:
        name, equals, target = text.partition("=")
        where = f"--track {name}"
        if name not in TRACKERS:
            raise SpecError.one("E360", where, f"there is no tracker '{name}'", did_you_mean(name, TRACKERS))
        if not equals or name in sets:
            what = "is given twice" if name in sets else "says nothing to send to"
            raise SpecError.one("E360", where, what, "for example --track mlflow=sqlite:///ml.db")
        sets[name] = f"track.{name}={json.dumps(target)}"
    return list(sets.values())


def chosen(track: Track, options: Sequence[str]) -> Track:
    """Return trackers with those of ``NAME=TARGET`` options in their places.

    Raises:
        SpecError: E360. UnsafeError: E805.
    """
    given: dict[str, str] = {}
    for text in as_sets(options):
        name, _, target = text.removeprefix("track.").partition("=")
        given[name] = json.loads(target)
        if (fix := odd_target(name, given[name])) is not None:
            raise SpecError.one("E360", f"--track {name}", f"'{given[name]}' is nothing that {name} sends to", fix)
    return track.model_copy(update=given)


def check_installed(track: Track) -> None:
    """Refuse trackers whose package is missing: a search of hours should not end to find that out.

    Raises:
        ResourceError: E520.
    """
    for name in track.targets:
        if importlib.util.find_spec(name) is None:
            what = f"sending to {name} needs the package {name}, which is not installed"
            raise ResourceError.one("E520", f"track.{name}", what, f'pip install ".[{name}]"')
