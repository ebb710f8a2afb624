"""gxsearch: hyperparameter search for models that learn representations of gene expression."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gxsearch.after import ablate, embed, generate, genes, open_model, predict, replay, warmed
    from gxsearch.api import check, pseudobulk
    from gxsearch.comparing import compare
    from gxsearch.confirming import confirm
    from gxsearch.run import Run, Trial
    from gxsearch.searching import load_spec, refit, resume, train, tune

__version__ = "0.1.0"
__all__ = [
    "Run", "Trial", "ablate", "check", "compare", "confirm", "embed", "generate", "genes", "load_spec", "open_model",
    "predict", "pseudobulk", "refit", "replay", "resume", "train", "tune", "warmed",
]  # fmt: skip
_HOMES = {"run": ("Run", "Trial"), "searching": ("load_spec", "refit", "resume", "train", "tune")}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that importing gxsearch costs nothing."""
    if name in __all__:
        home = next((home for home, names in _HOMES.items() if name in names), "api")
        return getattr(import_module(f"gxsearch.{home}"), name)
    raise AttributeError(f"module 'gxsearch' has no attribute '{name}'")
