"""A cluster file: which kind it is, its documents with the place of every value, its lines."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gxsearch.errors import Fault, SpecError
from gxsearch.search.yaml_file import Document, Mark, Where, parse, read_bytes

MAX_DOCUMENTS = 100
CLOUDS = ("aws", "gcp", "azure", "local")
PLACEHOLDER = re.compile(r"\$\{(GXSEARCH_[A-Z0-9_]{1,60})(?::-([^}\n]{0,300}))?\}")
"""``${GXSEARCH_NAME}`` or ``${GXSEARCH_NAME:-what else}``; other variables are the shell's."""
_BREAK = re.compile(r"^---(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class Sheet:
    """A cluster file.

    Attributes:
        file: the file's name, as the user typed it.
        kind: ``ray aws`` (gcp, azure, local), ``kubernetes``, ``cloudformation`` or ``slurm``.
        text: what it says, with what is used where nothing is filled in.
        documents: the documents of a YAML file; none of a script.
    """

    file: str
    kind: str
    text: str
    documents: tuple[Document, ...] = ()

    def of_kind(self, *kinds: str) -> list[Document]:
        """Return the Kubernetes objects of these kinds."""
        return [doc for doc in self.documents if doc.values.get("kind") in kinds]


def read_sheet(file: str) -> Sheet:
    """Read a cluster file.

    Raises:
        SpecError: E300 to E307 when it cannot be read, E380 when it is no cluster file.
    """
    return parse_sheet(read_bytes(file), file)


def parse_sheet(data: bytes, file: str) -> Sheet:
    """Read the bytes of a file that is called `file` in messages; raises SpecError as `read_sheet` does."""
    if data[:2] == b"#!" or b"\n#SBATCH" in data:
        text = data.decode("utf-8", "replace")
        if not re.search(r"^#SBATCH\b", text, re.MULTILINE):
            raise _unknown(file, "is a script without a line #SBATCH")
        return Sheet(file, "slurm", text)
    # Lines and places are those of the file: what is filled in stands where the placeholder stood.
    text = PLACEHOLDER.sub(lambda found: found[0] if found[2] is None else found[2], _text(data, file))
    documents = tuple(_documents(text, file))
    return Sheet(file, _kind(documents, file), text, documents)


def walk(value: Any, path: Where = ()) -> Iterator[tuple[Where, Any]]:
    """Yield every group, list and value below a value, with its path; itself first."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from walk(below, (*path, key))


def group(value: Any) -> dict[str, Any]:
    """Return a value that should be a group; an empty one where it is not, which is a fault of its own."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return a value that should be a list; an empty one where it is not."""
    return value if isinstance(value, list) else []


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        parse(data, file)  # says where
        raise


def _documents(text: str, file: str) -> Iterator[Document]:
    breaks = [found.span() for found in _BREAK.finditer(text)]
    if len(breaks) > MAX_DOCUMENTS:
        raise SpecError.one("E306", file, f"holds more than {MAX_DOCUMENTS} documents")
    for (_, start), (end, _) in zip([(0, 0), *breaks], [*breaks, (len(text), 0)], strict=True):
        if not re.sub(r"#.*", "", text[start:end]).strip():
            continue
        above = text.count("\n", 0, start)
        try:
            yield _lowered(parse(text[start:end].encode("utf-8", "surrogatepass"), file), above)
        except SpecError as error:
            raise SpecError(_reworded(_moved(fault, above)) for fault in error.faults) from None


def _lowered(doc: Document, above: int) -> Document:
    """Return a document as it stands in its file, below so many lines."""
    marks = {path: Mark(mark.file, mark.line + above, mark.col) for path, mark in doc.marks.items()}
    keys = {path: Mark(mark.file, mark.line + above, mark.col) for path, mark in doc.keys.items()}
    return Document(doc.file, doc.values, marks, keys, tuple(_moved(fault, above) for fault in doc.faults))


def _moved(fault: Fault, above: int) -> Fault:
    where = re.sub(r":(\d+)(?=:\d+$)", lambda found: f":{int(found[1]) + above}", fault.where)
    what = re.sub(r"\bline (\d+)", lambda found: f"line {int(found[1]) + above}", fault.what)
    return dataclasses.replace(fault, where=where, what=what)


def _reworded(fault: Fault) -> Fault:
    """Return a fault of the YAML reader without its advice for search spaces."""
    if fault.code == "E307":
        return Fault("E380", fault.where, "holds no 'key: value' lines", "start from a file of cluster/")
    return dataclasses.replace(fault, fix="") if fault.code == "E306" else fault


def _kind(documents: tuple[Document, ...], file: str) -> str:
    first = documents[0].values if documents else {}
    if "AWSTemplateFormatVersion" in first:
        return "cloudformation"
    if any("apiVersion" in doc.values or "kind" in doc.values for doc in documents):
        return "kubernetes"
    if "provider" in first or "cluster_name" in first:
        cloud = group(first.get("provider")).get("type")
        if cloud in CLOUDS:
            return f"ray {cloud}"
        where = documents[0].where(("provider", "type"))
        raise SpecError.one("E380", where, f"the provider {cloud!r} is not known here", f"use {', '.join(CLOUDS)}")
    raise _unknown(f"{file}:1:1" if documents else file, "is no cluster file")


def _unknown(where: str, what: str) -> SpecError:
    fix = "write a file for `ray up` (provider: ...), for KubeRay (kind: RayCluster), or a Slurm script (#SBATCH)"
    return SpecError.one("E380", where, what, fix)
