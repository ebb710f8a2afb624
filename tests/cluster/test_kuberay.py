"""RayCluster and RayJob: every key of KubeRay 1.7 is allowed, and every wrong one found wherever it stands."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gxsearch.cluster.grammar import schema
from gxsearch.cluster.kuberay_fields import KUBERAY
from gxsearch.cluster.lint import check
from gxsearch.cluster.plan import Plan, Work
from gxsearch.cluster.sheet import Sheet, parse_sheet, read_sheet
from gxsearch.errors import Fault
from gxsearch.search.yaml_file import Document

HERE = Path(__file__).parent
EVERYTHING = HERE / "kuberay_everything.yaml"
GROUPS = schema(KUBERAY, "RayCluster")["$defs"]
KUBERAYS = list(GROUPS)[list(GROUPS).index("RayCluster") :]
SHAPE = ("E381", "E382", "E383")
WRONG: dict[str, Any] = {"string": 7, "integer": "7", "boolean": "true", "number": "7", "object": "x", "array": "x"}
Path_ = tuple[str | int, ...]


def documents() -> list[dict[str, Any]]:
    return [doc.values for doc in read_sheet(str(EVERYTHING)).documents]


def faults(values: dict[str, Any]) -> list[Fault]:
    """Return what the lint says of the shape of an object."""
    sheet = Sheet("x.yaml", "kubernetes", "", (Document("x.yaml", values),))
    return [fault for fault in check(sheet) if fault.code in SHAPE and "no RayCluster and" not in fault.what]


def walk(value: Any, kind: dict[str, Any], path: Path_ = ()) -> Iterator[tuple[Path_, Any, dict[str, Any], str]]:
    """Yield every value below a value with its path, its schema and the name of its group."""
    name = kind.get("$ref", "").rpartition("/")[2]
    kind = GROUPS.get(name, kind)
    yield path, value, kind, name
    if isinstance(value, dict):
        for key, below in value.items():
            inner = kind.get("properties", {}).get(key, kind.get("additionalProperties"))
            if inner and below is not None:
                yield from walk(below, inner, (*path, key))
    elif isinstance(value, list) and "items" in kind:
        for i, below in enumerate(value):
            yield from walk(below, kind["items"], (*path, i))


def changed(values: dict[str, Any], path: Path_, new: Any) -> dict[str, Any]:
    """Return the values with another one at a path."""
    root = {"": copy.deepcopy(values)}
    at: Any = root
    for part in ("", *path)[:-1]:
        at = at[part]
    at[("", *path)[-1]] = new
    return root[""]


def places() -> Iterator[tuple[dict[str, Any], Path_, Any, dict[str, Any], str]]:
    for values in documents():
        for place in walk(values, {"$ref": f"#/$defs/{values['kind']}"}):
            yield values, *place


def test_every_key_of_kuberay_is_allowed():
    told = [fault for fault in check(read_sheet(str(EVERYTHING))) if fault.code in SHAPE]

    assert told == []


def test_the_example_has_every_key_that_is_known_of_kuberay():
    known = {(name, key) for name in KUBERAYS for key in GROUPS[name]["properties"]}
    seen = {(name, key) for _, _, value, _, name in places() if isinstance(value, dict) for key in value}

    assert known <= seen and len(known) > 100


def test_there_are_as_many_fields_as_kuberay_has():
    counted = {name: len(GROUPS[name]["properties"]) for name in ("ClusterSpec", "Head", "Workers", "JobSpec")}

    assert counted == {"ClusterSpec": 14, "Head": 8, "Workers": 13, "JobSpec": 20}


def test_a_misspelt_key_is_found_at_every_level():
    levels = [(values, path) for values, path, _, kind, _ in places() if kind.get("additionalProperties") is False]

    missed = [
        path for values, path in levels if [f.code for f in faults(changed(values, (*path, "nokey"), 1))] != ["E381"]
    ]

    assert missed == [] and len(levels) > 100


def test_a_value_of_another_type_is_found_at_every_key():
    ours = ("kind", "apiVersion")  # by which an object is known at all
    typed = [(v, path, kind) for v, path, _, kind, _ in places() if path and path[0] not in ours and "type" in kind]
    typed = list({id(kind): (values, path, kind["type"]) for values, path, kind in typed}.values())

    missed = []
    for values, path, kind in typed:
        told = faults(changed(values, path, WRONG[kind] if isinstance(kind, str) else 0.5))
        if not any(fault.code == "E383" and f"'{'.'.join(map(str, path))}'" in fault.what for fault in told):
            missed.append(path)

    assert missed == [] and len(typed) > 150


def test_another_word_is_found_wherever_only_some_are_allowed():
    words = [(values, path) for values, path, _, kind, _ in places() if "enum" in kind]

    missed = [path for values, path in words if "E383" not in {f.code for f in faults(changed(values, path, "other"))}]

    assert missed == [] and len(words) > 20


def test_a_number_below_its_bound_is_found():
    bounded = [(v, path, kind["minimum"]) for v, path, _, kind, _ in places() if kind.get("minimum", -9) >= 0]

    missed = [path for values, path, least in bounded if not faults(changed(values, path, least - 1))]

    assert missed == []
    assert {path[-1] for _, path, _ in bounded} == {
        *("replicas", "minReplicas", "maxReplicas", "numOfHosts", "idleTimeoutSeconds", "backoffLimit", "ttlSeconds"),
        *("activeDeadlineSeconds", "preRunningDeadlineSeconds", "ttlSecondsAfterFinished"),
    }


def test_a_key_that_must_be_there_is_missed():
    needed = [(values, (*path, key)) for values, path, _, kind, _ in places() for key in kind.get("required", ())]

    missed = [path for values, path in needed if "E382" not in {f.code for f in faults(changed(values, path, None))}]

    assert missed == []
    assert {path[-1] for _, path in needed} >= {
        *("spec", "headGroupSpec", "template", "containers", "groupName", "name", "policy", "condition", "image"),
    }


def test_a_placeholder_stands_for_any_value():
    values = documents()[0]

    assert faults(changed(values, ("spec", "workerGroupSpecs", 0, "maxReplicas"), "${GXSEARCH_MAX_WORKERS}")) == []


HEAD, GCS, RULES = ("spec", "headGroupSpec"), ("spec", "gcsFaultToleranceOptions"), ("spec", "deletionStrategy")
RULE = (*RULES, "deletionRules", 1)
DELEGATED = {"mode": "token", "enableK8sTokenAuth": True}

# What is changed in the objects of the example, and what is said of it.
REFUSED: dict[str, tuple[int, Path_, Any, str]] = {
    "no version of Ray with tokens": (0, ("spec", "rayVersion"), None, "rayVersion is missing"),
    "two kinds of tokens": (1, ("spec", "authOptions", "secretName"), "s", "takes no secret"),
    "tokens of Kubernetes alone": (1, ("spec", "authOptions", "mode"), "disabled", "needs the tokens"),
    "redis beside rocksdb": (1, (*GCS, "redisAddress"), "r:1", "takes no redisAddress"),
    "storage beside redis": (0, (*GCS, "storage"), {"size": 1}, "has a storage"),
    "a claim and a size": (1, (*GCS, "storage", "claimName"), "c", "a claim of one's own"),
    "rules that nothing asks for": (0, ("spec", "networkPolicy", "mode"), "DenyAllEgress", "restricts nothing"),
    "resources twice": (0, (*HEAD, "rayStartParams", "num-cpus"), "2", "says num-cpus too"),
    "labels for ray start": (0, (*HEAD, "rayStartParams", "labels"), "a=b", "no rayStartParams"),
    "pods that start again": (0, (*HEAD, "template", "spec", "restartPolicy"), "Always", "restarts no pod"),
    "priorities without v2": (0, ("spec", "autoscalerOptions", "version"), "v1", "needs the autoscaler v2"),
    "a group that waits": (0, ("spec", "workerGroupSpecs", 0, "suspend"), True, "no group can be suspended"),
    "more than the most": (0, ("spec", "workerGroupSpecs", 0, "minReplicas"), 9, "from 9 to 8 workers"),
    "an upgrade for a job": (3, ("spec", "rayClusterSpec", "upgradeStrategy"), {"type": "None"}, "own cluster"),
    "tokens of Kubernetes for a job": (3, ("spec", "rayClusterSpec", "authOptions"), DELEGATED, "no job can"),
    "a job that waits and keeps": (4, ("spec", "suspend"), True, "cannot wait"),
    "a cluster kept for a while": (3, ("spec", "shutdownAfterJobFinishes"), False, "the cluster is kept"),
    "retries by hand": (5, ("spec", "backoffLimit"), 1, "InteractiveMode takes no backoffLimit"),
    "retries elsewhere": (4, ("spec", "backoffLimit"), 1, "takes no backoffLimit together"),
    "a sidecar elsewhere": (4, ("spec", "submissionMode"), "SidecarMode", "takes no clusterSelector"),
    "a sidecar with a submitter": (3, ("spec", "submissionMode"), "SidecarMode", "takes no submitterPodTemplate"),
    "half of the old rules": (3, (*RULES, "onFailure"), None, "no rules say"),
    "old and new rules": (4, (*RULES, "onFailure"), {"policy": "DeleteNone"}, "neither onSuccess"),
    "rules and a shutdown": (4, ("spec", "shutdownAfterJobFinishes"), True, "take no shutdownAfterJobFinishes"),
    "a condition of two": (4, (*RULE, "condition", "jobStatus"), "FAILED", "not 2"),
    "a condition of none": (4, (*RULE, "condition"), {"ttlSeconds": 1}, "not 0"),
    "no rules": (4, (*RULES, "deletionRules"), [], "deletionRules"),
    "a name too long": (0, ("metadata", "name"), "a" * 54, "is no name of a RayCluster"),
    "a job's name too long": (3, ("metadata", "name"), "a" * 48, "is no name of a RayJob"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_kuberay_refuses_is_found(case):
    number, path, new, said = REFUSED[case]

    told = faults(changed(documents()[number], path, new))

    assert any(said in fault.what for fault in told), told


@pytest.mark.parametrize(("kind", "longest"), [(0, 53), (3, 47)])
def test_a_name_may_be_as_long_as_kuberay_allows(kind, longest):
    assert faults(changed(documents()[kind], ("metadata", "name"), "a" * longest)) == []


def test_a_service_of_the_head_that_opens_it_is_found():
    text = EVERYTHING.read_text().replace("spec: {type: ClusterIP, ports", "spec: {type: LoadBalancer, ports")

    told = [fault for fault in check(parse_sheet(text.encode(), "x.yaml")) if fault.code == "E833"]

    assert len(told) == 1 and "Ray is reached from outside" in told[0].what


def test_a_role_of_kubernetes_is_no_misspelt_cluster():
    values = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "a"},
        "rules": [],
    }

    assert faults(values) == []


def test_the_job_that_submit_makes_has_no_findings(stubs):
    plan = Plan(str(HERE.parents[1] / "cluster" / "kuberay.yaml"), os.environ)

    made = Path(plan.submit(Work("my-run", "spec.yaml"))[-1].words[-1])

    assert [doc.values["kind"] for doc in read_sheet(str(made)).documents] == ["RayJob"]
    assert check(read_sheet(str(made))) == []
