"""A folder of programs that only write down how they were called, first on the PATH."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VALUES = {
    "GXSEARCH_SSH_CIDR": "203.0.113.0/24",
    "GXSEARCH_AWS_IMAGE": "ami-0123456789abcdef0",
    "GXSEARCH_AWS_VPC": "vpc-0a",
    "GXSEARCH_AWS_SUBNET": "subnet-0a",
    "GXSEARCH_AWS_SECURITY_GROUP": "sg-0a",
    "GXSEARCH_AWS_EFS": "fs-0a.efs.us-east-1.amazonaws.com",
    "GXSEARCH_GCP_PROJECT": "some-project",
    "GXSEARCH_GCP_IMAGE": "projects/p/global/images/i-1",
    "GXSEARCH_GCP_SUBNET": "projects/p/regions/r/subnetworks/s",
    "GXSEARCH_GCP_FILESTORE": "10.0.0.2:/runs",
    "GXSEARCH_AZURE_GROUP": "gxsearch",
    "GXSEARCH_AZURE_JUMP_HOST": "me@jump.example.org",
    "GXSEARCH_AZURE_IMAGE_VERSION": "24.05.24",
    "GXSEARCH_AZURE_NFS": "acc.file.core.windows.net:/acc/runs",
    "GXSEARCH_IMAGE": "registry.example.org/gxsearch:0.1.0",
    "GXSEARCH_STORAGE_CLASS": "shared",
}


class Stubs:
    """Programs on the PATH, and how they were called."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder / "bin", folder / "calls"
        self.folder.mkdir()

    def add(self, name: str, then: str = "") -> None:
        """Add a program that writes down its arguments, and then runs lines of sh."""
        note = f"line=$(printf '%s\\037' {name} \"$@\")\nprintf '%s\\n' \"$line\" >> {shlex.quote(str(self.log))}"
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{note}\n{then}\n")
        path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """Return the programs and arguments of all calls so far."""
        return [line.split("\037")[:-1] for line in self.log.read_text().split("\n")[:-1]] if self.log.exists() else []


@pytest.fixture
def stubs(tmp_path, monkeypatch) -> Stubs:
    """Programs that only write down how they were called; homes and caches in the folder of the test."""
    made = Stubs(tmp_path)
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    return made
