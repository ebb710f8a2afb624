"""The files of cluster/ and the package agree on versions, and to look at them costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import gxsearch

ROOT = Path(__file__).parents[2]
FILES = [*ROOT.glob("cluster/*.yaml"), ROOT / "cluster" / "Dockerfile"]
RAY = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.name)
def test_a_launcher_names_this_gxsearch_and_its_ray(path):
    text = path.read_text()

    assert set(re.findall(r"gxsearch-([\d.]+)-py3", text)) <= {gxsearch.__version__}
    assert set(re.findall(r"rayproject/ray:([\d.]+)|rayVersion: \"([\d.]+)", text)) <= {(RAY, ""), ("", RAY)}
    assert RAY in text or gxsearch.__version__ in text


@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
def test_a_cloud_has_a_head_on_demand_without_work_and_workers_from_none(name):
    values = yaml.safe_load((ROOT / f"cluster/{name}.yaml").read_text())

    types = values["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0} and types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["min_workers"] == 0 and values["idle_timeout_minutes"] == 5


def test_the_lock_names_what_is_tested_with_and_a_hash_for_everything():
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    lock = (ROOT / "cluster" / "requirements.lock").read_text()
    locked = re.findall(r"^([\w.-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})*)$", lock, re.MULTILINE)

    assert len(locked) == len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE)) > 100
    assert all(hashes for *_, hashes in locked)
    assert {name: version for name, version, _ in locked if pinned.get(name, version) != version} == {}
    assert {"ray", "torch", "optuna", "anndata"} <= {name for name, *_ in locked}


def test_the_script_can_be_read_by_bash():
    assert subprocess.run(["bash", "-n", str(ROOT / "cluster/slurm/gxsearch.sbatch")], check=False).returncode == 0


def test_lint_imports_neither_ray_nor_torch():
    code = (
        "import sys; from gxsearch.cluster.lint import lint; [lint(file) for file in sys.argv[1:]]; "
        "print([m for m in ('ray', 'torch', 'numpy', 'pandas', 'pydantic') if m in sys.modules])"
    )
    files = [str(path) for path in FILES[:-1]] + [str(ROOT / "cluster/slurm/gxsearch.sbatch")]

    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_variables_of_the_launchers_are_told_in_their_readme():
    asked = {name for path in FILES for name in re.findall(r"\$\{(GXSEARCH_\w+)\}", path.read_text())}
    asked -= {"GXSEARCH_JOB", "GXSEARCH_ENTRYPOINT"}  # filled in by submit

    assert asked <= set(re.findall(r"GXSEARCH_\w+", (ROOT / "cluster/README.md").read_text()))
