"""The example in gxsearch/models/README.md keeps the contract that it explains."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def example() -> str:
    text = (ROOT / "gxsearch/models/README.md").read_text()
    return text.split("```python\n")[1].split("```")[0]


def test_the_example_of_the_readme_keeps_the_contract(tmp_path):
    (tmp_path / "linear.py").write_text(example())
    environment = {**os.environ, "GXSEARCH_MODELS": str(tmp_path)}

    # As a plugin gxsearch.models is imported, and reads the variable, before any conftest sets it anew.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "gxsearch.models", "tests/contract/test_models.py"]
    command.append("tests/contract/test_views.py")
    done = subprocess.run(
        [*command, "-k", "linear"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )

    assert done.returncode == 0, done.stdout[-3000:]
    assert "linear" in example() and "passed" in done.stdout
