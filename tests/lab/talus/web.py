# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the web application: the REST interface on port 80, with Apache's logs.

It reads from whatever member answers, and writes need a primary: pages that are shown prove nothing. It finds its database by the name that it is
linked to, whose address the container knows from its start on.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bson import ObjectId, json_util
from pymongo import MongoClient
from pymongo.errors import PyMongoError

COLLECTIONS = {
    **{name: name for name in ("result", "master", "slave", "task", "job", "code", "image")},
    "os": "o_s",
    "fileset": "file_set",
}
PATH = re.compile(r"^/api/(\w+)/(?:(\w+)/)?$")
PAGE = b"<html><head><title>Talus</title></head><body>Talus</body></html>"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server_version = "Apache/2.4.7 (Ubuntu)"
    sys_version = ""
    logs = Path("/logs/apache2")
    database = (os.environ.get("TALUS_DB_NAME", "/talus-db").rpartition("/")[2], 27017)

    def do_GET(self) -> None:
        """Pages and documents."""
        if urlsplit(self.path).path == "/":
            self._answer(200, PAGE, "text/html")
        else:
            self._api(self._read)

    def do_POST(self) -> None:
        """A new document, or new values."""
        self._api(self._write)

    do_PUT = do_POST  # noqa: N815

    def do_DELETE(self) -> None:
        """One less."""
        self._api(self._delete)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing goes to the terminal."""

    # -- the interface --------------------------------------------------------------------------------------------------

    def _api(self, act: Any) -> None:
        found = PATH.match(urlsplit(self.path).path)
        if found is None or found.group(1) not in COLLECTIONS:
            self._answer(404, b'{"detail": "Not found."}')
            return
        try:
            client: MongoClient[dict[str, Any]] = MongoClient(
                *self.database, directConnection=True, readPreference="nearest", serverSelectionTimeoutMS=3000, retryWrites=False
            )
            with client:
                code, value = act(client.talus[COLLECTIONS[found.group(1)]], found.group(2))
            self._answer(code, json_util.dumps(value).encode())
        except (PyMongoError, OSError):
            self._log("error.log", f"[:error] [pid 1] {traceback.format_exc()}")
            self._answer(500, b"<h1>Server Error (500)</h1>", "text/html")

    def _read(self, collection: Any, identity: str | None) -> tuple[int, Any]:
        if identity:
            document = collection.find_one({"_id": ObjectId(identity)})
            return (200, document) if document else (404, {"detail": "Not found."})
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        num, skip, sort = int(asked.pop("num", 0)), int(asked.pop("skip", 0)), asked.pop("sort", "_id")
        found = collection.find({name.replace("__", "."): value for name, value in asked.items()})
        return 200, list(found.sort(sort.lstrip("-"), -1 if sort.startswith("-") else 1).skip(skip).limit(num))

    def _write(self, collection: Any, identity: str | None) -> tuple[int, Any]:
        document = json_util.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if identity:
            collection.update_one({"_id": ObjectId(identity)}, {"$set": document})
            return 200, collection.find_one({"_id": ObjectId(identity)})
        collection.insert_one(document)
        return 201, document

    def _delete(self, collection: Any, identity: str | None) -> tuple[int, Any]:
        return (204, None) if collection.delete_one({"_id": ObjectId(identity)}).deleted_count else (404, {"detail": "Not found."})

    def _answer(self, code: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        agent = self.headers.get("User-Agent", "-")
        self._log("access.log", f'{self.client_address[0]} - - [{moment}] "{self.requestline}" {code} {len(body)} "-" "{agent}"')
        self._log("error.log", f"[core:trace3] [pid 1] request.c(293): [client {self.client_address[0]}] request authorized without authentication")

    def _log(self, name: str, line: str) -> None:
        with open(self.logs / name, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")


class Server(ThreadingHTTPServer):
    """It answers at once: the names of clients are not looked up."""

    daemon_threads = True
    address_family = socket.AF_INET


def main() -> None:
    """Port 80, and the port that is given for the development container."""
    Handler.logs.mkdir(parents=True, exist_ok=True)
    port = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 80
    with Server(("0.0.0.0", port), Handler) as server:  # noqa: S104
        server.serve_forever()


if __name__ == "__main__":
    main()
