# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server, with what goes wrong below the API."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.sesam.standin import auth, routes
from lab.sesam.standin.messages import Answer, Request
from lab.sesam.standin.settings import REQUESTS
from lab.sesam.standin.state import State

PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to go on</body></html>\n"
QUIET = (BrokenPipeError, ConnectionResetError, ssl.SSLError, socket.timeout)
_recording = threading.Lock()


class Server(ThreadingHTTPServer):
    """It knows its node."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, node: State, secret: str) -> None:
        self.node, self.secret = node, secret
        super().__init__((node.settings["address"], node.settings["port"]), Handler)
        if node.settings["certificate"]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(node.settings["certificate"])
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def server_bind(self) -> None:
        """Without asking who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are nothing to tell anybody."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "lake"
    sys_version = ""
    server: Server

    def _serve(self) -> None:
        node = self.server.node
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request.of(self.command, self.path, self.headers, body)
        if self.headers.get("X-Lab-Health") == self.server.secret:
            request.who = auth.HEALTH
        try:
            self._hold(request)
            given = Answer(200, PAGE, "text/html") if node.settings["not_json"] else routes.answer(node, request)
            self._record(request, given.status)
            self._send(given)
        except QUIET:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _hold(self, request: Request) -> None:
        """Nobody answers, or slowly."""
        settings = self.server.node.settings
        path = "/".join(request.parts)
        held = False
        while settings["frozen_api"] or any(path.startswith(prefix) for prefix in settings["frozen_paths"]):
            if not held:
                self._record(request, 0)
            held = True
            time.sleep(0.1)
        time.sleep(settings["slow_seconds"] if request.who != auth.HEALTH else 0)

    def _send(self, given: Answer) -> None:
        cut = self.server.node.settings["cut_answers"]
        self.send_response(given.status)
        self.send_header("Content-Type", given.kind)
        for name, value in given.headers.items():
            self.send_header(name, value)
        if isinstance(given.body, bytes):
            self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            self.wfile.write(given.body[: len(given.body) // 2] if cut else given.body)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number, piece in enumerate(given.body):
                if cut and number:
                    break
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if not cut:
                self.wfile.write(b"0\r\n\r\n")
        if cut:
            self.close_connection = True

    def _record(self, request: Request, status: int) -> None:
        """For tests; a token is nothing to keep."""
        fields = {name: value for name, value in request.form.items() if name != "password"}
        entry: dict[str, Any] = {"method": request.method, "path": request.path, "query": request.query, "status": status, "who": request.who, "form": fields}
        entry.update(profiler=self.headers.get(routes.HEADER), accept=self.headers.get("Accept"), at=time.time())
        node = self.server.node
        with _recording, open(node.settings.folder / REQUESTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        node.logs.write("node_access", f"{self.client_address[0]} {request.who or '-'} {request.method} {request.path} {status}")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  as the library calls it
        """There are files for that."""
