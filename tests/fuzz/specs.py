"""Search space files, drawn by hypothesis: sound ones with one or several things spoiled, and what looks like YAML."""

from __future__ import annotations

import contextlib
import io
from functools import cache
from typing import Any

import yaml
from hypothesis import strategies as st

from gxsearch.cli import main
from gxsearch.config import settings
from gxsearch.models import registry

ODD = st.one_of(
    st.sampled_from([None, "", "~", True, -1, 0, 2**63, 10**40, 1e308, float("inf"), float("nan"), "1e-4", "=1+1"]),
    st.sampled_from(["../x", "\u202e", "a\0b", "{int: [1, 2]}", "${HOME}", "${", "a" * 300, [], {}, [[]], {"": {}}]),
    st.integers(-10, 10**6),
    st.floats(),
    st.text(max_size=8),
    st.recursive(st.integers(0, 9) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=6),
)
"""Values that nobody should write."""
KEYS = st.sampled_from(["modle", "lr", "data", "", "0", "<<", "when", "a.b", "~", "NaN", "__class__", "é"]) | st.text(
    max_size=6
)


@cache
def knobs(model: str) -> list[tuple[str, str, Any]]:
    """Return the group, name and default of every setting of a model."""
    kind = registry.get(model)
    parts = {"model": kind.Config, "train": kind.Train}
    return [(group, s.name, s.default) for group, config in parts.items() for s in settings(config)]


@st.composite
def entries(draw: st.DrawFn, default: Any) -> Any:
    """Draw an entry of a space."""
    low, high = draw(st.tuples(st.floats(0.01, 1), st.floats(1, 64)))
    if isinstance(default, bool) or not isinstance(default, int | float):
        return draw(st.sampled_from([{"choice": [default]}, {"value": default}, default, {"choice": [default, None]}]))
    if isinstance(default, int):
        low, high = max(1, int(low)), int(high) + 1
    kind = "int" if isinstance(default, int) else "float"
    more = draw(st.sampled_from([{}, {"log": True}, {"step": 1}, {"default": default}, {"when": {"head": "linear"}}]))
    return draw(st.sampled_from([default, {"value": default}, {kind: [low, high], **more}, {"choice": [low, high]}]))


@st.composite
def sections(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a search space that is nearly sound."""
    model = draw(st.sampled_from(registry.names()))
    spec: dict[str, Any] = {"gxsearch": 1, "name": "case", "model": model}
    spec["data"] = {
        "path": "sim_bulk?n=40&g=12",
        **draw(st.sampled_from([{}, {"label": "cell_type"}, {"split": {"val": 0.3}}])),
    }
    space: dict[str, dict[str, Any]] = {}
    for group, name, default in draw(
        st.lists(st.sampled_from(knobs(model)), max_size=4, unique_by=lambda knob: knob[:2])
    ):
        space.setdefault(group, {})[name] = draw(entries(default))
    spec |= {"space": space} if space else {}
    spec["budget"] = {"trials": draw(st.integers(1, 9)), "epochs": draw(st.integers(1, 9))}
    spec |= draw(
        st.sampled_from([{}, {"stop": {"asha": {"grace": 1}}}, {"search": {"sampler": "random"}}, {"stop": "none"}])
    )
    return spec


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a file: sound sections with up to three values, keys or bytes that are odd."""
    spec = draw(sections())
    for _ in range(draw(st.integers(0, 3))):
        group = _group(draw, spec)
        if isinstance(group, dict) and group:
            key = draw(st.sampled_from(sorted(group)))
            what = draw(st.sampled_from(["value", "key", "drop", "add"]))
            if what == "drop":
                del group[key]
            else:
                group[key if what == "value" else draw(KEYS)] = group.pop(key) if what == "key" else draw(ODD)
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True).encode()
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.binary(max_size=4) | st.sampled_from([b"*a", b"&a", b"[", b"{", b"\t", b"!!python/x"]))
            + text[at:]
        )
    return text


def _group(draw: st.DrawFn, spec: dict[str, Any]) -> Any:
    """Draw a group of a spec: the root, or one within it."""
    group: Any = spec
    while isinstance(group, dict) and group and draw(st.booleans()):
        inner = [value for value in group.values() if isinstance(value, dict)]
        if not inner:
            break
        group = draw(st.sampled_from(inner))
    return group


def called(*words: str) -> tuple[int, str]:
    """Call the command line; return the exit code and what it says of errors. Whatever it raises is a defect."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as stop:
            return int(stop.code or 0), err.getvalue()
    return 0, err.getvalue()


def verdict(status: int, err: str) -> str:
    """Return how a call ended: fine, or the code of its first fault; anything else is an AssertionError."""
    lines = [line for line in err.splitlines() if line.startswith("error")]
    assert "Traceback" not in err and "E790" not in err, err
    assert status in (0, 2, 3, 4, 5, 6, 8), (status, err)
    assert status in (0, 2) or all(line[:7] == "error[E" and line[7] == str(status) for line in lines) and lines, err
    return lines[0][6:10] if lines else "fine"
