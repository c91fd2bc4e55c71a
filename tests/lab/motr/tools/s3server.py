# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal interface of s3server, as far as it is asked here: records and listings of the cluster's indices."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lab.motr.tools.cluster import Cluster


class S3Server:
    """On loopback, as long as its context lasts."""

    def __init__(self, cluster: Cluster) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                status, body = server.answer(cluster, self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """It says nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> S3Server:
        self.thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def answer(self, cluster: Cluster, path: str) -> tuple[int, bytes]:
        parts = urlsplit(path)
        words = parts.path.split("/", 3)
        if len(words) < 3 or words[1] != "indexes" or "-" not in words[2]:
            return 400, b"<Error><Code>BadRequest</Code></Error>"
        high, low = (int.from_bytes(base64.b64decode(half, validate=True), "little") for half in unquote(words[2]).split("-"))
        records = cluster.records(f"{high:x}:{low:x}")
        if len(words) == 3:
            return 200, json.dumps(self.listing(records, {name: values[0] for name, values in parse_qs(parts.query).items()})).encode()
        found = records.get(unquote(words[3]).encode())
        return (404, b"<Error><Code>NoSuchKey</Code></Error>") if found is None else (200, found)

    def listing(self, records: dict[bytes, bytes], query: dict[str, str]) -> dict[str, Any]:
        """The marker itself is left out."""
        keys = sorted(key for key in records if key > query.get("marker", "").encode() and key.startswith(query.get("prefix", "").encode()))
        count = int(query.get("max-keys", "1000"))
        more = len(keys) >= count
        rows = [{"Key": key.decode(), "Value": records[key].decode()} for key in keys[:count]]
        return {"Keys": rows or None, "IsTruncated": "true" if more else "false", "NextMarker": rows[-1]["Key"] if more else ""}
