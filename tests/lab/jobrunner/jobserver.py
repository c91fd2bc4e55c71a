# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of job-server: hands out requests, takes what is told of jobs, and can refuse.

Everything is in files of one folder, so that a test may look at it from outside, and change it while the server runs:

    posts.jsonl     what came in, one JSON object a line: method, path, headers, body
    requests.json   the list that GET job-requests/ answers
    mode            `ok`, a status to answer with instead (`500`), or `hang`

As a process: ``python -m lab.jobrunner.jobserver FOLDER PORT``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class JobServer:
    """Its folder, seen by a test; the server may run in this process or in another."""

    folder: Path
    url: str = ""

    @property
    def seen(self) -> list[dict[str, Any]]:
        """All that came in."""
        file = self.folder / "posts.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    @property
    def posts(self) -> list[dict[str, Any]]:
        """What was told of jobs."""
        return [entry for entry in self.seen if entry["method"] == "POST"]

    def refuse(self, status: int = 500) -> None:
        """Answer with an error."""
        (self.folder / "mode").write_text(str(status), encoding="utf-8")

    def hang(self) -> None:
        """Answer nothing."""
        (self.folder / "mode").write_text("hang", encoding="utf-8")

    def accept(self) -> None:
        """As it should be."""
        (self.folder / "mode").write_text("ok", encoding="utf-8")

    def request(self, **request: Any) -> None:
        """One more active request."""
        file = self.folder / "requests.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        part = file.with_suffix(".part")
        part.write_text(json.dumps([*(each for each in known if each["identifier"] != request["identifier"]), request]), encoding="utf-8")
        part.replace(file)

    @contextlib.contextmanager
    def serving(self, port: int = 0) -> Iterator[JobServer]:
        """In a thread of this process."""
        server = serve(self.folder, port)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/api/v2/"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def serve(folder: Path, port: int) -> ThreadingHTTPServer:
    """The server, on loopback."""
    writing = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = folder / "requests.json"
            self._answer({"results": json.loads(file.read_text(encoding="utf-8")) if file.exists() else []})

        def do_POST(self) -> None:
            self._answer({"status": "ok"})

        def _answer(self, content: Any) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            entry = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": json.loads(body) if body else None}
            with writing, open(folder / "posts.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            mode = (folder / "mode").read_text(encoding="utf-8").strip() if (folder / "mode").exists() else "ok"
            if mode == "hang":
                time.sleep(3600)
            status = 200 if mode == "ok" else int(mode)
            text = json.dumps(content if status == 200 else {"detail": "refused"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  as the library calls it
            pass

    folder.mkdir(parents=True, exist_ok=True)
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2])).serve_forever()
