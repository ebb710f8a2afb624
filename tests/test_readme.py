"""What the README says is so: its verbs, its models, its layout, its example in Python."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gxsearch.cli import cli
from gxsearch.models import registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_verbs_has_every_verb():
    named = re.findall(r"^\| `gxsearch (\w+)", README, re.MULTILINE)

    assert sorted(named) == sorted(cli.commands)


def test_the_table_of_models_has_every_model_of_the_package():
    table = README.split("## Models")[1].split("##")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))

    assert named == {name for name in registry.names() if (ROOT / "gxsearch" / "models" / f"{name}.py").exists()}


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_search_space_of_the_project_passes_check(path):
    done = subprocess.run(
        [sys.executable, "-m", "gxsearch.cli", "check", str(path)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["ok"]), done.stderr


def test_the_spec_of_the_readme_is_a_spec(tmp_path):
    from gxsearch.search.spec import load

    (tmp_path / "my.yaml").write_text(re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1])

    assert load(tmp_path / "my.yaml").model == "fe"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path):
    from gxsearch.data import simulate

    simulate.bulk(n=30, g=100, seed=1).write_h5ad(tmp_path / "new.h5ad")
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    (tmp_path / "example.py").write_text(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1])

    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "embedded.h5ad").exists() and (tmp_path / "runs/example/results/report.html").exists()
