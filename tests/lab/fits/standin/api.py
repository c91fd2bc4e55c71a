# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""api_backend.py of generations A and B: one thread, POST only, on localhost:8000.

Whatever is not a known POST ends in 500, as upstream's error answers are text where WSGI wants bytes. A health check
that asks for `GET /` therefore sees 500 from a healthy server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import wsgiref.simple_server
from collections.abc import Callable, Iterable
from typing import Any

from . import clock, fitsfile, queues, settings
from .log import Log
from .queues import Queue, new_row

ADDRESS = ("localhost", 8000)


class ApiError(Exception):
    """Answered as JSON with status 200, as upstream's errors of an operation are."""


class Backend:
    """The application. `log` is the only way to see what it does."""

    def __init__(self, config: settings.Settings, log: Log) -> None:
        self.config = config
        self.log = log
        self.routes: dict[str, Callable[..., Any]] = {
            "/log": self._log,
            "/set_image_metadata": self._set_image_metadata,
            "/ingest_upload": self._ingest_upload,
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[Any]:
        route = self.routes.get(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if route is None:
            message = "'{}' is not a valid method for this server".format(environ["REQUEST_METHOD"])
            self.log.error("[405] %s", message, at="api_backend:178")
            start_response("405 Method not Allowed", [("Content-Type", "application/json")])
            return [json.dumps({"error": message})]  # text: wsgiref makes a 500 of it
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            answer = {"result": route(**json.loads(body))}
        except (ApiError, TypeError, ValueError) as error:
            answer = {"error": str(error)}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def _log(self, message: str, args: Iterable[Any] = (), level: int = 20) -> bool:
        self.log.info(message, *args, at="api_backend:156")
        return True

    def _set_image_metadata(self, path: str, changes: dict[str, Any], reject_new: bool = False) -> bool:
        """Changing a header is left out; that the file must open is not."""
        try:
            fitsfile.primary(path)
        except (fitsfile.NotFits, OSError):
            raise ApiError(f"There were problems when opening/modifying the file: {path}") from None
        self.log.info("fits_apply_changes: %s [%s]", path, str(changes), at="api_backend:69")
        return bool(changes)

    def _ingest_upload(self, filename: str, fileuploadlog_id: int | None = None, processed_cal: bool = False) -> bool:
        self.log.info("ingest_upload: filename: %s, fileuploadlog_id: %s, processed_cal: %s", filename, fileuploadlog_id, processed_cal, at="api_backend:95")
        path = "reduced_cals" if processed_cal else ""
        source, target = os.path.join(self.config.upload_staging, filename), os.path.join(self.config.storage_root, path, filename)
        try:
            shutil.copy(source, target)
            os.unlink(source)
        except OSError as error:
            raise ApiError(f"Error when trying to move a file into the storage: {str(error)!r}") from error
        self.log.info("Queueing for Ingest: %s", target, at="api_backend:145")
        connection = queues.connect(self.config.database or "")
        try:
            Queue(connection, self.config.generation, "ingest").add(new_row(self.config.generation, "ingest", filename, path))
        finally:
            connection.close()
        return True


def main(script: str) -> None:
    """The script."""
    parser = argparse.ArgumentParser("Backend server for the Apache frontend. Performs operations as a separate user")
    for flag in ("debug", "demon"):
        parser.add_argument("--" + flag, action="store_true")
    options = parser.parse_args()
    config = settings.load(script)
    log = Log(config.log_dir, config.generation)
    log.configure(options.debug, options.demon, None)
    log.info("*********  api_backend.py - starting up at %s", clock.local(), at="api_backend:226")
    log.info("Server is at %s:%s", *ADDRESS, at="api_backend:234")

    class Handler(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            log.info("%s - - [%s] " + format, self.client_address[0], self.log_date_time_string(), *args, at="api_backend:208")

    with wsgiref.simple_server.make_server(*ADDRESS, Backend(config, log), handler_class=Handler) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit("\nExiting after Ctrl-c")
