"""The manifest of a folder of ours: sha256 sums of its files, checked whenever they are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gxsearch.errors import RunError

MANIFEST = "manifest.json"


def verified(folder: Path) -> dict[str, bytes]:
    """Return the files that the manifest of `folder` names, checked against it.

    Raises:
        RunError: when the manifest or a file is missing, or a sum differs.
    """
    try:
        sums = json.loads((folder / MANIFEST).read_bytes())
        if not isinstance(sums, dict):
            raise ValueError(f"{MANIFEST} is no table of sums")
        odd = [name for name in sums if Path(name).name != name or not (folder / name).is_file()]
        if odd:
            raise ValueError(f"{MANIFEST} names '{odd[0]}', which is no file of the folder")
        files = {name: (folder / name).read_bytes() for name in sums}
    except (OSError, ValueError, RecursionError) as error:
        raise RunError.one("E622", str(folder), f"not a whole folder of ours ({error})") from None
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise RunError.one("E623", str(folder / name), "the file is damaged: its sha256 is not that written")
    return files
