"""Rules for Kubernetes objects: RayCluster, RayJob and what stands beside them."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from gxsearch.cluster import rayjob, refusals, shell
from gxsearch.cluster.anywhere import environment
from gxsearch.cluster.findings import Findings
from gxsearch.cluster.grammar import schema
from gxsearch.cluster.kuberay_fields import KUBERAY, VERSIONS
from gxsearch.cluster.schema import given, hold
from gxsearch.cluster.sheet import Sheet, group, items, walk
from gxsearch.errors import did_you_mean
from gxsearch.search.yaml_file import Document, Where

_EXAMPLE = "see cluster/kuberay.yaml"
_NAME = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_KINDS = ("RayCluster", "RayJob", "RayService", "RayCronJob")
_LONGEST = {"RayCluster": 53, "RayJob": 47}
"""Letters of a name: KubeRay adds 10 to that of a cluster, and makes the name of a job's cluster by adding 6."""
_OTHERS = (("NetworkPolicy", "networking.k8s.io/v1"), ("PersistentVolumeClaim", "v1"))
_SPOT = re.compile(r"gke-spot|gke-provisioning|capacityType|capacity-type|scalesetpriority|preemptible|[/-]spot\b")


def check(sheet: Sheet, found: Findings) -> None:
    """Add what is wrong with Kubernetes objects."""
    clusters, jobs = sheet.of_kind("RayCluster"), sheet.of_kind("RayJob")
    if not clusters and not jobs:
        where = sheet.documents[0].where(("kind",))
        found.add("E382", where, "there is no RayCluster and no RayJob", _EXAMPLE)
    for doc in sheet.documents:
        _object(doc, found)
        _pods(doc, found)
    named = [str(group(doc.get(("metadata",))).get("name")) for doc in clusters]
    for doc in clusters:
        _cluster(doc, ("spec",), found, walled=bool(sheet.of_kind("NetworkPolicy")))
    for doc in jobs:
        rayjob.check(doc, named, found)
        if isinstance(doc.get(("spec", "rayClusterSpec")), dict):
            _cluster(doc, ("spec", "rayClusterSpec"), found, walled=bool(sheet.of_kind("NetworkPolicy")))


def _object(doc: Document, found: Findings) -> None:
    kind, name = doc.get(("kind",)), doc.get(("metadata", "name"))
    for key in ("apiVersion", "kind", "metadata"):
        if not doc.get((key,)):
            near = did_you_mean(key, doc.values)
            found.add("E382", doc.where(), f"{key} is missing", near if near.startswith("did") else f"write {key}: ...")
    if str(doc.get(("apiVersion",))).startswith("ray.io/") and kind not in _KINDS:
        found.add("E381", doc.where(("kind",)), f"unknown kind '{kind}'", did_you_mean(str(kind), _KINDS))
    if isinstance(kind, str) and kind in _LONGEST:
        if doc.get(("apiVersion",)) != "ray.io/v1":
            what = f"apiVersion {doc.get(('apiVersion',))!r} is not that of KubeRay v1"
            found.add("E383", doc.where(("apiVersion",)), what, "write apiVersion: ray.io/v1")
        if not isinstance(name, str) or not ("${" in name or _NAME.fullmatch(name) and len(name) <= _LONGEST[kind]):
            fix = f"use up to {_LONGEST[kind]} of a-z 0-9 -, and begin with a letter"
            found.add("E383", doc.where(("metadata", "name")), f"{name!r} is no name of a {kind}", fix)
    if str(kind) in _LONGEST or (kind, doc.get(("apiVersion",))) in _OTHERS:
        hold(schema(KUBERAY, str(kind)), given(doc.values), doc, found, whose=VERSIONS, see=_EXAMPLE)
    if kind in ("Service", "Ingress") and (kind == "Ingress" or doc.get(("spec", "type")) in _PUBLIC):
        found.add("E833", doc.where(("spec",), key=True), f"{kind}: Ray is reached from outside", _FORWARD)


_PUBLIC = ("LoadBalancer", "NodePort")
_FORWARD = "use serviceType: ClusterIP, and: kubectl port-forward svc/gxsearch-head-svc 8265"


