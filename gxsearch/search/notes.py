"""Notes: what a tracker was sent, in a file of the run folder, so that a resumed search goes on in the same place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METRICS = "metrics.ndjson"
"""Of a trial's folder: a line for each epoch that was judged."""


class Notes:
    """Lines of JSON, appended; the last one of a key counts.

    Keys: uri (what is sent to), search and trials (the ids that the tracker gave), at (bytes of the ledger that were
    sent), ended (trials whose end was sent), results (whether they were).
    """

    def __init__(self, path: Path, asked: str, uri: str):
        self.path = path
        known = self._read()
        if known and known[0].get("asked") != asked:  # another server: it knows nothing of all this
            path.replace(path.with_suffix(".old"))
            known = []
        self._values: dict[str, Any] = {}
        self.trials: dict[int, str] = {}
        for line in known:
            self._take(line)
        if not known:
            self.add(asked=asked, uri=uri)

    def __getitem__(self, key: str) -> Any:
        """Return what was noted last, or None."""
        return self._values.get(key)

    def add(self, **values: Any) -> None:
        """Note something; a trial's id as trial=, id=.

        Raises:
            OSError: when it cannot be written, as where the run folder is gone.
        """
        self.path.parent.mkdir(exist_ok=True)  # not its parents: a run folder that was deleted stays so
        with open(self.path, "a") as file:
            file.write(json.dumps(values) + "\n")
        self._take(values)

    def _take(self, line: dict[str, Any]) -> None:
        if "trial" in line:
            self.trials[int(line["trial"])] = str(line["id"])
        else:
            self._values |= line

    def _read(self) -> list[dict[str, Any]]:
        """Return the lines; a last one that is half written is dropped, so that the next begins a line."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            self.path.write_bytes(whole)
        return [json.loads(line) for line in whole.splitlines()]


def target_of(path: Path) -> tuple[str, str] | None:
    """Return what an earlier start of a search was asked to send to, and its full address; None without one."""
    if not path.is_file():
        return None
    try:
        first = path.read_text().partition("\n")[0]
        head = json.loads(first)
        return str(head["asked"]), str(head["uri"])
    except (ValueError, KeyError, TypeError):  # killed in its first line: nothing was sent
        return None
