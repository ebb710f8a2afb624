"""What is known of Kubernetes' own fields, and the objects that are shipped, beside the schemas of Kubernetes itself.

They come with the package kubernetes-validate (`pip install ".[k8s]"`); without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gxsearch.cluster.filling import fill
from gxsearch.cluster.grammar import schema
from gxsearch.cluster.kuberay_fields import KUBERAY, VERSIONS
from gxsearch.cluster.plan import Plan, Work
from gxsearch.cluster.sheet import read_sheet, walk

k8s = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate: pip install .[k8s]")

SHIPPED = Path(__file__).parents[2] / "cluster" / "kuberay.yaml"
VERSION = VERSIONS.split()[-1]
GROUPS = schema(KUBERAY, "RayCluster")["$defs"]
CORE, NET, META = "io.k8s.api.core.v1.", "io.k8s.api.networking.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."
# Our name of a group: that of Kubernetes.
THEIRS = {
    **{name: CORE + name for name in ("PodSpec", "Container", "ContainerPort", "EnvVar", "SecurityContext")},
    **{name: CORE + name for name in ("PodSecurityContext", "VolumeMount", "Volume", "Capabilities", "Toleration")},
    **{name: CORE + name for name in ("Service", "ServiceSpec", "ServicePort", "PersistentVolumeClaim")},
    "EnvSource": CORE + "EnvVarSource",
    "EnvFrom": CORE + "EnvFromSource",
    "Resources": CORE + "ResourceRequirements",
    "Profile": CORE + "SeccompProfile",
    "ClaimVolume": CORE + "PersistentVolumeClaimVolumeSource",
    "EmptyDir": CORE + "EmptyDirVolumeSource",
    "ClaimSpec": CORE + "PersistentVolumeClaimSpec",
    "ClaimResources": CORE + "VolumeResourceRequirements",
    "ObjectMeta": META + "ObjectMeta",
    "Selector": META + "LabelSelector",
    "Expression": META + "LabelSelectorRequirement",
    "NetworkPolicy": NET + "NetworkPolicy",
    "PolicySpec": NET + "NetworkPolicySpec",
    "Ingress": NET + "NetworkPolicyIngressRule",
    "Egress": NET + "NetworkPolicyEgressRule",
    "Peer": NET + "NetworkPolicyPeer",
    "PolicyPort": NET + "NetworkPolicyPort",
    "IPBlock": NET + "IPBlock",
    "IngressTLS": NET + "IngressTLS",
}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{VERSION}.0-local-strict"
    return json.loads((folder / "_definitions.json").read_text())["$defs"]


def shape(kind: dict[str, Any]) -> str:
    """Return what a value must be, in one word for both ways to write it."""
    if "enum" in kind:
        return "string"
    if "oneOf" in kind or isinstance(kind.get("type"), list) and "null" not in kind["type"]:
        return "one of two"
    if "$ref" in kind:
        end = kind["$ref"].rpartition(".")[2]
        return {"Quantity": "one of two", "IntOrString": "one of two", "Time": "string"}.get(end, "object")
    types = kind.get("type", "any")
    return next(name for name in types if name != "null") if isinstance(types, list) else types


def test_every_group_of_kubernetes_is_compared():
    own = list(GROUPS)[: list(GROUPS).index("RayCluster")]

    assert set(THEIRS) == set(own)


@pytest.mark.parametrize("name", THEIRS)
def test_a_group_has_the_keys_of_kubernetes(theirs, name):
    ours, known = GROUPS[name], theirs[THEIRS[name]]

    assert set(ours["properties"]) == set(known["properties"])
    assert set(ours["required"]) == set(known.get("required", ()))


@pytest.mark.parametrize("name", THEIRS)
def test_a_group_has_the_types_of_kubernetes(theirs, name):
    ours, known = GROUPS[name]["properties"], theirs[THEIRS[name]]["properties"]

    pairs = {key: (shape(kind), shape(known[key])) for key, kind in ours.items() if kind}
    assert {key: pair for key, pair in pairs.items() if pair[0] != pair[1]} == {}


def objects(path: Path) -> list[dict[str, Any]]:
    """Return the objects of Kubernetes' own in a file, pods as templates of pods."""
    found = []
    for doc in read_sheet(str(path)).documents:
        if not doc.values["apiVersion"].startswith("ray.io/"):
            found.append(doc.values)
        for _, value in walk(doc.values):
            if isinstance(value, dict) and "containers" in group_of(value):
                found.append({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": value})
    return found


def group_of(value: dict[str, Any]) -> dict[str, Any]:
    return value["spec"] if isinstance(value.get("spec"), dict) else {}


@pytest.fixture
def filled(stubs, tmp_path) -> Path:
    text, faults = fill(SHIPPED.read_text(), {**os.environ, "GXSEARCH_JOB": "j", "GXSEARCH_ENTRYPOINT": "e"}, "x.yaml")
    assert faults == []
    (tmp_path / "filled.yaml").write_text(text)
    return tmp_path / "filled.yaml"


def test_what_is_shipped_fits_kubernetes(filled):
    found = objects(filled)

    assert [one["kind"] for one in found] == ["PersistentVolumeClaim", "NetworkPolicy", *["PodTemplate"] * 3]
    for one in found:
        k8s.validate(one, VERSION, strict=True)


def test_the_pods_of_the_example_fit_kubernetes():
    found = objects(SHIPPED.parents[1] / "tests" / "cluster" / "kuberay_everything.yaml")

    assert len(found) > 8
    for one in found:
        k8s.validate(one, VERSION, strict=True)


def test_the_pod_that_submits_a_job_fits_kubernetes(stubs):
    made = Plan(str(SHIPPED), os.environ).submit(Work("my-run", "spec.yaml"))[-1].words[-1]

    (one,) = objects(Path(made))
    k8s.validate(one, VERSION, strict=True)


def test_a_misspelt_key_does_not_fit(filled):
    text = filled.read_text().replace("mountPath:", "mountPaht:", 1)
    filled.write_text(text)

    with pytest.raises(k8s.ValidationError, match="mountPaht"):
        for one in objects(filled):
            k8s.validate(one, VERSION, strict=True)
