"""Search spaces that come with the package, for those who installed it without the project's folder."""

from __future__ import annotations

from pathlib import Path

import gxsearch

FOLDER = "search_spaces"


def folder() -> Path:
    """Return where they are: inside the package, or beside it in the project's own folder."""
    package = Path(gxsearch.__file__).parent
    return next(path / FOLDER for path in (package, package.parent) if (path / FOLDER).is_dir())


def found(path: str | Path) -> Path:
    """Return the file that a spec's path means: itself, if there is one, else the one of a search space's name.

    ``search_spaces/fe.yaml`` and ``fe`` both name the shipped `fe.yaml` where there is no such file here.
    """
    asked = Path(path)
    by_name = asked.parent == Path(".") and not asked.suffix or asked.parent == Path(FOLDER) and asked.suffix == ".yaml"
    if asked.exists() or not by_name:
        return asked
    near = [home / f"{asked.stem}.yaml" for home in (Path(FOLDER), folder())]
    return next((file for file in near if file.is_file()), asked)
