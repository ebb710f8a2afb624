"""Bucket: a folder on object storage (s3:// gs://): objects listed, read, put and deleted whole, and patiently."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from gxsearch.again import patiently
from gxsearch.data.remote import check_secrets, public
from gxsearch.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileSystem

SCHEMES = ("s3", "gs")
_SETTLED = re.compile(
    "ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY|SIGNATURE|UNRECOGNIZED_CLIENT|PERMISSION_DENIED|HTTP status 40[13]"
)
_CHUNK = 8 * 2**20
Given = TypeVar("Given")


class StorageError(OSError):
    """Object storage failed, also when it was tried again; `settled` where no further attempt will help."""

    def __init__(self, uri: str, reason: str, *, settled: bool):
        super().__init__(errno.EIO, reason, uri)
        self.reason, self.settled = reason, settled


@dataclass(frozen=True)
class Object:
    """An object: its bytes, and when it was written, in seconds by the storage's own clock."""

    size: int
    mtime: float


class Bucket:
    """A folder of objects. Names are relative to it, with slashes; what is put is there whole or not at all."""

    def __init__(self, fs: FileSystem, root: str, uri: str):
        self.fs, self.root, self.uri = fs, root.rstrip("/"), uri.rstrip("/")

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(self.fs, f"{self.root}/{name}", f"{self.uri}/{name}")

    @classmethod
    def of(cls, uri: str) -> Bucket:
        """Return the folder at an address; nothing is asked of the storage yet, but the region of an S3 bucket.

        Raises:
            SpecError: E303 when it is no address of a folder of S3 or Google Cloud Storage.
            UnsafeError: E805 when it holds credentials. StorageError: when the region cannot be asked for.
        """
        check_secrets(uri)
        parts = urlsplit(uri)
        if parts.scheme not in SCHEMES:
            fix = did_you_mean(parts.scheme, SCHEMES)
            raise SpecError.one("E303", public(uri), f"runs cannot be kept at '{parts.scheme}://'", fix)
        path = parts.path.strip("/").split("/")
        if not parts.netloc or parts.query or parts.fragment or not all(path) or {".", ".."} & set(path):
            fix = f"write {parts.scheme}://BUCKET/PREFIX"
            raise SpecError.one("E303", public(uri), "this is no address of a folder of runs", fix)
        return cls(_filesystem(parts.scheme, parts.netloc), f"{parts.netloc}/{'/'.join(path)}", uri)

    def objects(self) -> dict[str, Object]:
        """Return all objects below this folder by name; none where there is no such folder."""
        from pyarrow.fs import FileSelector, FileType

        selected = FileSelector(self.root, allow_not_found=True, recursive=True)
        found = self._patiently(lambda: self.fs.get_file_info(selected))
        named = {info.path[len(self.root) + 1 :]: info for info in found if info.type == FileType.File}
        return {name: Object(i.size, i.mtime.timestamp()) for name, i in named.items() if not name.endswith("/")}

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None where it is not there."""

        def attempt() -> bytes:
            with self._opened(name) as file:
                return file.read()

        try:
            return self._patiently(attempt)
        except FileNotFoundError:
            return None

    def get(self, name: str, path: Path) -> None:
        """Write an object to a file, whole or not at all.

        Raises:
            FileNotFoundError: when it is not there.
        """

        def attempt() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            work = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
            try:
                with (
                    self.fs.open_input_stream(f"{self.root}/{name}", compression=None) as file,
                    open(work, "wb") as out,
                ):
                    while piece := file.read(_CHUNK):
                        out.write(piece)
                work.replace(path)
            finally:
                work.unlink(missing_ok=True)

        self._patiently(attempt)

    def put(self, name: str, data: bytes | Path) -> int:
        """Put bytes, or those of a file, in the place of an object; return how many they are."""

        def attempt() -> int:
            with self.fs.open_output_stream(f"{self.root}/{name}", compression=None) as out:
                if isinstance(data, bytes):
                    out.write(data)
                    return len(data)
                n = 0
                with open(data, "rb") as file:
                    while piece := file.read(_CHUNK):
                        n += out.write(piece) or len(piece)
                return n

        return self._patiently(attempt)

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects, in this order; those that are not there are none of ours."""
        for name in names:
            try:
                self._patiently(lambda name=name: self.fs.delete_file(f"{self.root}/{name}"))
            except FileNotFoundError:
                continue

    def _opened(self, name: str) -> NativeFile:
        return self.fs.open_input_stream(f"{self.root}/{name}", compression=None)

    def _patiently(self, act: Callable[[], Given]) -> Given:
        """Return what `act` does, tried again where that may help.

        Raises:
            StorageError: when it does not. FileNotFoundError: as it comes.
        """
        try:
            return patiently(act, _is_passing)
        except FileNotFoundError as error:
            if "bucket" in str(error).lower() and "does not exist" in str(error).lower():
                raise StorageError(self.uri, "there is no such bucket", settled=True) from error
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # of this machine's disk
                raise
            raise StorageError(self.uri, _reason(error), settled=not _is_passing(error)) from error


def _is_passing(error: BaseException) -> bool:
    """Tell whether another attempt may help; pyarrow has one kind of error for all that storage may answer."""
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError | PermissionError):
        return False
    return error.errno not in (errno.ENOSPC, errno.EDQUOT) and not _SETTLED.search(str(error))


def _reason(error: OSError) -> str:
    """Return what the storage said, in a few words."""
    text = " ".join(str(error).split())
    told = re.search(r"AWS Error ([A-Z_ ]+[A-Z])", text)
    if told:
        return told[1].replace("_", " ").lower()
    return text[:160]


def _filesystem(scheme: str, bucket: str) -> FileSystem:
    from pyarrow import fs  # a fifth of a second that runs on a disk need not pay

    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=_gcs_patience())
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    settings = {"connect_timeout": 10, "request_timeout": 60, "background_writes": False}
    settings["allow_delayed_open"] = True  # a small object is one call then, instead of three
    if endpoint:
        kind, _, host = endpoint.rpartition("://")
        settings |= {"scheme": kind or "https", "endpoint_override": host.rstrip("/"), "region": region or "us-east-1"}
    elif region:
        settings["region"] = region
    else:
        try:
            settings["region"] = patiently(lambda: fs.resolve_s3_region(bucket), _is_passing)
        except OSError as error:
            raise StorageError(f"s3://{bucket}", _reason(error), settled=True) from error
    return fs.S3FileSystem(**settings)


def _gcs_patience() -> object:
    from datetime import timedelta

    return timedelta(seconds=15)  # then it is told, and tried again by us
