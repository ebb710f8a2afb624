"""The table of faults is held to the tests: each has one that says so, or a reason why not."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
ALL = {f"F{i:02d}" for i in range(1, 37)}


def marks(nodes: list[ast.expr]) -> set[str]:
    """Return the faults that decorators or a `pytestmark` name."""
    calls = [call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "fault"]
    return {ast.literal_eval(word) for call in named for word in call.args}


def staged(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield the tests of a file with the faults that they name."""
    body = ast.parse(path.read_text()).body
    given = [n.value for n in body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "pytestmark"]
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, marks(given) | marks(node.decorator_list)


def test_every_fault_is_staged_by_a_test():
    tests = defaultdict(list)
    for path in TESTS.rglob("test_*.py"):
        for name, faults in staged(path):
            for fault in faults:
                tests[fault].append(name)

    assert set(tests) == ALL


def test_every_test_here_says_which_fault_it_stages():
    here = {path: list(staged(path)) for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)}

    assert len(here) > 8
    assert not [(path.name, name) for path, found in here.items() for name, faults in found if not faults]


def test_the_table_has_a_row_for_every_fault_that_is_staged():
    text = (Path(__file__).parent / "README.md").read_text()

    assert set(re.findall(r"^\| (F\d\d) \|", text, re.M)) == ALL
