# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the web site of a FITS server or of the archive: one WSGI application, with the real database behind it.

/jsonfilelist/<selection>, /searchform/<selection>, /summary/nolinks/<selection>, POST /upload_file/<path>/<name>, and /.
`<root>/data/web` misleads it: lines `<mode> [regular expression on the path]`, the first that fits counts.

    ok                 as if there were no line
    500                an exception, with its traceback in the server's error log
    hang               no answer until the line is gone
    pending            every file has a row on the ingest queue
    refused            the JSON pages answer with a page for people
    bad_md5            uploads are acknowledged with another checksum
"""

from __future__ import annotations

import datetime
import hashlib
import html
import json
import os
import re
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from . import fileops, queues, selection, settings
from .queues import Queue, Row

LIMIT = 600.0  # seconds that a request hangs at most
NOISE = "WARNING: VerifyWarning: Card is too long, comment will be truncated. [astropy.io.fits.card]"
Answer = tuple[str, str, str]  # status, type, text


class Site:
    """The application of one root."""

    def __init__(self, config: settings.Settings) -> None:
        self.config = config

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        mode = self._mode(path)
        started = time.monotonic()
        while mode == "hang" and time.monotonic() - started < LIMIT:
            time.sleep(0.2)
            mode = self._mode(path)
        try:
            if mode == "500":
                raise RuntimeError(f"no such column while answering {path}")
            status, kind, text = self._answer(environ, path, mode)
        except Exception:  # noqa: BLE001 - upstream's application answers 500 to whatever it is
            print(traceback.format_exc(), file=environ["wsgi.errors"], flush=True)
            status, kind, text = "500 Internal Server Error", "text/html", "<html><body>500 Internal Server Error</body></html>"
        body = text.encode()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def _mode(self, path: str) -> str:
        try:
            with open(os.path.join(self.config.root, "data", "web"), encoding="utf-8") as handle:
                lines = [line.split(None, 1) for line in handle if line.strip()]
        except FileNotFoundError:
            return "ok"
        return next((line[0] for line in lines if len(line) == 1 or re.search(line[1].strip(), path)), "ok")

    def _answer(self, environ: dict[str, Any], path: str, mode: str) -> Answer:
        page, _slash, rest = path.strip("/").partition("/")
        if page == "":
            return "200 OK", "text/html", "<html><title>Gemini Archive</title><body>stand-in</body></html>"
        if page == "upload_file":
            return self._upload(environ, rest, mode)
        if page == "jsonfilelist" and mode == "refused":
            return "200 OK", "text/html", "<html><body>Please log in</body></html>"
        if page == "jsonfilelist":
            return "200 OK", "application/json", json.dumps(self._with_queue(rest, mode), default=_plain, indent=4)
        if page in ("searchform", "summary"):
            print(NOISE, file=environ["wsgi.errors"], flush=True)
            return "200 OK", "text/html", self._table(rest.removeprefix("nolinks/"))
        return "404 Not Found", "text/html", "<html><body>404 Not Found</body></html>"

    def _find(self, text: str, *conditions: str) -> list[Row]:
        connection = queues.connect(self.config.database or "")
        try:
            return selection.find(Queue(connection, self.config.generation, "ingest"), text, *conditions)
        finally:
            connection.close()

    def _with_queue(self, text: str, mode: str) -> list[Row]:
        """Engineering files too. `pending_ingest` counts every row that begins alike, failed or not."""
        connection = queues.connect(self.config.database or "")
        try:
            queue = Queue(connection, self.config.generation, "ingest")
            rows = selection.find(queue, text)
            for row in rows:
                waiting = queue.fetch("SELECT count(*) AS n FROM {table} WHERE filename LIKE %(n)s || '%%'", n=row["name"])[0]["n"]
                row.update(size=row["file_size"], md5=row["file_md5"], pending_ingest=waiting > 0 or mode == "pending")
        finally:
            connection.close()
        hidden = ("program_id", "qa_state", "engineering")
        return [{name: value for name, value in row.items() if name not in hidden} for row in sorted(rows, key=lambda row: str(row["filename"]))]

    def _table(self, text: str) -> str:
        """Without engineering, unless the selection asks for it."""
        parts = text.split("/")
        conditions = ["diskfile.canonical"]
        if not {"engineering", "includeengineering"} & set(parts):
            conditions.append("NOT header.engineering")
        unknown = selection.unknown(text)
        warning = f"<p>WARNING: I didn't recognize the following search terms: {html.escape(', '.join(unknown))}</p>" if unknown else ""
        rows = "".join(f"<tr><td>{html.escape(row['name'])}</td><td>{row['program_id']}</td></tr>" for row in self._find(text, *conditions))
        return f"<html><body>{warning}<table>{rows}</table></body></html>"

    def _upload(self, environ: dict[str, Any], rest: str, mode: str) -> Answer:
        """Acknowledged as soon as it is in the staging directory; the file-operations service does the rest."""
        path, _slash, filename = rest.rpartition("/")
        if environ["REQUEST_METHOD"] != "POST" or not filename or ".." in path.split("/"):
            return "406 Not Acceptable", "text/html", ""
        content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        directory = os.path.join(self.config.upload_staging, path)
        os.makedirs(directory, mode=0o775, exist_ok=True)
        with open(os.path.join(directory, filename), "wb") as handle:
            handle.write(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self._queue_upload(filename, path)
        verification = {"filename": filename, "path": path, "size": len(content), "md5": "0" * 32 if mode == "bad_md5" else md5}
        return "200 OK", "application/json", json.dumps([verification])

    def _queue_upload(self, filename: str, path: str) -> None:
        connection = queues.connect(self.config.database or "")
        try:
            arguments = {"filename": filename, "path": path, "processed_cal": False, "fileuploadlog_id": None}
            Queue(connection, "C", "fileops").add(fileops.request("ingest_upload", arguments, False))
        finally:
            connection.close()


def _plain(value: Any) -> Any:
    return value.isoformat(" ") if isinstance(value, datetime.datetime) else str(value)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What mod_wsgi and uwsgi look for."""
    return _site(environ, start_response)


_site = Site(settings.load(__file__))
