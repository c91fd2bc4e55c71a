# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The export service of generations A and B."""

from __future__ import annotations

import datetime
import time
import traceback

import psycopg2

from . import clock, failures, files, transfer
from .ingest_ab import RowGone, set_error
from .queues import Row
from .service import Worker

POST_TIMEOUT = 600.0
ORDINARY = ("transfer", "http500", "timeout", "connection", "md5")


class UrlError(Exception):
    """One of the few errors that upstream's service records."""


class UnexpectedError(Exception):
    """An error that it does not expect: the row stays in progress, and nothing is written."""


class ExportAB(Worker):
    """service_export_queue.py before the rewrite."""

    def step(self) -> None:
        row = None
        try:
            row = self.queue.pop()
            if row is None:
                self.nothing()
                if self.running or not self.options.empty:
                    self._retry()
                return
            self.taken("Exporting %s, (%d in queue)", row["filename"], self.queue.length())
            self._one(row)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            raise
        except psycopg2.IntegrityError as error:
            self.queue.rollback()
            self.log.error("Nothing on export queue - Exception: %s", error, at=self.place(142))
            self.log.info("* Throttling: will sleep for %d seconds", 2, at=self.place(65))
            time.sleep(2)
        except Exception as error:  # noqa: BLE001 - upstream logs whatever it is, and goes on
            self.log.error(
                "File %s - Exception: %s : %s... %s",
                row["filename"] if row else None,
                type(error),
                error,
                "".join(traceback.format_tb(error.__traceback__)),
                at=self.place(149),
            )
            self.queue.rollback()
            time.sleep(self.config.error_sleep)

    def _one(self, row: Row) -> None:
        try:
            outcome = self._export(row)
        except UrlError as error:
            self.log.info("Problem Exporting File - Rolling back", at=self.place(118))
            set_error(self.queue, row, error, "EXPORT")
            raise
        if outcome == "done":
            files.note(self.queue, row, "done")
            if not self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"]):
                raise RowGone("Class 'builtins.NoneType' is not mapped")
        elif outcome == "pending" and self.config.generation == "B":
            later = clock.local() + datetime.timedelta(seconds=10)
            self.queue.execute("UPDATE {table} SET after = %(after)s, inprogress = false WHERE id = %(id)s", after=later, id=row["id"])
        else:
            self.log.info("Exportqueue id %d DID NOT TRANSFER", row["id"], at=self.place(131))
            self._set_last_failed(row)
        self.queue.commit()

    def _set_last_failed(self, row: Row) -> None:
        """A: the row stays in progress until a retry clears it. B: it is marked failed as well."""
        text = "UPDATE {table} SET lastfailed = %(now)s WHERE id = %(id)s"
        if self.config.generation == "B":
            text = "UPDATE {table} SET lastfailed = %(now)s, failed = true WHERE id = %(id)s"
        if not self.queue.execute(text, now=clock.local(), id=row["id"]):
            raise RowGone("'NoneType' object has no attribute 'lastfailed'")

    def _export(self, row: Row) -> str:
        """`done`, `failed` or `pending`."""
        failure = failures.find(self.config, row["filename"])
        if self.config.strict:
            present = self.files.present(self.files.file_id(row["filename"]))
            self.queue.commit()
            if len(present) != 1 and self.config.generation == "A":
                raise UnexpectedError("{} rows were found for one()".format("No" if not present else "Multiple"))
            if len(present) != 1:
                self.log.error("Could not find present diskfile for File entry with name %s", files.trimmed(row["filename"]), at="exportqueue:245")
                return "failed"
        if failure is not None:
            return self._fail(row, failure)
        if self.config.real:
            return self._really_export(row)
        self.log.info("Transferring file %s to destination %s", row["filename"], row["destination"], at="exportqueue:213")
        self.work(row)
        return "done"

    def _really_export(self, row: Row) -> str:
        """The same over HTTP. The question has no time-out, and names the file as it is: one with .bz2 is never found."""
        filename, destination = row["filename"], row["destination"]
        try:
            there = transfer.ask(destination, None, filename, None)
            found = self.queue.fetch("SELECT data_md5 FROM diskfile WHERE filename = %(f)s AND present", f=filename)
            self.queue.commit()
            if there.md5 is not None and found and found[0]["data_md5"] == there.md5:
                self.log.info("Data %s is already at %s with md5 %s", filename, destination, there.md5, at="exportqueue:168")
                return "done"
            if there.pending and self.config.generation == "B":
                return "pending"
            self.log.info("Transferring file %s to destination %s", filename, destination, at="exportqueue:213")
            self.work(row)
            transfer.send(destination, None, filename, transfer.source(self.config.storage_root, row["path"], filename), POST_TIMEOUT)
        except transfer.TransferError as error:
            if error.kind == "verification":
                self.log.error("%s", error, at="exportqueue:237")
            elif error.kind != "transfer":
                self.log.info("Error posting data to destination server at: %s/upload_file/%s", destination, filename, at="exportqueue:253")
            return "failed"
        return "done"

    def _fail(self, row: Row, failure: failures.Failure) -> str:
        if failure.kind == "hang":  # A's GET has no timeout
            while True:
                time.sleep(1)
        self.work(row)
        if failure.kind == "url":
            raise UrlError(f"<urlopen error {failure.text}>")
        if failure.kind == "pending":
            self.log.info("File %s queued for ingest on destination, failing export to requeue later", row["filename"], at="exportqueue:265")
            return "pending"
        if failure.kind in ORDINARY:
            self.log.info(
                "Error posting 2880 bytes of data to destination server at: %s/upload_file/%s", row["destination"], row["filename"], at="exportqueue:253"
            )
            return "failed"
        raise UnexpectedError(failure.text)

    def _retry(self) -> None:
        """Clear `inprogress` of what failed long enough ago. B leaves `failed`: (f,t), never tried again."""
        before = clock.local() - datetime.timedelta(minutes=self.options.retry_mins)
        number = self.queue.execute("UPDATE {table} SET inprogress = false WHERE inprogress = true AND lastfailed < %(before)s", before=before)
        if number:
            self.log.info("There are %d failed ExportQueue items to retry", number, at="exportqueue:275")
        self.queue.commit()
