"""The Slurm script, run by bash; Slurm, Ray and gxsearch are programs here that write down how they were called."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster" / "slurm" / "gxsearch.sbatch"
JOB = {"SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_NUM_NODES": "2"}


@pytest.fixture
def slurm(stubs, tmp_path):
    """Programs of a cluster; `srun` runs the words behind its options here, Ray's nodes wait until they are ended."""
    up, alive = tmp_path / "up", tmp_path / "alive"
    status = f'[ "$1" = status ] && {{ cat {up} 2> /dev/null; exit 0; }}'
    stubs.add("srun", 'while [ "${1#--}" != "$1" ]; do shift; done\n[ "$1" = ray ] || exit 0\nexec "$@"')
    stubs.add(
        "ray", f'{status}\n[ "$1" = start ] || exit 0\necho $$ >> {alive}\necho " 1 node_x" >> {up}\nexec sleep 60'
    )
    stubs.add("scontrol")
    stubs.add("chmod")
    return stubs


def start(tmp_path: Path, **more: str) -> subprocess.Popen:
    """Start the script as Slurm would."""
    return subprocess.Popen(
        ["bash", str(SCRIPT), "spec.yaml"],
        cwd=tmp_path,
        env={**os.environ, **JOB, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def searches(stubs) -> list[list[str]]:
    return [words[1:] for words in stubs.calls if words[0] == "gxsearch"]


def test_a_first_start_searches_on_all_nodes(slurm, tmp_path):
    slurm.add("gxsearch")

    job = start(tmp_path)
    said = job.communicate(timeout=60)[0]

    assert job.returncode == 0, said
    *search, address = searches(slurm)[0]
    assert search == ["tune", "spec.yaml", "--out", f"{tmp_path}/runs", "--name", "slurm-4711", "--address"]
    assert address.endswith(":24711")
    starts = [words for words in slurm.calls if words[:2] == ["ray", "start"]]
    assert "--head" in starts[0] and f"--address={address}" in starts[1] and len(starts) == 2
    assert not [words for words in slurm.calls if words[0] == "scontrol"]


def test_a_job_that_is_started_again_goes_on(slurm, tmp_path):
    slurm.add("gxsearch")
    (tmp_path / "runs" / "slurm-4711").mkdir(parents=True)
    (tmp_path / "runs" / "slurm-4711" / "run.json").touch()

    job = start(tmp_path, SLURM_RESTART_COUNT="1", SLURM_JOB_NUM_NODES="1")
    said = job.communicate(timeout=60)[0]

    assert job.returncode == 0, said
    assert searches(slurm)[0][:3] == ["resume", f"{tmp_path}/runs/slurm-4711", "--address"]


def test_a_job_that_was_taken_before_it_began_begins(slurm, tmp_path):
    slurm.add("gxsearch")

    job = start(tmp_path, SLURM_RESTART_COUNT="1", SLURM_JOB_NUM_NODES="1")
    job.communicate(timeout=60)

    assert searches(slurm)[0][0] == "tune"


def test_the_signal_reaches_the_search_and_its_75_puts_the_job_back_in_the_queue(slurm, tmp_path):
    ready = tmp_path / "ready"
    slurm.add("gxsearch", f"trap 'kill $sleeper; sleep 0.3; exit 75' USR1\nsleep 60 & sleeper=$!\ntouch {ready}\nwait")

    job = start(tmp_path, SLURM_JOB_NUM_NODES="1")
    until(ready.exists)
    job.send_signal(signal.SIGUSR1)
    said = job.communicate(timeout=60)[0]

    assert job.returncode == 75, said
    assert ["scontrol", "requeue", "4711"] in slurm.calls


@pytest.mark.parametrize("code", [7, 143])
def test_other_ends_are_the_ends_of_the_job(slurm, tmp_path, code):
    slurm.add("gxsearch", f"exit {code}")

    job = start(tmp_path, SLURM_JOB_NUM_NODES="1")
    job.communicate(timeout=60)

    assert job.returncode == code and not [words for words in slurm.calls if words[0] == "scontrol"]


def test_nothing_of_the_job_outlives_it(slurm, tmp_path):
    slurm.add("gxsearch")

    start(tmp_path).communicate(timeout=60)

    nodes = [int(pid) for pid in (tmp_path / "alive").read_text().split()]
    assert len(nodes) == 2
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in nodes))


def test_a_ray_that_does_not_start_ends_the_job(slurm, tmp_path):
    slurm.add("ray", '[ "$1" = start ] && exit 1\nexit 0')
    slurm.add("gxsearch")

    job = start(tmp_path, SLURM_JOB_NUM_NODES="1")
    job.communicate(timeout=60)

    assert job.returncode == 1 and searches(slurm) == []


def until(true, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
