# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The export service of generation C."""

from __future__ import annotations

import datetime
import time

import psycopg2

from . import clock, failures, files, transfer
from .ingest_c import ObjectDeletedError, crashed, refresh, set_error
from .queues import Row
from .service import Worker

HTTP_TIMEOUT = 10.0
POST_ERRORS = {
    "http500": "Bad HTTP status: 500 from upload post to url: {url}",
    "timeout": "Timeout posting to: {url}",
    "hang": "Timeout posting to: {url}",
    "connection": "ConnectionError posting to: {url}",
    "url": "ConnectionError posting to: {url}",
}


class ExportC(Worker):
    """service_export_queue.py after the rewrite."""

    def step(self) -> None:
        row: Row | None = None
        try:
            row = self.queue.pop()
            if row is None:
                self.nothing()
                if self.running or not self.options.empty:
                    self._retry()
                return
            if self.options.fast_rebuild:
                self.taken("Exporting %s - %s", row["filename"], row["id"])
            else:
                self.taken("Exporting %s - %d (%d on queue)", row["filename"], row["id"], self.queue.length())
            self._export(row)
        except Exception:
            crashed(self, row)
            raise

    def _export(self, row: Row) -> None:
        failure = failures.find(self.config, row["filename"])
        if failure is None and self.config.real:
            self._really_export(row)
            return
        if failure is not None and failure.kind == "transfer":
            self._error(row, "exporter:105", "Failed to get destination file info for filename {}. Marking transfer as failed.".format(row["filename"]))
            return
        if failure is not None and failure.kind == "pending":
            self._postpone(row)
            return
        if not self._diskfile_ok(row):
            return
        self.log.info(
            "Transferring file %s/%s to destination %s: %s/%s",
            row["path"],
            row["filename"],
            row["destination"],
            row["path"],
            row["filename"],
            at="exporter:233",
        )
        self.queue.commit()
        self.work(row)
        if failure is not None:
            self._fail(row, failure)
            return
        self.log.info("Transfer completed: %.2f MB in %.1f secs - %.2f MB/sec", 1.0, 0.1, 10.0, at="exporter:279")
        self._done(row)

    def _really_export(self, row: Row) -> None:
        """The same over HTTP: asked first, posted if the data differ."""
        filename, path, destination = row["filename"], row["path"] or "", row["destination"]
        try:
            there = transfer.ask(destination, path, filename, HTTP_TIMEOUT)
        except transfer.TransferError as error:
            self.log.error("%s", error, at="exporter:366")
            self._error(row, "exporter:105", f"Failed to get destination file info for filename {filename}. Marking transfer as failed.")
            return
        if there.pending:
            self._postpone(row)
            return
        if not self._diskfile_ok(row):
            return
        found = self.queue.fetch("SELECT data_md5 FROM diskfile WHERE filename = %(f)s AND path = %(p)s AND present", f=filename, p=path)
        self.queue.commit()
        if found and found[0]["data_md5"] == there.md5:
            self.log.info("File %s/%s is already at destination %s with correct data_md5, skipping export", path, filename, destination, at="exporter:165")
            self._done(row)
            return
        self.log.info("Transferring file %s/%s to destination %s: %s/%s", path, filename, destination, path, filename, at="exporter:233")
        self.work(row)
        started = time.monotonic()
        try:
            size = transfer.send(destination, path, filename, transfer.source(self.config.storage_root, path, filename), HTTP_TIMEOUT) / 2**20
        except transfer.TransferError as error:
            self._error(row, "exporter:105", str(error))
            if error.kind != "verification":
                self._delay_destination(destination)
            return
        seconds = max(time.monotonic() - started, 0.001)
        self.log.info("Transfer completed: %.2f MB in %.1f secs - %.2f MB/sec", size, seconds, size / seconds, at="exporter:279")
        self._done(row)

    def _done(self, row: Row) -> None:
        row = refresh(self.queue, row)
        files.note(self.queue, row, "done")
        if not self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"]):
            raise ObjectDeletedError("Instance '{}' has been deleted.".format(row["id"]))
        self.queue.commit()

    def _error(self, row: Row, place: str, message: str) -> None:
        self.log.error(message, at=place)
        set_error(self.queue, row, message)

    def _postpone(self, row: Row) -> None:
        self.log.info(
            "File %s is ingest pending at destination %s. Deferring ingest for %d seconds", row["filename"], row["destination"], 40, at="exporter:141"
        )
        self.queue.execute(
            "UPDATE {table} SET after = %(after)s, inprogress = false WHERE id = %(id)s", after=clock.utc() + datetime.timedelta(seconds=40), id=row["id"]
        )
        self.queue.commit()

    def _diskfile_ok(self, row: Row) -> bool:
        """Two present diskfiles are always an error; none is one only where files count (`strict`)."""
        found = self.queue.fetch("SELECT id FROM diskfile WHERE filename = %(f)s AND path = %(p)s AND present", f=row["filename"], p=row["path"])
        if len(found) > 1:
            self._error(
                row,
                "exporter:105",
                "Multiple present diskfile entries found for filename {}, path {}. DATABASE IS CORRUPTED, Aborting Export and marking as failed".format(
                    row["filename"], row["path"]
                ),
            )
            return False
        if not found and self.config.strict:
            self._error(
                row,
                "exporter:105",
                "Cannot find present filename {}, path {} in diskfile table. Attempt to export a non-existent file. Marking export as failed.".format(
                    row["filename"], row["path"]
                ),
            )
            return False
        return True

    def _fail(self, row: Row, failure: failures.Failure) -> None:
        url = "{}/upload_file/{}/{}.bz2".format(row["destination"], row["path"], files.trimmed(row["filename"]))
        if failure.kind == "md5":
            self._error(row, "exporter:105", "Transfer Verification md5 mismatch: {} vs {}".format("0" * 32, "1" * 32))
            return
        if failure.kind not in POST_ERRORS:
            raise RuntimeError(failure.text)
        self._error(row, "exporter:105", POST_ERRORS[failure.kind].format(url=url))
        self._delay_destination(row["destination"])

    def _delay_destination(self, destination: str) -> None:
        after = clock.utc() + datetime.timedelta(seconds=300)
        self.log.info("Delaying all exports to %s by %d seconds until %s", destination, 300, after, at="exporter:457")
        self.queue.execute("UPDATE {table} SET after = %(after)s WHERE destination = %(d)s", after=after, d=destination)
        self.queue.commit()

    def _retry(self) -> None:
        """Un-fail every failed row, to be tried after a delay: local time, though `after` is UTC."""
        failed = self.queue.fetch("SELECT id FROM {table} WHERE inprogress = false AND fail_dt <> %(never)s", never=clock.FOR_EVER)
        after = clock.local() + datetime.timedelta(seconds=self.options.delay)
        for row in failed:
            try:
                self.queue.execute(
                    "UPDATE {table} SET fail_dt = %(never)s, after = %(after)s WHERE id = %(id)s", never=clock.FOR_EVER, after=after, id=row["id"]
                )
                self.queue.commit()
            except psycopg2.IntegrityError:
                self.queue.rollback()
        self.queue.commit()
