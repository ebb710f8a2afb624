"""Fetches a file from a URI (s3:// gs:// https://) into a local cache, once per version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import fsspec
from fsspec import AbstractFileSystem

from gxsearch.again import WAITS_S, patiently
from gxsearch.errors import DataError, UnsafeError, did_you_mean

SCHEMES = ("s3", "gs", "gcs", "https", "http", "file", "memory")
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "https": "aiohttp", "http": "aiohttp"}
VERSION_KEYS = ("size", "ETag", "etag", "LastModified", "Last-Modified", "mtime", "created", "generation", "md5Hash")
_LATER = (408, 425, 429)
"""Answers of 400 to 499 that say: not now."""
_SECRET = re.compile(r"token|secret|passw|signature|^sig$|credential|api_?key|access_?key|auth", re.IGNORECASE)


def is_uri(path: str) -> bool:
    """Tell whether a path names a scheme."""
    return "://" in path


def public(path: str) -> str:
    """Return a URI without user, password and query, which may be secret; other paths as they are."""
    if not is_uri(path):
        return path
    parts = urlsplit(path)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def cache_folder() -> Path:
    """Return the folder of fetched files: `GXSEARCH_CACHE`, else gxsearch in the user's cache folder."""
    own = os.environ.get("GXSEARCH_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own).expanduser() if own else Path(shared).expanduser() / "gxsearch"


def fetch(uri: str) -> Path:
    """Return a local copy of a file or a .zarr folder; it is fetched anew when size, ETag or time of change differ.

    What fails in passing is tried four times in all.

    Raises:
        DataError: E404 unknown scheme, missing package, no such file or no access; one line.
        UnsafeError: E805 the address holds credentials.
    """
    source, scheme = public(uri), uri.partition("://")[0]
    check_secrets(uri)
    if scheme not in SCHEMES:
        raise DataError.one("E404", source, f"unknown scheme '{scheme}'", did_you_mean(scheme, SCHEMES))
    try:
        fs, remote = fsspec.core.url_to_fs(uri)
        return patiently(lambda: _cached(fs, remote, uri), _is_passing)
    except ImportError:
        fix = f"pip install {PACKAGES.get(scheme, 'fsspec')}"
        raise DataError.one("E404", source, f"reading {scheme}:// needs a further package", fix) from None
    except Exception as error:  # every plug-in of fsspec raises kinds of its own; told in one line, never hidden
        if isinstance(error, FileNotFoundError) and not _is_passing(error):
            raise DataError.one("E404", source, "there is no such file", "check the address") from None
        again = f", also when tried {len(WAITS_S)} times more" if _is_passing(error) else ""
        what = f"cannot be fetched: {type(error).__name__}{again}"
        raise DataError.one("E404", source, what, "check the address and the credentials") from error


def _is_passing(error: BaseException) -> bool:
    """Tell whether another attempt may help: plug-ins raise kinds of their own, most of them when a network fails."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        return _is_passing(error.__cause__)  # fsspec takes any trouble of a server for a file that is missing
    status = getattr(error, "status", None)
    settled = isinstance(status, int) and 400 <= status < 500 and status not in _LATER
    return not (settled or isinstance(error, ImportError | FileNotFoundError | PermissionError | ValueError))


def check_secrets(uri: str) -> None:
    """Refuse an address with a password or a signature: run folders, which are shared, keep it as it is.

    Raises:
        UnsafeError: E805.
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc or any(_SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        fix = "leave them to the environment (AWS_PROFILE, ~/.netrc), or fetch the file first"
        raise UnsafeError.one("E805", public(uri), "the address holds credentials, which a run folder would keep", fix)


def _cached(fs: AbstractFileSystem, remote: str, uri: str) -> Path:
    is_folder = fs.info(remote)["type"] == "directory"
    files = fs.find(remote, detail=True) if is_folder else {remote: fs.info(remote)}
    version = [uri, *([name, *(str(info.get(key)) for key in VERSION_KEYS)] for name, info in sorted(files.items()))]
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = folder / hashlib.sha256(json.dumps(version).encode()).hexdigest()[:24]
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        if is_folder:
            fs.get(remote.rstrip("/") + "/", f"{unfinished}/copy/", recursive=True)
        else:
            fs.get_file(remote, f"{unfinished}/copy")
        os.replace(f"{unfinished}/copy", place)  # whole or not at all
    return place
