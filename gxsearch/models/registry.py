"""The architectures by name; a model registers itself with a decorator and is found by its file's name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import TypeVar

import gxsearch.models
from gxsearch.errors import SpecError, did_you_mean
from gxsearch.models.base import GeneModel

_NOT_MODELS = {"base", "registry", "transformer_config"}
_registered: dict[str, type[GeneModel]] = {}
Model = TypeVar("Model", bound=type[GeneModel])


def register(name: str) -> Callable[[Model], Model]:
    """Give a model class the name that specs use; the class must declare everything `GeneModel` lists."""

    def add(cls: Model) -> Model:
        missing = [a for a in ("Config", "Train", "View", "metrics", "reference", "demo") if not hasattr(cls, a)]
        assert not missing, f"{cls.__name__} lacks {', '.join(missing)}"
        assert _registered.setdefault(name, cls).__qualname__ == cls.__qualname__, f"'{name}' is taken"
        return cls

    return add


def names() -> list[str]:
    """Return the names of the architectures, without importing them."""
    files = {m.name for m in pkgutil.iter_modules(gxsearch.models.__path__)} - _NOT_MODELS
    return sorted(files | set(_registered))


def get(name: str, where: str = "") -> type[GeneModel]:
    """Return a model class by name.

    Raises:
        SpecError: when there is no such architecture, naming the nearest.
    """
    if name not in _registered and name in names():
        importlib.import_module(f"gxsearch.models.{name}")
    if name not in _registered:
        hint = did_you_mean(name, names())
        own = "" if hint.startswith("did") else "; one of your own is found in a folder that GXSEARCH_MODELS names"
        raise SpecError.one("E310", where, f"unknown model '{name}'", f"{hint}{own}")
    return _registered[name]


def summary(kind: type[GeneModel]) -> str:
    """Return what an architecture is, in a line: the first of its file."""
    doc = sys.modules[kind.__module__].__doc__ or kind.__doc__ or kind.__name__
    return doc.splitlines()[0].rstrip(".")
