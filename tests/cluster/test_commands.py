"""`gxsearch cluster up | submit | status | fetch | down`: the commands that they print, and run."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SPEC = str(ROOT / "search_spaces" / "fe_smoke.yaml")


def dry(call, *argv: str) -> list[list[str]]:
    """Return the words of the commands that a dry run prints."""
    code, out, err = call("cluster", *argv, "--dry-run")
    assert code == 0, err
    return [shlex.split(line) for line in out.splitlines()]


@pytest.fixture
def filled(stubs, tmp_path) -> str:
    return str(tmp_path / "cache/gxsearch/cluster/cluster-aws.yaml")


def test_up_starts_the_filled_file(call, filled):
    assert dry(call, "up", str(CLUSTER / "aws.yaml")) == [["ray", "up", "--yes", "--disable-usage-stats", filled]]

    values = yaml.safe_load(Path(filled).read_text())
    assert values["max_workers"] == 8 and "${" not in Path(filled).read_text().replace("${GXSEARCH_...}", "")
    assert values["available_node_types"]["gpu"]["node_config"]["SecurityGroupIds"] == ["sg-0a"]
    assert stat.S_IMODE(Path(filled).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
def test_a_filled_file_is_one_that_ray_takes(call, stubs, tmp_path, name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    dry(call, "up", str(CLUSTER / f"{name}.yaml"))

    values = yaml.safe_load((tmp_path / f"cache/gxsearch/cluster/cluster-{name}.yaml").read_text())
    ready = prepare_config(values)
    validate_config(ready)
    assert ready["available_node_types"]["gpu"]["max_workers"] == ready["max_workers"] == 8
    assert ready["docker"]["head_image"] == "rayproject/ray:2.60.0-py311-cpu"


def test_submit_sends_the_spec_and_runs_it_as_a_job_of_ray(call, filled):
    folder, copy, job = dry(call, "submit", str(CLUSTER / "aws.yaml"), SPEC, "--name", "first", "-s", "MAX_WORKERS=3")

    assert folder == ["ray", "exec", filled, "mkdir -p /mnt/runs/specs"]
    assert copy == ["ray", "rsync-up", filled, SPEC, "/mnt/runs/specs/first.yaml"]
    assert job[:3] == ["ray", "exec", filled] and shlex.split(job[3]) == [
        *shlex.split("ray job submit --address http://127.0.0.1:8265 --no-wait -- env GXSEARCH_SCALES_TO=CPU=12,GPU=3"),
        *shlex.split("gxsearch tune /mnt/runs/specs/first.yaml --out /mnt/runs --name first --address auto --quiet"),
    ]


def test_submit_takes_the_name_of_the_spec(call, filled):
    assert dry(call, "submit", str(CLUSTER / "aws.yaml"), SPEC)[1][-1] == "/mnt/runs/specs/fe-smoke.yaml"


def test_submit_goes_on_with_a_run(call, filled):
    (job,) = dry(call, "submit", str(CLUSTER / "aws.yaml"), "--resume", "first")

    assert "gxsearch resume /mnt/runs/first --address auto --quiet" in job[3]


def test_status_fetch_and_down_are_rays_own(call, filled):
    file = str(CLUSTER / "aws.yaml")

    assert dry(call, "status", file)[0][3] == "ray status && ray job list --address http://127.0.0.1:8265"
    assert dry(call, "status", file, "first") == [["ray", "exec", filled, "gxsearch status /mnt/runs/first"]]
    assert dry(call, "fetch", file, "first", "-o", "here") == [
        ["mkdir", "-p", "here/first/"],
        ["ray", "rsync-down", filled, "/mnt/runs/first/", "here/first/"],
    ]
    assert dry(call, "down", file) == [["ray", "down", "--yes", filled]]


def test_kubernetes_gets_the_cluster_first_and_a_job_for_each_search(call, stubs, tmp_path):
    file, cache = str(CLUSTER / "kuberay.yaml"), tmp_path / "cache/gxsearch/cluster"

    assert dry(call, "up", file) == [["kubectl", "apply", "-f", str(cache / "cluster-kuberay.yaml")]]
    kinds = [doc["kind"] for doc in yaml.safe_load_all((cache / "cluster-kuberay.yaml").read_text())]
    assert kinds == ["PersistentVolumeClaim", "NetworkPolicy", "RayCluster"]

    copy, apply = dry(call, "submit", file, SPEC, "--name", "First_1")
    pod = shlex.split("kubectl -n gxsearch exec -i svc/gxsearch-head-svc -c ray-head -- sh -c")
    assert copy == [*pod, "mkdir -p /mnt/runs/specs && cat > /mnt/runs/specs/First_1.yaml", "<", SPEC]
    job = yaml.safe_load(Path(apply[-1]).read_text())
    assert job["kind"] == "RayJob" and job["metadata"]["name"] == "run-first-1"
    assert job["spec"]["entrypoint"].startswith(
        "env GXSEARCH_SCALES_TO=CPU=64,GPU=8 gxsearch tune /mnt/runs/specs/First_1"
    )

    assert dry(call, "down", file) == [
        shlex.split("kubectl -n gxsearch delete rayjobs -l gxsearch/cluster=gxsearch"),
        shlex.split("kubectl -n gxsearch delete raycluster gxsearch --ignore-not-found"),
    ]


def test_slurm_is_asked_by_its_own_commands(call, stubs):
    file = str(CLUSTER / "slurm" / "gxsearch.sbatch")

    assert dry(call, "submit", file, SPEC) == [["sbatch", file, SPEC]]
    assert dry(call, "status", file) == [["squeue", "--me", "--name=gxsearch"]]
    assert dry(call, "down", file) == [["scancel", "--me", "--name=gxsearch"]]
    assert call("cluster", "up", file)[0] == 3


def test_the_stack_of_aws_is_made_with_the_network_that_was_named(call, stubs, tmp_path):
    (deploy,) = dry(call, "up", str(CLUSTER / "setup" / "aws.yaml"), "--set", "SSH_CIDR=198.51.100.7/32")

    assert deploy[:3] == ["aws", "cloudformation", "deploy"] and "us-east-1" in deploy
    assert 'CidrIp: "198.51.100.7/32"' in (tmp_path / "cache/gxsearch/cluster/setup-aws.yaml").read_text()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("SSH_CIDR=0.0.0.0/0", 8, "error[E833] cluster.yaml:18:64: GXSEARCH_SSH_CIDR is 0.0.0.0/0: open to the whole"),
        ("SSH_CIDR=home", 3, "error[E388] cluster.yaml:18:64: GXSEARCH_SSH_CIDR is 'home', which is no network"),
        ("SSH_CIDR=", 3, "error[E388] cluster.yaml:18:64: GXSEARCH_SSH_CIDR is not set"),
        ("AWS_VPC=a\nb: c", 3, "which is no plain word"),
    ],
)
def test_what_is_missing_or_odd_is_not_filled_in(call, stubs, tmp_path, monkeypatch, given, code, said):
    monkeypatch.chdir(tmp_path)
    Path("cluster.yaml").write_text((CLUSTER / "setup" / "aws.yaml").read_text())

    status, out, err = call("cluster", "up", "cluster.yaml", "--dry-run", "--set", given)

    assert (status, out) == (code, "") and said in err


def test_a_value_that_opens_the_cluster_is_found_when_it_is_filled_in(call, stubs, tmp_path):
    text = (
        (CLUSTER / "kuberay.yaml")
        .read_text()
        .replace("authOptions: {mode: token}", "authOptions: {mode: '${GXSEARCH_AUTH:-token}'}")
    )
    (tmp_path / "k.yaml").write_text(text)

    assert call("cluster", "up", str(tmp_path / "k.yaml"), "--dry-run")[0] == 0
    status, _, err = call("cluster", "up", str(tmp_path / "k.yaml"), "--dry-run", "--set", "AUTH=disabled")

    assert status == 8 and "E831" in err


def test_nothing_is_run_for_a_file_with_findings(call, stubs, tmp_path):
    stubs.add("ray")
    (tmp_path / "a.yaml").write_text((CLUSTER / "aws.yaml").read_text().replace("127.0.0.1", "0.0.0.0"))

    status, _, err = call("cluster", "up", str(tmp_path / "a.yaml"))

    assert status == 8 and "E834" in err and stubs.calls == []


def test_what_runs_is_ended_whatever_its_file_says(call, stubs, tmp_path):
    (tmp_path / "a.yaml").write_text((CLUSTER / "aws.yaml").read_text().replace("127.0.0.1", "0.0.0.0"))

    assert dry(call, "down", str(tmp_path / "a.yaml"))[0][:3] == ["ray", "down", "--yes"]


def test_nothing_is_run_for_a_spec_with_faults(call, stubs, tmp_path):
    stubs.add("ray")
    (tmp_path / "s.yaml").write_text("gxsearch: 1\nname: s\nmodel: fee\n")

    status, _, err = call("cluster", "submit", str(CLUSTER / "aws.yaml"), str(tmp_path / "s.yaml"))

    assert status == 3 and "did you mean 'fe'?" in err and stubs.calls == []


@pytest.mark.parametrize("name", ["../x", "a b", "-rf", "a;b", "$(x)"])
def test_a_name_that_is_none_reaches_no_shell(call, stubs, name):
    stubs.add("ray")

    status, _, err = call("cluster", "status", str(CLUSTER / "aws.yaml"), "--", name)

    assert status == 3 and "E303" in err and stubs.calls == []


def test_up_makes_a_token_that_only_its_owner_reads_and_runs_ray(call, stubs, tmp_path, monkeypatch, filled):
    stubs.add("ray")
    monkeypatch.chdir(tmp_path)
    for name in ("dist", "cluster"):
        (tmp_path / name).mkdir()
    for name in ("cluster/requirements.lock", "dist/gxsearch-0.1.0-py3-none-any.whl"):
        (tmp_path / name).touch()

    status, _, err = call("cluster", "up", str(CLUSTER / "aws.yaml"))

    token = tmp_path / ".ray" / "auth_token"
    assert (status, err) == (0, f"$ ray up --yes --disable-usage-stats {filled}\n")
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and token.read_text() not in Path(filled).read_text()
    assert stubs.calls == [["ray", "up", "--yes", "--disable-usage-stats", filled]]


def test_files_that_the_cluster_should_get_must_be_here(call, stubs, tmp_path, monkeypatch):
    stubs.add("ray")
    monkeypatch.chdir(tmp_path)

    status, _, err = call("cluster", "up", str(CLUSTER / "aws.yaml"))

    assert status == 3 and "there is no cluster/requirements.lock here" in err and "pip wheel" in err
    assert stubs.calls == []


def test_a_command_that_fails_ends_the_rest(call, stubs, filled):
    stubs.add("ray", "exit 3")

    status, _, err = call("cluster", "submit", str(CLUSTER / "aws.yaml"), SPEC)

    assert status == 7 and "error[E730] ray: ended with exit code 3" in err and len(stubs.calls) == 1


def test_a_program_that_is_missing_is_named(call, stubs, monkeypatch):
    monkeypatch.setenv("PATH", str(stubs.folder))

    status, _, err = call("cluster", "status", str(CLUSTER / "kuberay.yaml"))

    assert status == 5 and "error[E507] kubectl: there is no kubectl here" in err


def test_a_run_is_fetched_from_kubernetes_through_a_pipe(call, stubs, tmp_path):
    (tmp_path / "there/first").mkdir(parents=True)
    (tmp_path / "there/first/run.json").write_text("{}")
    stubs.add("kubectl", f"tar -C {tmp_path / 'there'} -cf - first")

    status, _, _ = call("cluster", "fetch", str(CLUSTER / "kuberay.yaml"), "first", "-o", str(tmp_path / "runs"))

    assert status == 0 and (tmp_path / "runs/first/run.json").read_text() == "{}"
    assert stubs.calls[0][-5:] == ["-C", "/mnt/runs", "-cf", "-", "first"]


def test_a_spec_reaches_kubernetes_on_standard_input(call, stubs, tmp_path):
    stubs.add("kubectl", f'[ "$3" = exec ] && cat > {tmp_path / "got"} || true')

    status, _, _ = call("cluster", "submit", str(CLUSTER / "kuberay.yaml"), SPEC)

    assert status == 0 and (tmp_path / "got").read_text() == Path(SPEC).read_text()
    assert [words[1] for words in stubs.calls] == ["-n", "apply"]
