"""Rules for a RayJob: what it runs, on which cluster, and what KubeRay refuses of it."""

from __future__ import annotations

from gxsearch.cluster import refusals, shell
from gxsearch.cluster.findings import Findings
from gxsearch.cluster.sheet import group
from gxsearch.errors import did_you_mean
from gxsearch.search.yaml_file import Document


def check(doc: Document, clusters: list[str], found: Findings) -> None:
    """Add what is wrong with a RayJob; `clusters` are the names of those in its file."""
    spec, at = group(doc.get(("spec",))), doc.where(("spec",), key=True)
    selector = group(spec.get("clusterSelector"))
    if spec.get("entrypoint"):
        shell.check(str(spec["entrypoint"]), doc.where(("spec", "entrypoint")), found)
    elif spec.get("submissionMode") != "InteractiveMode":  # in which somebody submits by hand
        found.add("E382", at, "entrypoint is missing", "write entrypoint: gxsearch tune ...")
    if not selector and not spec.get("rayClusterSpec"):
        fix = "write clusterSelector: {ray.io/cluster: NAME}, or rayClusterSpec"
        found.add("E382", at, "the job has no cluster", fix)
    name = selector.get("ray.io/cluster")
    if selector and (name is None or (clusters and name not in clusters)):
        what = f"clusterSelector names {name!r}, which is no RayCluster of this file"
        hint = did_you_mean(str(name), clusters) if clusters else "write {ray.io/cluster: NAME}"
        found.add("E384", doc.where(("spec", "clusterSelector")), what, hint)
    rules = group(spec.get("deletionStrategy")).get("deletionRules")
    if not selector and spec.get("rayClusterSpec") and spec.get("shutdownAfterJobFinishes") is not True and not rules:
        found.add("E385", at, "the cluster outlives its job", "write shutdownAfterJobFinishes: true")
    refusals.of_job(doc, found)
