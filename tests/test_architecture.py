"""The house: floors, the confinement of Ray and Optuna, sizes, what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "gxsearch").rglob("*.py"))
FLOORS = {
    "errors": 0,
    "events": 0,
    "told": 0,
    "config": 0,
    "data": 1,
    "nn": 1,
    "models": 2,
    "training": 3,
    "search": 4,
    "results": 4,
    "cluster": 4,
    "after": 5,
    "answer": 5,
    "changes": 5,
    "clusters": 5,
    "comparing": 5,
    "completing": 5,
    "confirming": 5,
    "verdicts": 5,
    "steps": 5,
    "console": 5,
    "exits": 5,
    "drafting": 5,
    "starting": 5,
    "finished": 5,
    "listing": 5,
    "looking": 5,
    "outcome": 5,
    "overview": 5,
    "serving": 5,
    "standing": 5,
    "asking": 5,
    "compared": 5,
    "pl": 5,
    "tl": 5,
    "run": 5,
    "screen": 5,
    "searching": 5,
    "api": 5,
    "verbs": 5,
    "watching": 5,
    "cli": 5,
}
HEAVY = ("torch", "ray", "pandas", "anndata", "sklearn", "optuna", "scanpy", "numpy")


def imports(path: Path) -> list[str]:
    """Return the modules that a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 and parts[1] in FLOORS else 0


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_imports_only_from_its_own_floor_or_below(path):
    own = 5 if path.name == "__init__.py" and path.parent == ROOT / "gxsearch" else floor(name(path))

    above = [m for m in imports(path) if m.startswith("gxsearch.") and floor(m) > own]

    assert not above


@pytest.mark.parametrize("path", FILES, ids=name)
def test_ray_is_known_in_search_only_and_optuna_in_search_and_one_reader(path):
    roots = {module.split(".")[0] for module in imports(path)}
    place = path.relative_to(ROOT / "gxsearch").parts[0]

    assert "ray" not in roots or place == "search"
    assert "optuna" not in roots or place == "search" or path.parent.name == "results"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_results_do_not_read_the_search(path):
    if path.parent.name == "results":
        assert not [m for m in imports(path) if m.startswith("gxsearch.search")]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]

    assert text.count("\n") <= 300
    assert not [f.name for f in functions if f.end_lineno - f.body[0].end_lineno > 40]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_opens_with_a_sentence(path):
    doc = ast.get_docstring(ast.parse(path.read_text()))

    assert doc and doc[0].isupper() or doc and doc.startswith("gxsearch")


def test_nothing_is_unpickled():
    banned = ("import pickle", "cloudpickle", "joblib.load", "yaml.load(", "torch.load(", "allow_pickle=True", "eval(")

    found = [
        (name(p), word)
        for p in FILES
        for word in banned
        if word in p.read_text().replace("model.eval(", "").replace(".eval()", "")
    ]

    assert not found


@pytest.mark.parametrize("module", ["gxsearch", "gxsearch.cli"])
def test_importing_is_cheap(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_top_level_holds_what_it_should():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {path.split("/")[0] for path in tracked}

    allowed = {
        "pyproject.toml",
        "constraints.txt",
        "gxsearch",
        "search_spaces",
        "cluster",
        "examples",
        "tests",
        "README.md",
    }
    assert {entry for entry in top if not entry.startswith(".")} <= allowed
