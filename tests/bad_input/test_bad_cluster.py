"""Cluster files that must be refused: each of the shipped ones with one thing made wrong, and some that are none."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from case import Home

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*ROOT.glob("cluster/*.yaml"), *ROOT.glob("cluster/setup/*"), *ROOT.glob("cluster/slurm/*")])
NAMES = {"aws": "aws.yaml", "gcp": "gcp.yaml", "azure": "azure.yaml", "kube": "kuberay.yaml"}
NAMES |= {"stack": "setup/aws.yaml", "slurm": "slurm/gxsearch.sbatch"}
KEY = "AKIA" + "ABCDEFGHIJKLMNOP"  # in two parts, so that no scanner takes it for one
HASH = "a" * 64
JOB = "  clusterSelector: {ray.io/cluster: gxsearch}\n"

# Name: the shipped file, what stands in it, what is made of it, the code, and what stands on the line at fault; without
# the last, the line of what was made.
FAULTY: dict[str, tuple[str, ...]] = {
    # secrets and the token
    "a key of AWS": ("aws", "auth:\n", f"# key {KEY}\nauth:\n", "E830"),
    "a password in a command": ("gcp", "  - chmod 600", "  - export DB_PASSWORD=correcthorse\n  - chmod 600", "E830", "correcthorse"),
    "a password in an address": ("azure", "  - sudo mkdir", "  - curl -O https://me:hunter22@example.org/x\n  - sudo mkdir", "E830"),
    "credentials of Google": ("gcp", "  project_id:", "  gcp_credentials: {type: service_account}\n  project_id:", "E830"),
    "a secret variable of a pod": ("kube", "env: &env\n", "env: &env\n              - name: WANDB_API_KEY\n                value: x123\n", "E830", "value: x123"),
    "a Secret with its contents": ("kube", "---\napiVersion: ray.io/v1\nkind: RayJob", "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n---\napiVersion: ray.io/v1\nkind: RayJob", "E830", "stringData"),
    "a secret of a script": ("slurm", "umask 077\n", "umask 077\nexport HF_TOKEN=hf_abcdefghijklmnopqrstuv\n", "E830", "HF_TOKEN"),
    "the token in a command": ("aws", "  - chmod 600 /home", "  - export RAY_AUTH_TOKEN=0123456789abcdef\n  - chmod 600 /home", "E832"),
    "the token in a pod": ("kube", "env: &env\n", 'env: &env\n              - {name: RAY_AUTH_TOKEN, value: "abc"}\n', "E832", "RAY_AUTH_TOKEN"),
    "a token that others read": ("aws", "  - chmod 600 /home/ray/gxsearch/auth_token\n", "", "E832", "  /home/ray/gxsearch/auth_token:"),
    "no token for the nodes": ("gcp", "  /home/ray/gxsearch/auth_token: ~/.ray/auth_token\n", "", "E832", "file_mounts:"),
    "a token of a script that others read": ("slurm", "umask 077\n", "", "E832", "#!/bin/bash", "chmod 600 ~/.ray/auth_token\n"),
    "a head that asks for no token": ("aws", "65536; RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 ray start --head", "65536; RAY_USAGE_STATS_ENABLED=0 ray start --head", "E831"),
    "workers that ask for no token": ("azure", "65536; RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 ray start --address", "65536; RAY_USAGE_STATS_ENABLED=0 ray start --address", "E831"),
    "authentication disabled": ("kube", "authOptions: {mode: token}", "authOptions: {mode: disabled}", "E831"),
    "no authentication": ("kube", "  authOptions: {mode: token} # the operator makes the token, and keeps it in a secret\n", "", "E831", "spec:\n  rayVersion"),
    "a script without a token": ("slurm", "export RAY_AUTH_MODE=token RAY_USAGE", "export RAY_USAGE", "E831", 'srun --nodes=1 --ntasks=1 --nodelist'),
    # who gets in
    "SSH from the world": ("stack", '"${GXSEARCH_SSH_CIDR}"', "0.0.0.0/0", "E833"),
    "SSH from half of the world": ("stack", '"${GXSEARCH_SSH_CIDR}"', "128.0.0.0/1", "E833"),
    "SSH from the other world": ("stack", '"${GXSEARCH_SSH_CIDR}"', '"::/0"', "E833"),
    "the world unless told otherwise": ("stack", '"${GXSEARCH_SSH_CIDR}"', '"${GXSEARCH_SSH_CIDR:-0.0.0.0/0}"', "E833"),
    "Ray's own security group": ("aws", "      SecurityGroupIds: # without these Ray opens SSH to the world\n        - ${GXSEARCH_AWS_SECURITY_GROUP}\n", "", "E833", "    node_config: &node|    node_config:\n      <<"),
    "the default network": ("gcp", "      networkInterfaces: *network\n", "", "E833", "    node_config:\n      machineType: ${GXSEARCH_GCP_WORKER"),
    "public addresses at Azure": ("azure", "  use_internal_ips: true\n", "", "E833", "  type: azure"),
    "a public head at Azure": ("azure", "  use_internal_ips: true\n", "  use_internal_ips: true\n  use_external_head_ip: true\n", "E833", "use_external_head_ip"),
    "a load balancer": ("kube", "serviceType: ClusterIP", "serviceType: LoadBalancer", "E833"),
    "a service that opens the head": ("kube", "    serviceType: ClusterIP", "    headService: {spec: {type: NodePort}}\n    serviceType: ClusterIP", "E833", "    headService"),
    "an open dashboard": ("aws", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "E834", "65536; RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 ray start --head"),
    "an open TensorBoard": ("gcp", "  - chmod 600", "  - tensorboard --logdir /mnt/runs --bind_all &\n  - chmod 600", "E834"),
    "a published port": ("aws", "    - --ulimit", "    - -p 8265:8265\n    - --ulimit", "E834"),
    "no wall in Kubernetes": ("kube", "kind: NetworkPolicy", "kind: ConfigMap", "E834", "spec:\n  rayVersion"),
    # what the nodes may do
    "all actions": ("stack", '["ec2:RunInstances", "ec2:CreateTags"]', '["ec2:*"]', "E835"),
    "any role": ("stack", '                Resource: {"Fn::GetAtt": [WorkerRole, Arn]}\n', '                Resource: "*" # any\n', "E835", '# any'),
    "a policy without end": ("stack", "      Policies:\n", "      ManagedPolicyArns:\n        - arn:aws:iam::aws:policy/AmazonS3FullAccess\n      Policies:\n", "E835", "S3FullAccess"),
    "Ray's own role": ("aws", "      IamInstanceProfile: {Name: gxsearch-head}\n", "", "E835", "    node_config: &node"),
    "workers that may do all": ("gcp", "https://www.googleapis.com/auth/logging.write", "https://www.googleapis.com/auth/cloud-platform", "E835", "            - https://www.googleapis.com/auth/cloud-platform\n\nfile"),
    "IMDSv1": ("aws", "HttpTokens: required", "HttpTokens: optional", "E838"),
    "a role for containers": ("aws", "HttpPutResponseHopLimit: 1", "HttpPutResponseHopLimit: 2", "E838"),
    "a privileged container": ("azure", "    - --ulimit", "    - --privileged\n    - --ulimit", "E836"),
    "a privileged pod": ("kube", "&confined {", "&confined {privileged: true, ", "E836", "&confined|securityContext: *confined"),
    "the network of the node": ("kube", "          automountServiceAccountToken: false\n          securityContext", "          hostNetwork: true\n          securityContext", "E836", "hostNetwork"),
    "the disk of the node": ("kube", "persistentVolumeClaim: {claimName: gxsearch-runs}}\n---", "hostPath: {path: /}}\n---", "E836"),
    "a container that may become root": ("kube", "&confined {allowPrivilegeEscalation: false, ", "&confined {", "E836", "&confined|securityContext: *confined"),
    # what is installed
    "any Ray": ("aws", "rayproject/ray:2.60.0-py311-cpu", "rayproject/ray", "E837"),
    "the latest image": ("gcp", "rayproject/ray:2.60.0-py311-gpu", "rayproject/ray:latest-gpu", "E837"),
    "a nightly image": ("azure", "rayproject/ray:2.60.0-py311-gpu", "rayproject/ray:nightly", "E837"),
    "a nightly wheel": ("aws", "  - chmod 600", '  - pip install -U "ray[default] @ https://s3-us-west-2.amazonaws.com/ray-wheels/latest/ray-3.0.0.dev0-cp311.whl"\n  - chmod 600', "E837"),
    "a package of any version": ("gcp", "  - chmod 600", "  - pip install boto3\n  - chmod 600", "E837"),
    "whatever an address serves": ("azure", "  - chmod 600", "  - curl -LsSf https://example.org/install.sh | sh\n  - chmod 600", "E837"),
    "an image of AWS of 2018": ("aws", "      ImageId: ${GXSEARCH_AWS_IMAGE}\n", "", "E837", "    node_config: &node|    node_config:\n      <<"),
    "the newest of a family": ("gcp", "sourceImage: ${GXSEARCH_GCP_IMAGE}", "sourceImage: projects/p/global/images/family/common-cu", "E837", "sourceImage|      disks: *disks"),
    "hosts that are not checked": ("azure", "ssh -W %h:%p", "ssh -o StrictHostKeyChecking=no -W %h:%p", "E839"),
    "statistics for others": ("aws", "RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 ray start --head", "RAY_AUTH_MODE=token ray start --head", "E840"),
    # shape
    "no cluster file": ("aws", "", "!gxsearch: 1\nname: x\n", "E380", "gxsearch: 1"),
    "a list": ("aws", "", "!- a\n- b\n", "E380", "- a"),
    "another cloud": ("aws", "type: aws", "type: cloudy", "E380"),
    "a script of another kind": ("slurm", "", "!#!/bin/bash\necho\n", "E380", ""),
    "a second cluster": ("aws", "auth:\n", "---\nauth:\n", "E382", "cluster_name", "E304", "E387"),
    "a tab": ("gcp", "  ssh_user: ubuntu", "\tssh_user: ubuntu", "E304"),
    "a key twice": ("aws", "auth:\n", "cluster_name: other\nauth:\n", "E305", "cluster_name: other"),
    "a section misspelt": ("aws", "upscaling_speed", "upscalling_speed", "E381"),
    "a setting of docker misspelt": ("gcp", "  container_name", "  container_nmae", "E381"),
    "a setting of an instance misspelt": ("aws", "InstanceMarketOptions", "InstanceMarketOption", "E381", "InstanceMarketOption", "E386"),
    "a setting of a provider misspelt": ("azure", "  resource_group:", "  resource_gruop:", "E381", "resource_gruop", "E382"),
    "a setting of KubeRay misspelt": ("kube", "      minReplicas", "      minReplica", "E381"),
    "a setting of KubeRay at another level": ("kube", "  rayVersion:", "  idleTimeoutSeconds: 60\n  rayVersion:", "E381", "  idleTimeoutSeconds: 60"),
    "a setting that was KubeRay's in a draft": ("kube", "  rayVersion:", "  networkIsolation: {mode: DenyAll}\n  rayVersion:", "E381", "networkIsolation"),
    "a setting of a pod misspelt": ("kube", "          tolerations:", "          tolerationz:", "E381"),
    "a rule of the wall misspelt": ("kube", "    - from:\n", "    - form:\n", "E381", "    - form:"),
    "a setting of Slurm misspelt": ("slurm", "#SBATCH --cpus-per-task", "#SBATCH --cpu-per-task", "E381"),
    "a kind misspelt": ("kube", "kind: RayJob", "kind: RayJbo", "E381"),
    "no region": ("aws", "  region: ${GXSEARCH_AWS_REGION:-us-east-1}\n", "", "E382", "provider:\n|  type: aws"),
    "no project": ("gcp", "${GXSEARCH_GCP_PROJECT}\n  cache", "null\n  cache", "E382", "project_id"),
    "no entrypoint": ("kube", "  entrypoint: ${GXSEARCH_ENTRYPOINT}\n", "", "E382", "spec:\n  clusterSelector"),
    "a word for a number": ("aws", "max_workers: ${GXSEARCH_MAX_WORKERS:-8}\nidle", "max_workers: many\nidle", "E383"),
    "no pods for the head": ("kube", "        containers:\n          - name: ray-head", "        container:\n          - name: ray-head", "E382", "      spec:\n        securityContext", "E381"),
    "a disk without a name": ("kube", "- {name: runs, mountPath: /mnt/runs}", "- {mountPath: /mnt/runs}", "E382"),
    "a number for text": ("kube", 'num-cpus: "0"', "num-cpus: 0", "E383"),
    "text for a number": ("kube", "      minReplicas: 0", '      minReplicas: "0"', "E383"),
    "half a CPU as a number": ("kube", "requests: {cpu: 500m, memory: 1Gi}", "requests: {cpu: 0.5, memory: 1Gi}", "E383"),
    "a quantity that is none": ("kube", "requests: {cpu: 500m, memory: 1Gi}", "requests: {cpu: 500m, memory: 1GB}", "E383"),
    "a word that Kubernetes does not know": ("kube", "serviceType: ClusterIP", "serviceType: Cluster", "E383"),
    "fewer pods than none": ("kube", "      minReplicas: 0", "      minReplicas: -1", "E383"),
    "no time for a job": ("kube", "activeDeadlineSeconds: 604800", "activeDeadlineSeconds: 0", "E383"),
    "fewer than none": ("gcp", "    min_workers: 0", "    min_workers: -1", "E383"),
    "retries that delete the cluster": ("kube", JOB, JOB + "  backoffLimit: 2\n", "E383", "backoffLimit"),
    "an option below the first command": ("slurm", "set -euo pipefail\n", "set -euo pipefail\n#SBATCH --mem=1G\n", "E383", "--mem=1G"),
    "a head that is no type": ("azure", "head_node_type: head", "head_node_type: haed", "E384"),
    "a job of another cluster": ("kube", JOB, JOB.replace("gxsearch", "gxserach"), "E384"),
    "another Ray": ("kube", 'rayVersion: "2.60.0"', 'rayVersion: "2.59.0"', "E384"),
    "an image of another Ray": ("aws", "ray:2.60.0-py311-gpu", "ray:2.59.0-py311-gpu", "E384"),
    "machines without end": ("azure", "max_workers: ${GXSEARCH_MAX_WORKERS:-8}\nidle", "idle", "E385", "cluster_name"),
    "machines that idle": ("aws", "idle_timeout_minutes: 5\n", "", "E385", "cluster_name"),
    "machines that idle for days": ("gcp", "idle_timeout_minutes: 5", "idle_timeout_minutes: 5000", "E385"),
    "pods without end": ("kube", "      maxReplicas: ${GXSEARCH_MAX_WORKERS:-8}\n", "", "E385", "    - groupName"),
    "pods that idle": ("kube", "    idleTimeoutSeconds: 300\n", "", "E385", "autoscalerOptions:|    resources:\n      requests: {cpu: 500m, memory: 512Mi}"),
    "a pod without limits": ("kube", '              limits: {cpu: "2", memory: 8Gi}\n', "", "E385", '            resources:\n              requests: {cpu: "2"|              requests: {cpu: "2"'),
    "a job without end": ("slurm", "#SBATCH --time=24:00:00\n", "", "E385", "#!/bin/bash"),
    "workers at the full price": ("aws", "      InstanceMarketOptions: {MarketType: spot}\n", "", "E386", "    node_config:\n      <<"),
    "a head that is taken away": ("azure", "        imageVersion: ${GXSEARCH_AZURE_IMAGE_VERSION} # one version, not latest\n", "        imageVersion: 1.2.3\n        priority: Spot\n", "E386", "    node_config:\n      azure_arm_parameters:\n        vmSize: ${GXSEARCH_AZURE_HEAD"),
    "no spot in Kubernetes": ("kube", '          nodeSelector: {cloud.google.com/gke-spot: "true"}', "          nodeSelector: {}", "E386", "      template:\n        spec:\n          automount"),
    "runs on a node's own disk": ("gcp", "sudo mount -t nfs", "sudo true", "E387", "cluster_name"),
    "a container without the disk": ("aws", "    - -v /mnt/runs:/mnt/runs\n", "", "E387", "docker:"),
    "a job that is not requeued": ("slurm", "#SBATCH --requeue\n", "", "E387", "#!/bin/bash"),
    "a job that is not told": ("slurm", "#SBATCH --signal=B:USR1@120\n", "", "E387", "#!/bin/bash"),
    "a job that is told too late": ("slurm", "B:USR1@120", "B:USR1@5", "E387"),
    "a signal for the script alone": ("slurm", "trap 'told=1; kill -USR1 $search' USR1\n", "", "E387", "#!/bin/bash"),
    "a search that begins anew": ("slurm", '    gxsearch resume "$run"', '    gxsearch tune "$spec"', "E387", "#!/bin/bash"),
}  # fmt: skip


def made(case: str) -> tuple[str, str, list[int]]:
    """Return the name and the text of a faulty file, and the lines at fault."""
    kind, old, new, _, *more = FAULTY[case]
    text = (ROOT / "cluster" / NAMES[kind]).read_text()
    if new.startswith("!"):
        text = new[1:]
    else:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    if case == "a token of a script that others read":
        text = text.replace(more[1], "")
    needles = (more[0] if more else new).split("|")
    return f"case{Path(NAMES[kind]).suffix}", text, [_line(text, needle) for needle in needles if needle]


def _line(text: str, needle: str) -> int:
    assert needle in text, needle
    at = text.index(needle)
    return text.count("\n", 0, at + (len(needle) - len(needle.lstrip("\n")))) + 1


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_cluster_file_is_refused_with_its_code_and_line(home: Home, case):
    file, text, lines = made(case)
    (home.path / file).write_text(text)

    found = home.refused("cluster", "lint", file)

    told = [(code, int(re.search(r"\.(?:yaml|sbatch):(\d+):\d+: ", line)[1])) for code, line in found if lines]
    code = FAULTY[case][3]
    assert not lines or {line for got, line in told if got == code} & set(lines), found
    assert {got for got, _ in found} <= {code, *FAULTY[case][4:]}, found


def test_all_faults_are_told_at_once_in_the_order_of_lines(home: Home):
    text = (ROOT / "cluster/aws.yaml").read_text()
    for old, new in {
        "127.0.0.1": "0.0.0.0",
        "HttpTokens: required": "HttpTokens: optional",
        ":2.60.0-py311-cpu": "",
    }.items():
        text = text.replace(old, new)
    (home.path / "a.yaml").write_text(text)

    status, out, err = home.call("cluster", "lint", "a.yaml", str(ROOT / "cluster/gcp.yaml"))

    lines = [int(number) for number in re.findall(r"a\.yaml:(\d+):", err)]
    assert status == 8 and lines == sorted(lines) and {"E837", "E838", "E834"} == set(re.findall(r"E\d{3}", err))
    assert out.endswith("gcp.yaml: ok (ray gcp)\n")


def test_safety_decides_the_exit_code_where_the_shape_is_wrong_too(home: Home):
    text = (ROOT / "cluster/aws.yaml").read_text().replace("127.0.0.1", "0.0.0.0").replace("upscaling", "upscalling")
    (home.path / "a.yaml").write_text(text)

    status, _, err = home.call("cluster", "lint", "a.yaml")

    assert status == 8 and "error[E381]" in err and "did you mean 'upscaling_speed'?" in err


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_file_has_no_findings(home: Home, path):
    status, out, err = home.call("cluster", "lint", str(path))

    assert (status, err) == (0, "") and ": ok (" in out


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_rays_own_defaults_have_six_findings_and_more(home: Home, cloud):
    path = Path(importlib.util.find_spec("ray").origin).parent / "autoscaler" / cloud / "defaults.yaml"
    if not path.exists():
        pytest.skip("this Ray has no defaults for the cloud")

    found = [(line[6:10], line) for line in home.call("cluster", "lint", str(path))[2].splitlines()]

    assert len(found) >= 6 and {"E831", "E834", "E837", "E833"} <= {code for code, _ in found}


GOOD: dict[str, tuple[str, ...]] = {
    "a smaller network": ("stack", '"${GXSEARCH_SSH_CIDR}"', "198.51.100.0/24"),
    "a network unless told otherwise": ("stack", '"${GXSEARCH_SSH_CIDR}"', '"${GXSEARCH_SSH_CIDR:-2001:db8::/48}"'),
    "an image by its digest": ("aws", "rayproject/ray:2.60.0-py311-cpu", f"rayproject/ray@sha256:{HASH}"),
    "an image of one's own": ("kube", "&image ${GXSEARCH_IMAGE}", "&image registry.example.org:5000/me/gxsearch:0.1.0"),
    "Ray pinned, without an image": ("gcp", "  - chmod 600", '  - pip install "ray[default]==2.60.0"\n  - chmod 600'),
    "a wheel with its sum": ("gcp", "  - chmod 600", f'  - pip install "x @ https://example.org/x.whl#sha256={HASH}"\n  - chmod 600'),
    "requirements with their sums": ("azure", "  - chmod 600", "  - pip install --require-hashes -r /home/ray/gxsearch/lock.txt\n  - chmod 600"),
    "a worker that waits": ("aws", "    min_workers: 0", "    min_workers: 1"),
    "spot of another cloud": ("kube", '{cloud.google.com/gke-spot: "true"}', "{eks.amazonaws.com/capacityType: SPOT}"),
    "a secret that is referred to": ("kube", "env: &env\n", "env: &env\n              - {name: WANDB_API_KEY, valueFrom: {secretKeyRef: {name: wandb, key: k}}}\n"),
    "a job that becomes the search": ("slurm", "trap 'told=1; kill -USR1 $search' USR1\n", 'exec gxsearch tune "$spec"\n'),
    "a job on one node": ("slurm", "#SBATCH --nodes=2", "#SBATCH -N 1 # one is enough"),
    "roles of Kubernetes": ("kube", "---\napiVersion: ray.io/v1\nkind: RayJob", "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: []\n---\napiVersion: ray.io/v1\nkind: RayJob"),
    "settings of KubeRay 1.7": ("kube", "      replicas: 0\n", "      replicas: 0\n      priority: 0\n      numOfHosts: 1\n"),
    "a key without a value": ("kube", "    rayStartParams: {num-cpus", "    headService:\n    rayStartParams: {num-cpus"),
    "egress to the world": ("kube", "  policyTypes: [Ingress]\n", "  policyTypes: [Ingress, Egress]\n  egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_a_good_variant_passes(home: Home, case):
    kind, old, new = GOOD[case]
    text = (ROOT / "cluster" / NAMES[kind]).read_text()
    assert old in text
    file = home.path / f"case{Path(NAMES[kind]).suffix}"
    file.write_text(text.replace(old, new, 1))

    status, _, err = home.call("cluster", "lint", file.name)

    assert (status, err) == (0, "")
