"""A small S3 server: the calls that pyarrow makes, in memory; it can be told to fail.

moto would be the usual choice; its boto needs an older python-dateutil than the one that gxsearch is tested with. The
tests run against moto too, or any other server, where GXSEARCH_TEST_S3 names its endpoint.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

BUCKET = "lab"


class Store:
    """What a server holds, and how it fails.

    Attributes:
        objects: key -> (bytes, time of writing, in seconds since 1970).
        failing: how many of the next calls are answered by an error; -1 is all of them.
        status: of these answers. only: they are only those of this method.
        calls: how many calls there were, by method.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.failing, self.status, self.only = 0, 503, ""
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()

    def fails(self, method: str) -> bool:
        """Say whether a call is to fail, and count it."""
        with self.lock:
            self.calls[method] += 1
            if not self.failing or (self.only and method != self.only):
                return False
            self.failing -= self.failing > 0
            return True


class Server(ThreadingHTTPServer):
    """The server, on a free port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = Store()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def endpoint(self) -> str:
        """The address to set AWS_ENDPOINT_URL to."""
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers the calls."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        bucket, key, query = self._asked()
        if self._failed():
            return
        if not key:
            self._list(bucket, query)
            return
        found = self._found(bucket, key)
        if found is None:
            return
        data, at = found
        span = self.headers.get("Range")
        headers = self._described(data, at)
        if span and data:
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            self._answer(206, data[start : end + 1], headers)
        else:
            self._answer(200, data, headers)

    def do_HEAD(self) -> None:
        bucket, key, _ = self._asked()
        if self._failed():
            return
        if not key:
            self._answer(200 if bucket == BUCKET else 404)
            return
        found = self._found(bucket, key)
        if found is not None:
            self._answer(200, found[0], self._described(*found), body=False)

    def do_PUT(self) -> None:
        bucket, key, query = self._asked()
        data = self._body()
        if self._failed():
            return
        if bucket != BUCKET:
            self._error(404, "NoSuchBucket")
            return
        if "partNumber" in query:
            self.server.store.parts[query["uploadId"][0]][int(query["partNumber"][0])] = data
        else:
            self._keep(key, data)
        self._answer(200, b"", {"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    def do_POST(self) -> None:
        bucket, key, query = self._asked()
        body = self._body()
        if self._failed():
            return
        store = self.server.store
        if "delete" in query:
            keys = [e.text or "" for e in ElementTree.fromstring(body).iter() if e.tag.endswith("Key")]
            for gone in keys:
                store.objects.pop(gone, None)
            self._xml("DeleteResult", "".join(f"<Deleted><Key>{escape(k)}</Key></Deleted>" for k in keys))
        elif "uploads" in query:
            upload = uuid.uuid4().hex
            store.parts[upload] = {}
            self._xml(
                "InitiateMultipartUploadResult",
                f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>",
            )
        else:
            parts = store.parts.pop(query["uploadId"][0])
            self._keep(key, b"".join(parts[i] for i in sorted(parts)))
            self._xml("CompleteMultipartUploadResult", f'<Key>{escape(key)}</Key><ETag>"x"</ETag>')

    def do_DELETE(self) -> None:
        _, key, query = self._asked()
        if self._failed():
            return
        if "uploadId" in query:
            self.server.store.parts.pop(query["uploadId"][0], None)
        else:
            self.server.store.objects.pop(key, None)
        self._answer(204)

    def log_message(self, *_: object) -> None:
        """Keep the test's output empty."""

    def _asked(self) -> tuple[str, str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        return bucket, key, parse_qs(parts.query, keep_blank_values=True)

    def _failed(self) -> bool:
        store = self.server.store
        if not store.fails(self.command):
            return False
        self._error(store.status, {403: "AccessDenied", 503: "ServiceUnavailable"}[store.status])
        return True

    def _body(self) -> bytes:
        """Read what was sent, which may come in chunks with sizes and checksums of their own."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b"".join(iter(self._chunk, b""))
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data
        whole, rest = b"", data
        while rest:
            head, _, rest = rest.partition(b"\r\n")
            size = int(head.split(b";")[0], 16)
            if not size:
                break
            whole, rest = whole + rest[:size], rest[size + 2 :]
        return whole

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _keep(self, key: str, data: bytes) -> None:
        self.server.store.objects[key] = (data, time.time())

    def _found(self, bucket: str, key: str) -> tuple[bytes, float] | None:
        found = self.server.store.objects.get(key) if bucket == BUCKET else None
        if found is None:
            self._error(404, "NoSuchKey" if bucket == BUCKET else "NoSuchBucket")
        return found

    def _described(self, data: bytes, at: float) -> dict[str, str]:
        return {"Last-Modified": formatdate(at, usegmt=True), "ETag": f'"{hashlib.md5(data).hexdigest()}"'}

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        if bucket != BUCKET:
            self._error(404, "NoSuchBucket")
            return
        prefix, limit = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        found, folders = [], set()
        for key, (data, at) in sorted(self.server.store.objects.copy().items()):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if limit and limit in rest:
                folders.add(prefix + rest.partition(limit)[0] + limit)
                continue
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
            found.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified><Size>{len(data)}</Size></Contents>"
            )
        found += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders)]
        head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        self._xml("ListBucketResult", f"{head}<KeyCount>{len(found)}</KeyCount>{''.join(found)}")

    def _xml(self, tag: str, inner: str) -> None:
        text = f'<?xml version="1.0"?><{tag} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{tag}>'
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._answer(status, text, {"Content-Type": "application/xml"}, body=self.command != "HEAD")

    def _answer(
        self, status: int, data: bytes = b"", headers: dict[str, str] | None = None, *, body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(data)
