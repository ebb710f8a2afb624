"""Relay: how the first rank of a TorchTrainer tells its epochs, and hears whether to go on: by files of the trial.

Ray Train gives no other way from a worker to whoever started it that works without checkpoints of its own, and the
trial's folder is on storage that all nodes see. A file is opened anew for every look, which is when NFS looks too.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from gxsearch.results.run_dir import write_atomic

_POLL_S = 0.02


class Relay:
    """The files of one training, by its name: what was told, a line each, and the last answer."""

    def __init__(self, folder: Path, name: str):
        self._told, self._answer = (folder / f"relay.{name}.{kind}" for kind in ("told", "answer"))

    def clear(self) -> None:
        """Leave nothing behind, nor of an earlier training of the trial that was killed."""
        for file in self._told.parent.glob("relay.*"):
            file.unlink(missing_ok=True)

    def lines(self, since: int) -> list[dict[str, Any]]:
        """Return what was told after the first `since` lines; the last one may be half written and is left out."""
        text = self._told.read_bytes() if self._told.exists() else b""
        return [json.loads(line) for line in text.split(b"\n")[since:-1]]

    def answer(self, number: int, go_on: bool) -> None:
        """Answer the line of this number, from 1."""
        write_atomic(self._answer, f"{number} {int(go_on)}".encode())

    def begin(self) -> None:
        """Begin to tell, as the first rank: half a line of one that died is dropped."""
        text = self._told.read_bytes() if self._told.exists() else b""
        if text and not text.endswith(b"\n"):
            os.truncate(self._told, text.rfind(b"\n") + 1)

    def tell(self, line: dict[str, Any]) -> bool:
        """Tell a line, as the first rank; wait for the answer to it, and return whether to go on."""
        number = self.tell_last(line)
        while True:
            said = self._answer.read_text().split() if self._answer.exists() else ["0", "1"]
            if said[1] == "0" or int(said[0]) >= number:
                return said[1] == "1"
            time.sleep(_POLL_S)

    def tell_last(self, line: dict[str, Any]) -> int:
        """Tell a line that nobody answers; return its number."""
        with open(self._told, "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
        return self._told.read_bytes().count(b"\n")
