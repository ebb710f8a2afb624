"""RunDir: the one place that knows the names inside a run folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from gxsearch.again import patiently
from gxsearch.errors import RunError, SpecError, UnsafeError
from gxsearch.results.run_form import check_form

COMPARISON = "compare.json"
"""The file by which the folder of a comparison is known."""


class RunDir:
    """The folder of one search, or of one training.

    run.json is written once; spec.yaml is a byte copy of the user's file; ledger.jsonl is the truth about the
    trials; study.journal is for optuna-dashboard; trials/NNN hold each trial; results/ is made from the rest; first/ is
    the run folder of a search that this one builds on; confirm/NN those of the best trials trained again; track/ tells
    what trackers were sent.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).resolve()
        self.run = self.path / "run.json"
        self.spec = self.path / "spec.yaml"
        self.ledger = self.path / "ledger.jsonl"
        self.journal = self.path / "study.journal"
        self.lock = self.path / "lock"
        self.log = self.path / "gxsearch.log"
        self.first = self.path / "first"
        self.confirming = self.path / "confirm"
        self.track = self.path / "track"
        self.results = self.path / "results"
        self.leaderboard = self.results / "leaderboard.csv"
        self.best = self.results / "best"
        self.embeddings = self.results / "embeddings.h5ad"
        self.report = self.results / "report.html"
        self.report_md = self.results / "report.md"
        self.baselines = self.results / "baselines.json"
        self.scores = self.results / "scores.json"
        self.clusters = self.results / "clusters.csv"
        self.curves = self.results / "curves"
        self.ablations = self.results / "ablations.json"
        self.projector = self.results / "projector"
        self.replayed = self.results / "replay.json"
        self.confirmation = self.results / "confirm.json"

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """Return an existing run folder; of a run on object storage (s3:// gs://) the copy of it that is here.

        Raises:
            RunError: when there is none at `path`.
        """
        if "://" in str(path):
            from gxsearch.results.far import near  # runs on a disk need nothing of it

            path = near(path)
        found = cls(path)
        if not found.run.is_file():
            raise RunError.one("E601", str(path), "no run here (run.json is missing)", "give a folder below runs/")
        return found

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def outermost(self) -> Path:
        """The folder by which a search is gone on with that is part of another, or of a comparison; else its own."""
        above = [self.path, *self.path.parents][:4]
        return [path for path in above if (path / "run.json").is_file() or (path / COMPARISON).is_file()][-1]

    def trial(self, number: int) -> Path:
        """Return the folder of a trial; its name is the trial's number in three digits or more."""
        return self.path / "trials" / f"{number:03d}"

    def checkpoints(self, number: int) -> Path:
        """Return the folder that holds a trial's checkpoints, one folder an epoch."""
        return self.trial(number) / "checkpoints"

    def exported(self, number: int) -> Path:
        """Return the folder that a trial other than the best is exported to."""
        return self.results / "exports" / self.trial(number).name

    def confusion(self, name: str) -> Path:
        """Return the file of the confusion table of a phenotype; letters that files do not have are left out."""
        return self.results / f"confusion_{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.csv"

    def confusions(self) -> list[Path]:
        """Return the confusion tables that there are, by name."""
        return sorted(self.results.glob("confusion_*.csv"))

    def projection(self, name: str) -> Path:
        """Return the file that keeps a projection of the embedding: umap or tsne."""
        return self.results / f"{name}.npy"

    def facts(self) -> dict[str, Any]:
        """Read run.json: id, version, command, spec (resolved), data facts, split, seed, versions.

        Raises:
            RunError: when it cannot be read.
        """
        try:
            found = unsealed(json.loads(self.run.read_text()))
            check_form(found)
        except (OSError, ValueError, RecursionError) as error:
            raise RunError.one("E602", str(self.run), f"cannot be read ({error})", "restore it") from None
        return found


def sealed(facts: dict[str, Any]) -> bytes:
    """Return what run.json holds: the facts, and a sum of them by which `RunDir.facts` knows that they are whole."""
    return json.dumps({**facts, "sha256": _digest(facts)}, indent=1).encode()


def unsealed(found: Any) -> Any:
    """Return what `sealed` wrote, without its sum.

    Raises:
        ValueError: when it is not as it was written.
    """
    known = isinstance(found, dict) and found.pop("sha256", None)
    if known and known != _digest(found):
        raise ValueError("its sha256 is not that written")
    return found


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_number(word: str) -> bool:
    """Say whether a word is the number of a trial; ², which Python calls a digit too, is none."""
    return word.isascii() and word.isdigit() and len(word) < 10


def named(out: str | Path, name: str) -> Path:
    """Return the folder of a new run of that name in `out`, and never elsewhere.

    Raises:
        SpecError: E303 when it is no name: the path of another folder, or longer than file systems take; or when
            `out` is an address.
    """
    if not _NAME.fullmatch(name):
        fix = "use up to 100 letters, digits, '-', '_' and '.', the first a letter or digit"
        raise SpecError.one("E303", "--name", f"'{name[:120]}' is no name of a folder", fix)
    if "://" in str(out):
        fix = "name a folder, on a cluster one that all nodes see"
        raise SpecError.one("E303", "--out", f"comparisons cannot be kept at the address '{out}'", fix)
    return Path(out) / name


def refuse_existing(folder: Path) -> None:
    """Raise where a new search would meet an old one.

    Raises:
        RunError: when the folder exists. UnsafeError: when it is a link, be it to nothing.
    """
    if folder.is_symlink():
        raise UnsafeError.one("E812", str(folder), "the run folder is a link", "give another --name")
    if folder.exists():
        begun = RunDir(folder).run.is_file()
        hint = f"gxsearch resume {folder}, or another --name" if begun else "give another --name: no search is in it"
        raise RunError.one("E603", str(folder), "this folder exists already", hint)


def fresh_name(stem: str) -> str:
    """Return a name for a run that nobody chose one for; searches that begin in one second get different ones."""
    return f"{stem}-{datetime.now():%m%d-%H%M%S}-{secrets.token_hex(2)}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones; storage that fails for a moment, again."""
    patiently(lambda: _write_atomic(path, data))


def _write_atomic(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(work, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    work.replace(path)
