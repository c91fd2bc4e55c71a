# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file-operations service of generation C: `echo` and `ingest_upload`.

A row with `response_required` stays in progress, with its response, until the caller deletes it; so does every row whose
request failed, and none of them is marked as failed.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from . import clock
from .queues import Queue, Row, new_row
from .service import Worker


class FileOpsError(Exception):
    """The request cannot be carried out."""


class FileOps(Worker):
    """service_fileops_queue.py."""

    def step(self) -> None:
        row = self.queue.pop()
        if row is None:
            self.nothing()
            return
        self.taken("Popped queue id %d to process", row["id"])
        try:
            response = {"ok": True, "error": "", "value": self._carry_out(json.loads(row["request"]))}
        except FileOpsError as error:
            self._answer(row, {"ok": False, "error": str(error), "value": ""})
            return
        except Exception:  # noqa: BLE001 - upstream answers whatever it is, and goes on
            message = "Error decoding JSON request document: {}".format(row["request"])
            self._answer(row, {"ok": False, "error": message, "value": ""}, exc_info=True)
            return
        if row["response_required"] is False:
            self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"])
            self.queue.commit()
        else:
            self._answer(row, response)

    def _answer(self, row: Row, response: dict[str, Any], exc_info: bool = False) -> None:
        if not response["ok"]:
            self.log.error("%s", response["error"], at="fileopser:92", exc_info=exc_info)
        self.queue.execute("UPDATE {table} SET response = %(r)s WHERE id = %(id)s", r=json.dumps(response), id=row["id"])
        self.queue.commit()

    def _carry_out(self, request: dict[str, Any]) -> Any:
        for key in ("request", "args"):
            if key not in request:
                raise FileOpsError(f"Request dict must contain {key} key")
        workers = {"echo": lambda args: args["echo"], "ingest_upload": self._ingest_upload}
        if request["request"] not in workers:
            raise FileOpsError("No worker function for request: {}".format(request["request"]))
        return workers[request["request"]](request["args"])

    def _ingest_upload(self, arguments: dict[str, Any]) -> bool:
        """What the web server put into the staging directory goes to the storage root and on the ingest queue."""
        filename, path = arguments["filename"], arguments["path"]
        self.log.info("ingest_upload: filename='%s', path='%s', fileuploadlog_id=None, processed_cal=False batch=None", filename, path, at="fileops:67")
        target = os.path.join(self.config.storage_root, path, filename)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(self.config.upload_staging, path, filename), target)
            os.unlink(os.path.join(self.config.upload_staging, path, filename))
        except OSError:
            self.log.error("Error copying file to storage_root.", at="fileops:132", exc_info=True)
            return False
        self.log.info("Queueing for Ingest: %s", target, at="fileops:138")
        Queue(self.queue.connection, "C", "ingest").add(new_row("C", "ingest", filename, path))
        return True


def request(name: str, arguments: dict[str, Any], response_required: bool) -> Row:
    """A new row of the queue."""
    now = clock.utc()
    return {
        "filename": None,
        "inprogress": False,
        "response_required": response_required,
        "fail_dt": clock.FOR_EVER,
        "added": now,
        "after": now,
        "sortkey": now,
        "request": json.dumps({"request": name, "args": arguments}),
        "response": None,
        "batch": None,
    }
