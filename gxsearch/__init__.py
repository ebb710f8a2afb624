"""gxsearch: hyperparameter search for models that learn representations of gene expression."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gxsearch import pl, tl
    from gxsearch.after import embed, generate, genes, open_model, predict, warmed
    from gxsearch.after import open_model as load
    from gxsearch.api import pseudobulk
    from gxsearch.asking import (
        ablate,
        architectures,
        best,
        check,
        confirm,
        export,
        grid,
        read,
        replay,
        report,
        status,
        trials,
    )
    from gxsearch.compared import Comparison, compare
    from gxsearch.errors import (
        DataError,
        Fault,
        GxError,
        ResourceError,
        RunError,
        RunFailed,
        SpecError,
        TrialError,
        UnsafeError,
    )
    from gxsearch.looking import doctor, init, schema
    from gxsearch.run import Run, Trial
    from gxsearch.search.spec import Spec
    from gxsearch.search.stopped import Interrupted
    from gxsearch.searching import load_spec, refit, resume, train, tune

__version__ = "0.1.0"
_HOMES = {
    "after": "embed generate genes open_model predict warmed",
    "api": "pseudobulk",
    "asking": "ablate architectures best check confirm export grid read replay report status trials",
    "compared": "Comparison compare",
    "errors": "DataError Fault GxError ResourceError RunError RunFailed SpecError TrialError UnsafeError",
    "looking": "doctor init schema",
    "run": "Run Trial",
    "search.spec": "Spec",
    "search.stopped": "Interrupted",
    "searching": "load_spec refit resume train tune",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = ["Comparison", "DataError", "Fault", "GxError", "Interrupted", "ResourceError", "Run", "RunError"]
__all__ += ["RunFailed", "Spec", "SpecError", "Trial", "TrialError", "UnsafeError", "ablate", "architectures", "best"]
__all__ += ["check", "compare", "confirm", "doctor", "embed", "export", "generate", "genes", "grid", "init", "load"]
__all__ += ["load_spec", "schema"]
__all__ += ["open_model", "pl", "predict", "pseudobulk", "read", "refit", "replay", "report", "resume", "status"]
__all__ += ["tl", "train", "trials", "tune", "warmed"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that importing gxsearch costs nothing."""
    if name in ("pl", "tl"):
        return import_module(f"gxsearch.{name}")
    if name == "load":
        name = "open_model"
    if name in _HOME:
        return getattr(import_module(f"gxsearch.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gxsearch' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
