"""gxsearch: hyperparameter search for models that learn representations of gene expression."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "ablate", "check", "compare", "confirm", "embed", "generate", "genes", "load_spec", "open_model", "predict",
    "pseudobulk", "replay", "resume", "train", "tune", "warmed",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used, so that importing gxsearch costs nothing."""
    if name in __all__:
        from gxsearch import api

        return getattr(api, name)
    raise AttributeError(f"module 'gxsearch' has no attribute '{name}'")
