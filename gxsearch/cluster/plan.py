"""Plans: the commands behind `gxsearch cluster up | submit | status | fetch | down`, for each kind of file."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gxsearch.cluster.autoscaler import RUNS, node_types
from gxsearch.cluster.filling import fill
from gxsearch.cluster.findings import refuse
from gxsearch.cluster.lint import check, lint
from gxsearch.cluster.sheet import Sheet, group, items, parse_sheet, read_sheet
from gxsearch.cluster.step import Step
from gxsearch.errors import Fault, SpecError

JOBS = "http://127.0.0.1:8265"
_STACK = "gxsearch"
_FILLED = {"GXSEARCH_JOB": "job", "GXSEARCH_ENTRYPOINT": "gxsearch"}
"""What only `submit` knows, for the checks of a whole file."""


@dataclass(frozen=True)
class Work:
    """What to run on a cluster: a spec under a new name, or, without a spec, a run of that name to go on with."""

    name: str
    spec: str | None = None


class Plan:
    """A cluster file that passed the lint, filled in; its methods return the commands of a verb.

    Not `safe`, findings do not matter: what runs must be ended, whatever has become of its file.
    """

    def __init__(self, file: str, values: Mapping[str, str], *, safe: bool = True):
        refuse(lint(file)[1] if safe else [])
        self.sheet = read_sheet(file)
        self.values = {**_FILLED, **values}
        if self.sheet.kind == "slurm":
            self.path, self.filled = Path(file), self.sheet
            return
        raw = Path(file).read_bytes().decode("utf-8-sig")
        text, faults = fill(raw, self.values, file)
        refuse(faults)
        self.raw, self.filled = raw, parse_sheet(text.encode(), file)
        refuse(check(self.filled) if safe else [])
        self.path = _cache() / f"{Path(file).parent.name}-{Path(file).stem}.yaml"
        self._write(self.path, text)

    @property
    def kind(self) -> str:
        """Return ``ray``, ``kubernetes``, ``cloudformation`` or ``slurm``."""
        return self.sheet.kind.split()[0]

    def up(self) -> list[Step]:
        """Return how the cluster is started; raises SpecError (E389) where there is nothing to start."""
        if self.kind == "ray":
            return [Step(("ray", "up", "--yes", "--disable-usage-stats", str(self.path)))]
        if self.kind == "kubernetes":
            self._write(self.path, self._part(jobs=False))
            return [Step(("kubectl", "apply", "-f", str(self.path)))]
        if self.kind == "cloudformation":
            words = ("deploy", "--template-file", str(self.path), "--capabilities", "CAPABILITY_NAMED_IAM")
            return [self._stack(*words, "--no-fail-on-empty-changeset")]
        raise self._cannot("brings its own cluster up", "gxsearch cluster submit FILE SPEC")

    def submit(self, work: Work) -> list[Step]:
        """Return how a search is started on the cluster, or gone on with."""
        if self.kind == "cloudformation":
            raise self._cannot("runs nothing", "gxsearch cluster up FILE")
        if self.kind == "slurm":
            if work.spec is None:
                raise self._cannot("goes on by itself", "on a node: gxsearch resume RUN")
            return [Step(("sbatch", str(self.path), work.spec))]
        spec = f"{RUNS}/specs/{work.name}.yaml"
        verb = ("tune", spec, "--out", RUNS, "--name", work.name) if work.spec else ("resume", f"{RUNS}/{work.name}")
        line = ("env", f"GXSEARCH_SCALES_TO={self.most()}", "gxsearch", *verb, "--address", "auto", "--quiet")
        if self.kind == "ray":
            job = shlex.join(("ray", "job", "submit", "--address", JOBS, "--no-wait", "--", *line))
            folder = [self._exec(f"mkdir -p {RUNS}/specs")]
            copy = [*folder, Step(("ray", "rsync-up", str(self.path), work.spec, spec))] if work.spec else []
            return [*copy, self._exec(job)]
        job = re.sub(r"[^a-z0-9]+", "-", f"run-{work.name}{'' if work.spec else '-again'}".lower())[:45].strip("-")
        path = self.path.with_name(f"{self.path.stem}-{job}.yaml")
        self.values |= {"GXSEARCH_JOB": job, "GXSEARCH_ENTRYPOINT": shlex.join(line)}
        self._write(path, self._part(jobs=True))
        script = f"mkdir -p {RUNS}/specs && cat > {spec}"
        copy = [self._pod("-i", run=("sh", "-c", script), reads=work.spec)] if work.spec else []
        again = [] if work.spec else [self._kubectl("delete", "rayjob", job, "--ignore-not-found")]
        return [*copy, *again, Step(("kubectl", "apply", "-f", str(path)))]

    def status(self, name: str | None) -> list[Step]:
        """Return how to ask where the cluster stands, or one run on it."""
        ask = shlex.join(("gxsearch", "status", f"{RUNS}/{name}"))
        if self.kind == "ray":
            return [self._exec(ask if name else f"ray status && ray job list --address {JOBS}")]
        if self.kind == "kubernetes":
            return [self._pod(run=tuple(ask.split())) if name else self._kubectl("get", "rayclusters,rayjobs,pods")]
        if self.kind == "cloudformation":
            return [self._stack("describe-stacks", "--query", "Stacks[0].Outputs", "--output", "table")]
        return [Step(("squeue", "--me", f"--name={self._job_name()}"))]

    def fetch(self, name: str, out: str) -> list[Step]:
        """Return how the folder of a run comes here."""
        if self.kind == "ray":
            into = f"{Path(out) / name}/"
            return [Step(("mkdir", "-p", into)), Step(("ray", "rsync-down", str(self.path), f"{RUNS}/{name}/", into))]
        if self.kind == "kubernetes":
            step = self._pod(run=("tar", "-C", RUNS, "-cf", "-", name))
            return [Step(("mkdir", "-p", out)), Step(step.words, into=("tar", "-C", out, "-xf", "-"))]
        raise self._cannot("keeps its runs on a disk that you see", "look into the folder of runs")

    def down(self) -> list[Step]:
        """Return how everything that costs by the hour is ended; disks of runs stay."""
        if self.kind == "ray":
            return [Step(("ray", "down", "--yes", str(self.path)))]
        if self.kind == "kubernetes":
            named = [doc.get(("metadata", "name")) for doc in self.filled.of_kind("RayCluster")]
            jobs = [self._kubectl("delete", "rayjobs", "-l", f"gxsearch/cluster={name}") for name in named]
            return [*jobs, *(self._kubectl("delete", "raycluster", name, "--ignore-not-found") for name in named)]
        if self.kind == "cloudformation":
            return [self._stack("delete-stack")]
        return [Step(("scancel", "--me", f"--name={self._job_name()}"))]

    def most(self) -> str:
        """Return what the cluster may grow to, ``CPU=32,GPU=8``: as many trials are run side by side as fit then."""
        return ",".join(f"{key}={value:g}" for key, value in sorted(_most(self.filled).items())) or "CPU=0"

    def missing(self) -> list[Fault]:
        """Return the files of this machine that the cluster should get and that are not here."""
        doc, faults = self.filled.documents[0] if self.filled.documents else None, []
        for target, source in group(doc.get(("file_mounts",)) if doc else None).items():
            if not Path(str(source)).expanduser().exists():
                fix = "in the project's folder: pip wheel --no-deps -w dist ." if str(source).endswith(".whl") else ""
                faults.append(Fault("E388", doc.where(("file_mounts", target)), f"there is no {source} here", fix))
        return faults

    def _exec(self, line: str) -> Step:
        return Step(("ray", "exec", str(self.path), line))

    def _kubectl(self, *words: str) -> Step:
        cluster = (self.filled.of_kind("RayCluster") or self.filled.of_kind("RayJob"))[0]
        return Step(("kubectl", "-n", str(cluster.get(("metadata", "namespace"), "default")), *words))

    def _pod(self, *options: str, run: tuple[str, ...], reads: str | None = None) -> Step:
        clusters = self.filled.of_kind("RayCluster")
        if not clusters:
            raise self._cannot("has no RayCluster", "see cluster/kuberay.yaml")
        head = group(clusters[0].get(("spec", "headGroupSpec", "template", "spec")))
        container = str(group((items(head.get("containers")) or [{}])[0]).get("name"))
        service = f"svc/{clusters[0].get(('metadata', 'name'))}-head-svc"
        return Step(self._kubectl("exec", *options, service, "-c", container, "--", *run).words, reads=reads)

    def _stack(self, verb: str, *words: str) -> Step:
        region = self.values.get("GXSEARCH_AWS_REGION") or "us-east-1"
        return Step(("aws", "cloudformation", verb, "--stack-name", _STACK, "--region", region, *words))

    def _job_name(self) -> str:
        found = re.search(r"^#SBATCH.*(?:--job-name[= ]|-J ?)(\S+)", self.sheet.text, re.MULTILINE)
        return found[1] if found else self.path.name

    def _part(self, *, jobs: bool) -> str:
        """Return the RayJobs of a file, or all that is no RayJob, filled in."""
        parts = re.split(r"^---(?=\s|$)", self.raw, flags=re.MULTILINE)
        chosen = [part for part in parts if bool(re.search(r"^kind: *RayJob\b", part, re.MULTILINE)) == jobs]
        text, faults = fill("---".join(chosen), self.values, self.sheet.file)
        refuse(faults)
        return text

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)

    def _cannot(self, what: str, fix: str) -> SpecError:
        return SpecError.one("E389", self.sheet.file, what, fix)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gxsearch" / "cluster"


def _most(sheet: Sheet) -> dict[str, float]:
    total = {"CPU": 0.0, "GPU": 0.0}
    doc = sheet.documents[0]
    if sheet.kind.startswith("ray"):
        top = doc.get(("max_workers",), 0)
        for name, kind in node_types(doc).items():
            count = 1 if name == doc.get(("head_node_type",)) else min(kind.get("max_workers", top), top)
            for key in total:
                total[key] += count * group(kind.get("resources")).get(key, 0)
    for cluster in sheet.of_kind("RayCluster"):
        for workers in items(cluster.get(("spec", "workerGroupSpecs"))):
            containers = items(group(group(workers.get("template")).get("spec")).get("containers"))
            limits = group(group(group((containers or [{}])[0]).get("resources")).get("limits"))
            total["CPU"] += workers.get("maxReplicas", 0) * _cpus(limits.get("cpu", 0))
            total["GPU"] += workers.get("maxReplicas", 0) * float(limits.get("nvidia.com/gpu", 0))
    return total


def _cpus(quantity: object) -> float:
    """Return a quantity of Kubernetes, ``500m`` or ``8``, as CPUs."""
    text = str(quantity)
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
