"""What KubeRay refuses although every field fits: settings that exclude each other, or that need another.

The rules are those of KubeRay 1.7: the CRD's own (x-kubernetes-validations), and the operator's
(ray-project/kuberay, ray-operator/controllers/ray/utils/validation.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gxsearch.cluster.anywhere import environment
from gxsearch.cluster.findings import Findings
from gxsearch.cluster.schema import given
from gxsearch.cluster.sheet import group, items
from gxsearch.search.yaml_file import Document, Where

_SIZES = ("num-cpus", "num-gpus", "memory", "resources")
Refusal = tuple[Any, Where, str, str]
"""Whether it holds; the setting at fault; what is wrong; what to do."""


def of_cluster(doc: Document, path: Where, found: Findings) -> None:
    """Add what is refused of the spec of a RayCluster at a path."""
    spec = group(given(doc.get(path)))
    _tell([*_auth(spec), *_storage(group(spec.get("gcsFaultToleranceOptions"))), *_isolation(spec)], doc, path, found)
    head = group(spec.get("headGroupSpec"))
    _tell(_pods(spec, head), doc, (*path, "headGroupSpec"), found)
    for i, workers in enumerate(items(spec.get("workerGroupSpecs"))):
        at = (*path, "workerGroupSpecs", i)
        _tell([*_pods(spec, group(workers)), *_workers(spec, group(workers))], doc, at, found)


def of_job(doc: Document, found: Findings) -> None:
    """Add what is refused of a RayJob."""
    spec = group(given(doc.get(("spec",))))
    mode, chosen = spec.get("submissionMode"), bool(spec.get("clusterSelector"))
    again, own = _some(spec.get("backoffLimit")), group(spec.get("rayClusterSpec"))
    keeps, waits = spec.get("shutdownAfterJobFinishes") is not True, _some(spec.get("ttlSecondsAfterFinished"))
    resume, auth = "leave it out; gxsearch resume goes on", group(own.get("authOptions"))
    told: list[Refusal] = [
        (chosen and again, ("backoffLimit",), "KubeRay takes no backoffLimit together with clusterSelector", resume),
        (mode == "InteractiveMode" and again, ("backoffLimit",), "InteractiveMode takes no backoffLimit", resume),
        (
            spec.get("suspend") is True and chosen,
            ("suspend",),
            "a job with clusterSelector cannot wait",
            "leave it out",
        ),
        (
            own.get("upgradeStrategy"),
            ("rayClusterSpec", "upgradeStrategy"),
            "not for a job's own cluster",
            "leave it out",
        ),
    ]
    if not chosen and keeps:
        fix = "write shutdownAfterJobFinishes: true"
        told.append((spec.get("suspend") is True, ("suspend",), "a job that keeps its cluster cannot wait", fix))
    if keeps:
        fix = "write shutdownAfterJobFinishes: true, or leave it out"
        told.append((waits, ("ttlSecondsAfterFinished",), "the cluster is kept, whatever this says", fix))
    if auth.get("enableK8sTokenAuth") is True:
        told.append((True, ("rayClusterSpec", "authOptions"), "no job can use enableK8sTokenAuth", "leave it out"))
    if mode == "SidecarMode":
        told.append((chosen, ("submissionMode",), "SidecarMode takes no clusterSelector", "write K8sJobMode"))
        for key in ("submitterPodTemplate", "submitterConfig"):
            told.append((spec.get(key), (key,), f"SidecarMode takes no {key}", "leave it out, or write K8sJobMode"))
    _tell([*told, *_deletion(group(spec.get("deletionStrategy")), keeps=keeps)], doc, ("spec",), found)


def _tell(refusals: list[Refusal], doc: Document, path: Where, found: Findings) -> None:
    for holds, at, what, fix in refusals:
        if holds:
            found.add("E383", doc.where((*path, *at), key=True), what, fix)


def _auth(spec: dict[str, Any]) -> list[Refusal]:
    auth = group(spec.get("authOptions"))
    if auth.get("enableK8sTokenAuth") is not True:
        return []
    return [
        (auth.get("secretName"), ("authOptions", "secretName"), "enableK8sTokenAuth takes no secret", "leave it out"),
        (auth.get("mode") != "token", ("authOptions",), "enableK8sTokenAuth needs the tokens", "write mode: token"),
    ]


def _storage(options: dict[str, Any]) -> list[Refusal]:
    at, rocks, storage = (
        ("gcsFaultToleranceOptions",),
        options.get("backend") == "rocksdb",
        group(options.get("storage")),
    )
    redis = [key for key in options if key.startswith("redis") or key == "externalStorageNamespace"]
    other = [key for key in ("size", "storageClassName", "accessModes") if key in storage]
    claim = (*at, "storage", "claimName")
    return [
        *((rocks, (*at, key), f"backend: rocksdb takes no {key}", "leave it out") for key in redis),
        (storage and not rocks, (*at, "storage"), "only backend: rocksdb has a storage", "write backend: rocksdb"),
        (storage.get("claimName") and other, claim, f"a claim of one's own takes no {', '.join(other)}", "choose one"),
    ]


def _isolation(spec: dict[str, Any]) -> list[Refusal]:
    policy = group(spec.get("networkPolicy"))
    open_to = {"DenyAllEgress": "ingressRules", "DenyAllIngress": "egressRules"}.get(str(policy.get("mode")))
    places = [(("head",), policy.get("head")), (("worker",), policy.get("worker"))]
    places += [(("workerGroups", i), rules) for i, rules in enumerate(items(policy.get("workerGroups")))]
    what = f"mode: {policy.get('mode')} restricts nothing that {open_to} could allow"
    return [
        (group(rules).get(open_to), ("networkPolicy", *at, open_to), what, "write mode: DenyAll, or leave it out")
        for at, rules in places
        if open_to
    ]


def _pods(spec: dict[str, Any], pods: dict[str, Any]) -> list[Refusal]:
    params, restarts = group(pods.get("rayStartParams")), group(group(pods.get("template")).get("spec"))
    sizes = [key for key in _SIZES if params.get(key)] if pods.get("resources") else []
    newer = group(spec.get("autoscalerOptions")).get("version") == "v2" and spec.get("enableInTreeAutoscaling") is True
    stays = newer and restarts.get("restartPolicy") not in (None, "Never")
    return [
        (sizes, ("resources",), f"rayStartParams says {', '.join(sizes)} too", "choose one of both"),
        (
            "labels" in params,
            ("rayStartParams", "labels"),
            "labels are no rayStartParams",
            "write labels: {...} beside",
        ),
        (stays, ("template", "spec", "restartPolicy"), "version: v2 restarts no pod", "write restartPolicy: Never"),
    ]


def _workers(spec: dict[str, Any], workers: dict[str, Any]) -> Iterator[Refusal]:
    head = group(group(group(spec.get("headGroupSpec")).get("template")).get("spec"))
    asked = [
        environment(group(one).get("env")).get("RAY_enable_autoscaler_v2") for one in items(head.get("containers"))
    ]
    if group(spec.get("autoscalerOptions")).get("version") != "v2" and not {"1", "true"} & set(map(str, asked[:1])):
        for key in ("idleTimeoutSeconds", "priority"):
            missing = workers.get(key) is not None and (key != "priority" or workers[key] != 0)
            yield missing, (key,), f"{key} of a group needs the autoscaler v2", "write autoscalerOptions: {version: v2}"
    if spec.get("enableInTreeAutoscaling") is True:
        yield workers.get("suspend") is True, ("suspend",), "with autoscaling no group can be suspended", "leave it out"


def _deletion(strategy: dict[str, Any], *, keeps: bool) -> Iterator[Refusal]:
    at, rules = ("deletionStrategy",), items(strategy.get("deletionRules"))
    older = [key for key in ("onSuccess", "onFailure") if strategy.get(key)]
    if strategy:
        yield rules and older, at, "deletionRules take neither onSuccess nor onFailure", "write deletionRules alone"
        yield not rules and len(older) < 2, at, "no rules say what is deleted", "write deletionRules: [...]"
        yield rules and not keeps, at, "deletionRules take no shutdownAfterJobFinishes", "leave one of both out"
    for i, rule in enumerate(rules):
        when = group(group(rule).get("condition"))
        both = len({"jobStatus", "jobDeploymentStatus"} & when.keys())
        fix = "write jobStatus or jobDeploymentStatus"
        yield both != 1, (*at, "deletionRules", i, "condition"), f"a condition has one status, not {both}", fix


def _some(value: Any) -> bool:
    return isinstance(value, int) and value > 0
