# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a registry of container images: enough of the distribution protocol (version 2) that a real Docker Engine pulls from it.

    with Registry() as registry:
        registry.put("opensafely-core/python", "latest", busybox_root(), note="one")
        engine.docker("pull", f"{registry.host}/opensafely-core/python:latest")
        registry.put("opensafely-core/python", "latest", busybox_root(), note="two")   # the tag stands for another image now
        registry.refuse = True                                                        # 503 for everything

It listens on the loopback interface, where engines speak plain HTTP. Nothing is stored beyond its life.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass
class Registry:
    """Manifests by repository and reference, blobs by digest; what was asked for, in order."""

    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuse: bool = False

    def __enter__(self) -> Registry:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        """Name and port, as names of images begin."""
        return f"127.0.0.1:{self._server.server_port}"

    def put(self, repository: str, tag: str, root: bytes, note: str = "") -> str:
        """An image of one layer, a tar of its root; another `note` makes another image. Its digest."""
        layer = gzip.compress(root, mtime=0)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"note": note}},
            "rootfs": {"type": "layers", "diff_ids": [digest(root)]},
            "history": [{"created_by": "the laboratory"}],
        }
        described = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(CONFIG, described),
            "layers": [self._blob(LAYER, layer)],
        }
        text = json.dumps(manifest).encode()
        self.manifests[repository, tag] = self.manifests[repository, digest(text)] = text
        return digest(text)

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        self.blobs[digest(content)] = content
        return {"mediaType": kind, "size": len(content), "digest": digest(content)}

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, type and content."""
        if self.refuse:
            return 503, "application/json", _error("UNAVAILABLE", "the registry is not available")
        parts = path.partition("?")[0].strip("/").split("/")
        if parts == ["v2"]:
            return 200, "application/json", b"{}"
        repository, kind, reference = "/".join(parts[1:-2]), parts[-2], parts[-1]
        if kind == "manifests":
            found = self.manifests.get((repository, reference))
            return (200, MANIFEST, found) if found is not None else (404, "application/json", _error("MANIFEST_UNKNOWN", "manifest unknown"))
        blob = self.blobs.get(reference)
        return (200, "application/octet-stream", blob) if blob is not None else (404, "application/json", _error("BLOB_UNKNOWN", "blob unknown"))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            registry.asked.append(f"{self.command} {self.path}")
            status, kind, content = registry.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            if kind == MANIFEST:
                self.send_header("Docker-Content-Digest", digest(content))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815  the name that the server looks for

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    return Handler
