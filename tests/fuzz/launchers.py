"""Cluster files: the shipped ones with values, keys, lines or bytes spoiled at random."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import specs
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = sorted([*CLUSTER.glob("*.yaml"), *CLUSTER.glob("setup/*"), *CLUSTER.glob("slurm/*")])
ODD: list[Any] = [
    None,
    "",
    True,
    -1,
    2**63,
    1e308,
    float("nan"),
    [],
    {},
    [[]],
    {"": {}},
    [None],
    [1, {"a": []}],
    {"a": 1},
]
ODD += [
    "0.0.0.0/0",
    "1.2.3.4/99",
    "::/0",
    "${",
    "${GXSEARCH_A:-",
    "${GXSEARCH_A:-*}",
    "pip install",
    "ray start",
    "x" * 999,
]
ODD += ["ssh -A", "curl x | sh", "policy/", "a\0b", "\u202e", "@sha256:", ":", "ray==", "pip install ray[=", "--", "é"]
LINES = [
    "---",
    "...",
    "#SBATCH --time",
    "#SBATCH -",
    "\t",
    "a: &a [*a]",
    "%YAML 9",
    "? [a]",
    "!!python/x",
    "ray start \\",
    "b: *node",
]
LINES += [
    ":" * 3000,
    "ssh " * 700,
    "a-" * 1500,
    "--" * 1500,
    "curl " * 600,
    "://a:b" * 500,
    "${GXSEARCH_A:-" * 200,
    "pip install '" * 250,
]


def spoiled(rng: random.Random) -> tuple[str, bytes]:
    """Return the name and the bytes of a spoiled file."""
    path = rng.choice(FILES)
    text = path.read_text()
    if path.suffix == ".yaml" and rng.random() < 0.5:
        documents = list(yaml.safe_load_all(text))
        for _ in range(rng.randint(1, 4)):
            _spoil(rng, rng.choice(documents))
        text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    else:
        lines = text.splitlines()
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(lines))
            lines[at : at + rng.randint(0, 2)] = [rng.choice([*LINES, *lines])]
        text = "\n".join(lines)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(rng.randint(0, 3)) + data[at + rng.randint(0, 3) :]
    return f"case{path.suffix}", data


def _spoil(rng: random.Random, value: Any) -> None:
    """Replace, rename, drop or add something below a value, in place."""
    inner = list(value.values() if isinstance(value, dict) else value)
    deeper = [below for below in inner if isinstance(below, dict | list) and below]
    if deeper and rng.random() < 0.8:
        return _spoil(rng, rng.choice(deeper))
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    what = rng.choice(["value", "drop", "key", "add"])
    if what == "value":
        value[key] = rng.choice(ODD)
    elif what == "drop":
        del value[key]
    elif isinstance(value, dict):
        new = rng.choice([f"{key}s", str(key)[:-1] or "x", "value", "name", "kind", "containers", "image"])
        value[new] = value.pop(key) if what == "key" else rng.choice(ODD)
    return None


def verdict(status: int, err: str) -> str:
    """Return how a lint ended: fine, or the code of its first fault; anything else is an AssertionError."""
    lines = [line for line in err.splitlines() if line.startswith("error")]
    assert status in (0, 3, 8) and "Traceback" not in err and "E790" not in err, (status, err)
    assert all(line[6:8] in ("E3", "E8") for line in lines), err
    assert not lines or str(status) == max(line[7] for line in lines), (status, err)
    return lines[0][6:10] if lines else "fine"


def check(seed: int) -> str:
    """Spoil a file by a seed, in the working folder, and lint it."""
    name, data = spoiled(random.Random(seed))
    Path(name).write_bytes(data)
    return verdict(*specs.called("cluster", "lint", name))
