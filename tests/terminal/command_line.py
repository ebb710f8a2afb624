"""The command line as a process of its own, and a strict reader of what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TOY = Path(__file__).parents[1] / "toy" / "toy.yaml"


def process(*words: str, **how: Any) -> subprocess.CompletedProcess:
    """Run the command line as a process of its own; variables of the environment that are None are taken away."""
    changed = {**os.environ, **how.pop("env", {})}
    env = {name: value for name, value in changed.items() if value is not None}
    command = [sys.executable, "-m", "gxsearch.cli", *map(str, words)]
    return subprocess.run(command, env=env, check=False, **{"capture_output": True, **how})


def strict(text: str) -> Any:
    """Read JSON as a strict reader does: NaN and Infinity, which Python would take, are refused."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)
