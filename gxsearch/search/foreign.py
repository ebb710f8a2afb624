"""Recognizes how other tools write a search space, and says how it is written here."""

from __future__ import annotations

from typing import Any

from gxsearch.search.domain import number

_LOG = {
    "loguniform", "log_uniform", "lograndint", "qloguniform", "log_uniform_values", "q_log_uniform_values", "log_float",
    "log_int", "qlograndint", "logarithmic", "reverse_log", "suggest_loguniform",
}  # fmt: skip
_WHOLE = {"randint", "qrandint", "lograndint", "qlograndint", "integer", "log_int", "int_uniform", "suggest_int", "quniform_int"}  # fmt: skip  # noqa: E501
_REAL = {"uniform", "quniform", "loguniform", "qloguniform", "log_uniform", "double", "real", "range", "suggest_float"}
_OPTIONS = {"values", "options", "choices", "categorical", "grid_search", "grid", "categories", "one_of", "suggest_categorical"}  # fmt: skip  # noqa: E501
_LOW = {"min", "lower", "low", "minimum", "min_value", "lower_bound", "start", "from"}
_HIGH = {"max", "upper", "high", "maximum", "max_value", "upper_bound", "end", "to", "stop"}
_FIXED = {"const", "constant", "fixed", "fix"}
_WHEN = {"if", "condition", "conditions", "parent", "depends_on", "active_if", "only_if"}
_NORMAL = {"normal", "randn", "qrandn", "lognormal", "qnormal", "gauss", "gaussian", "sample_from", "lambda"}
_STYLE = {"type", "distribution", "dist", "scale", "q", "sampling", "prior", "base", "bounds"}
_PAIRS = _LOG | _WHOLE | _REAL | {"float", "int", "bounds"}
WORDS = _LOG | _WHOLE | _REAL | _OPTIONS | _LOW | _HIGH | _FIXED | _WHEN | _NORMAL | _STYLE


def translate(entry: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return the foreign word, what is wrong and the right form, or None where there is no foreign word."""
    found = [key for key in entry if key in WORDS]
    if not found:
        return None
    word = found[0]
    return word, f"'{word}' is not used here", _form(entry, word)


def flow(value: Any) -> str:
    """Return a value as YAML writes it in one line."""
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return number(value) if isinstance(value, int | float) else str(value)


def _form(entry: dict[str, Any], word: str) -> str:
    words = set(entry) | {str(value) for key, value in entry.items() if key in _STYLE}
    if words & _OPTIONS:
        options = next(entry[key] for key in entry if key in _OPTIONS) if set(entry) & _OPTIONS else None
        return f"write {{choice: {flow(options) if isinstance(options, list) else '[a, b]'}}}"
    if words & _FIXED:
        return "write the plain value, or {value: x}"
    if words & _WHEN:
        return "write when: {name: value}"
    if words & _NORMAL:
        return "there are no normal or custom distributions; write {float: [low, high]}, with log: true on a log scale"
    if not words - _STYLE:
        return "write {float: [low, high]}, {int: [low, high]} or {choice: [...]}"
    return _range_form(entry, words, word)


def _range_form(entry: dict[str, Any], words: set[str], word: str) -> str:
    pair = next((value for key, value in entry.items() if key in _PAIRS and isinstance(value, list)), [])
    low = next((value for key, value in entry.items() if key in _LOW), pair[0] if len(pair) > 1 else "low")
    high = next((value for key, value in entry.items() if key in _HIGH), pair[1] if len(pair) > 1 else "high")
    whole = bool(words & (_WHOLE | {"int"})) or (
        not words & (_REAL | _LOG | {"float"}) and isinstance(low, int) and isinstance(high, int)
    )
    log = bool(words & (_LOG | {"log"})) and entry.get("log") is not False
    step = entry.get("q", pair[2] if len(pair) > 2 else None)
    tail = ", log: true" if log else f", step: {flow(step)}" if step is not None else ""
    note = " (both ends included)" if whole and "rand" in word else ""
    return f"write {{{'int' if whole else 'float'}: [{flow(low)}, {flow(high)}]{tail}}}{note}"