def _cluster(doc: Document, path: Where, found: Findings, *, walled: bool) -> None:
    spec = group(doc.get(path))
    refusals.of_cluster(doc, path, found)
    if not spec.get("rayVersion") and group(spec.get("authOptions")).get("mode") == "token":
        fix = f'write rayVersion: "{version("ray")}"'
        found.add("E382", doc.where(path, key=True), "rayVersion is missing, without which there are no tokens", fix)
    if spec.get("rayVersion") not in (None, version("ray")):
        what = f"rayVersion {spec['rayVersion']!r}, gxsearch is built for {version('ray')}"
        found.add("E384", doc.where((*path, "rayVersion")), what, f'write rayVersion: "{version("ray")}"')
    if group(spec.get("authOptions")).get("mode") != "token":
        fix = "write authOptions: {mode: token} (KubeRay 1.6)"
        at = (*path, "authOptions") if "authOptions" in spec else path
        what = "Ray does not ask for a token: whoever reaches its ports runs code"
        found.add("E831", doc.where(at, key=True), what, fix)
    _scaling(doc, path, spec, found)
    head, at = group(spec.get("headGroupSpec")), (*path, "headGroupSpec")
    service = group(group(head.get("headService")).get("spec"))
    opened = {
        "serviceType": head.get("serviceType") in _PUBLIC,
        "headService": service.get("type") in _PUBLIC,
        "enableIngress": head.get("enableIngress") is True,
    }
    for key in (key for key, public in opened.items() if public):
        found.add("E833", doc.where((*at, key), key=True), "Ray is reached from outside", _FORWARD)
    if not walled:  # KubeRay's dashboard listens on 0.0.0.0, since the operator asks it for jobs
        fix = "add the NetworkPolicy of cluster/kuberay.yaml"
        found.add("E834", doc.where(path, key=True), "every pod of the Kubernetes cluster reaches Ray", fix)
    if _spot(group(head.get("template"))):
        what = "the head may be taken away at any time, and the search with it"
        found.add("E386", doc.where((*at, "template"), key=True), what, "use spot for workers only")


def _scaling(doc: Document, path: Where, spec: dict[str, Any], found: Findings) -> None:
    options = group(spec.get("autoscalerOptions"))
    if spec.get("enableInTreeAutoscaling") is not True:
        fix = "write enableInTreeAutoscaling: true"
        found.add("E385", doc.where((*path, "enableInTreeAutoscaling")), "idle pods are kept", fix)
    elif not isinstance(options.get("idleTimeoutSeconds"), int) or not 0 < options["idleTimeoutSeconds"] <= 3600:
        at = doc.where((*path, "autoscalerOptions", "idleTimeoutSeconds"))
        found.add("E385", at, "idle pods are kept too long", "write autoscalerOptions: {idleTimeoutSeconds: 300}")
    for i, workers in enumerate(items(spec.get("workerGroupSpecs"))):
        at = (*path, "workerGroupSpecs", i)
        if not isinstance(workers, dict):
            continue  # which the schema says
        if "maxReplicas" not in workers:
            found.add("E385", doc.where(at), "nothing bounds the number of workers", "write maxReplicas: 8")
        least, most = workers.get("minReplicas", 0), workers.get("maxReplicas")
        if isinstance(least, int) and isinstance(most, int) and least > most >= 0:
            what = f"from {least} to {most} workers"
            found.add("E383", doc.where((*at, "minReplicas")), what, "write 0 <= minReplicas <= maxReplicas")
        if not _spot(group(workers.get("template"))):
            fix = "choose spot nodes by nodeSelector; trials that are taken away go on from their checkpoint"
            found.add("E386", doc.where((*at, "template"), key=True), "workers at the full price", fix)


def _spot(template: dict[str, Any]) -> bool:
    spec = group(template.get("spec"))
    chosen = [spec.get("nodeSelector"), spec.get("affinity")]
    return any(_SPOT.search(f"{path} {value}") for path, value in walk(chosen) if not isinstance(value, dict | list))


def _pods(doc: Document, found: Findings) -> None:
    for path, pod in walk(doc.values):
        if not isinstance(pod, dict) or not isinstance(pod.get("containers"), list):
            continue
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key) is True:
                found.add("E836", doc.where((*path, key), key=True), f"{key} lets the pod out", "leave it away")
        for i, volume in enumerate(items(pod.get("volumes"))):
            if "hostPath" in group(volume):
                where = doc.where((*path, "volumes", i))
                found.add("E836", where, "hostPath shows the pod the disk of its node", "use a persistentVolumeClaim")
        for key in ("containers", "initContainers"):
            for i, container in enumerate(items(pod.get(key))):
                _container(doc, (*path, key, i), group(container), found, whole=group(pod.get("securityContext")))


def _container(
    doc: Document, path: Where, container: dict[str, Any], found: Findings, *, whole: dict[str, Any]
) -> None:
    shell.image(container.get("image"), doc.where((*path, "image")), found)
    context = group(container.get("securityContext"))
    at = doc.where((*path, "securityContext") if context else path)
    if context.get("privileged") is True:
        found.add("E836", at, "a privileged container is root of its node", "leave it away")
    elif context.get("allowPrivilegeEscalation") is not False or not (whole | context).get("runAsNonRoot"):
        fix = "write securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false}"
        found.add("E836", at, "the container may become root", fix)
    limits = group(group(container.get("resources")).get("limits"))
    if not {"cpu", "memory"} <= limits.keys():
        where = doc.where((*path, "resources"))
        found.add("E385", where, "nothing bounds the container", "write resources: {limits: {cpu: ..., memory: ...}}")
    if environment(container.get("env")).get("RAY_USAGE_STATS_ENABLED") != "0":
        fix = 'write env: [{name: RAY_USAGE_STATS_ENABLED, value: "0"}]'
        found.add("E840", doc.where((*path, "env") if "env" in container else path), "sends usage statistics", fix)
    words = [*items(container.get("command")), *items(container.get("args"))]
    shell.check(" ".join(map(str, words)), doc.where((*path, "command")), found, given=frozenset(["token", "quiet"]))
