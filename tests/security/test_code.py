"""Our own code has no call that runs what it reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gxsearch"
BARE = {"eval", "exec", "compile", "__import__"}
DOTTED = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "dill.loads"),
    *("joblib.load", "marshal.loads", "shelve.open", "pd.read_pickle", "pandas.read_pickle", "runpy.run_path"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "os.system", "os.popen", "torch.hub.load"),
    *("torch.load", "torch.jit.load", "torch.export.load", "tempfile.mktemp", "jsonpickle.decode"),
}
MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle", "telnetlib", "ftplib"}
OPTIONS = {"shell": True, "weights_only": False, "allow_pickle": True, "verify": False}


def forbidden(source: str) -> list[str]:
    """Return the calls, imports and options of a file that run what they read, with their lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno} import {a.name}" for a in node.names if a.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(f"{node.lineno} from {node.module}")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            bad = name in DOTTED or name in BARE
            bad |= any(k.arg in OPTIONS and _is(k.value, OPTIONS[k.arg]) for k in node.keywords)
            bad |= name in ("np.load", "numpy.load") and "allow_pickle" not in {k.arg for k in node.keywords}
            found += [f"{node.lineno} {name}"] if bad else []
    return found


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


FILES = sorted(PACKAGE.rglob("*.py"))


def test_no_file_of_ours_runs_what_it_reads():
    found = {str(path.relative_to(PACKAGE)): bad for path in FILES if (bad := forbidden(path.read_text()))}

    assert len(FILES) > 100 and not found


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(x)",
        "eval(x)",
        "yaml.load(x, Loader=yaml.Loader)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "subprocess.run(x, shell=True)",
        "torch.load(x, weights_only=False)",
        "import pickle",
        "from cloudpickle import loads",
        "joblib.load(x)",
    ],
)
def test_what_runs_what_it_reads_is_found(line):
    assert forbidden(line)


def test_templates_escape_all_but_what_we_made_harmless():
    text = (PACKAGE / "results" / "templates" / "report.html").read_text()

    assert "|safe" not in text.replace(" ", "") and "autoescape false" not in text
