"""What the README says is so: its verbs, its models, its layout, its example in Python."""

import os
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
    for name in named:
        kind = registry.get(name)
        (row,) = re.findall(rf"^\| `{name}` \|.*$", table, re.MULTILINE)
        assert row.startswith(f"| `{name}` | {registry.summary(kind)} | ") and row.endswith(f" | {kind.reference} |")


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


ELSEWHERE = {
    "python3 -m venv": "CI does it",
    "pytest": "CI does it",
    "python tests/": "takes long",
    "gxsearch cluster": "tests/cluster runs them with stand-ins for the clouds",
}
SHORTER = {
    "--minutes 10": "--trials 1",
    "--trials 12": "--trials 1 --seeds 2",
    "--name first": "--name first -n 3 --epochs 8",
}
"""A minute instead of ten; and what was left out says so, so that a block of another kind must be run."""


def commands() -> list[str]:
    """Return what the blocks of the README run, in their order."""
    found = []
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        if language == "python":
            found.append(f"python - <<'EOF'\n{block}EOF\n")
        else:
            found += [line for line in block.splitlines() if not line.startswith(tuple(ELSEWHERE))]
    return found


def prepare(home: Path) -> None:
    """Put in a folder what a reader of the README has: the project's search spaces, and data of his own."""
    from gxsearch.data import simulate

    adata = simulate.counts(n=240, g=100, seed=1)
    adata.obs["tissue"] = adata.obs["cell_type"]
    adata.obs["donor"] = [f"donor{i % 12}" for i in range(adata.n_obs)]
    adata.write_h5ad(home / "my.h5ad")
    adata[:40].write_h5ad(home / "new.h5ad")
    (home / "search_spaces").symlink_to(ROOT / "search_spaces")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_block_of_the_readme_runs(tmp_path):
    prepare(tmp_path)
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    for command in commands():
        for long, short in SHORTER.items():
            command = command.replace(long, short)
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "vectors.h5ad").exists() and (tmp_path / "runs/first/results/report.html").exists()
