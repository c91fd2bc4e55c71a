# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ingest service of generation C."""

from __future__ import annotations

import datetime
import os

import psycopg2

from . import clock, failures, files, fitsfile
from .queues import Queue, Row, new_row
from .service import Worker


class ObjectDeletedError(Exception):
    """Someone deleted the row that this process works on."""


def refresh(queue: Queue, row: Row) -> Row:
    """Upstream's object is read again after every commit; that fails once the row is gone."""
    rows = queue.fetch("SELECT * FROM {table} WHERE id = %(id)s", id=row["id"])
    if not rows:
        raise ObjectDeletedError("Instance '{}' has been deleted, or its row is otherwise not present.".format(row["id"]))
    return rows[0]


def set_error(queue: Queue, row: Row, message: str) -> None:
    """Append the message with a blank line between, and fail the row at local time."""
    queue.execute(
        "UPDATE {table} SET error = CASE WHEN error IS NULL THEN %(text)s ELSE error || E'\\n\\n' || %(text)s END,"
        " inprogress = false, fail_dt = %(now)s WHERE id = %(id)s",
        text=message,
        now=clock.local(),
        id=row["id"],
    )
    queue.commit()


def crashed(worker: Worker, row: Row | None) -> None:
    """What C does about an exception that it did not expect, before it lets itself die of it."""
    name = f"service_{worker.queue.name}_queue"
    line = {"ingest": (201, 213, 217), "export": (145, 145, 156)}[worker.queue.name]
    worker.log.error("Unhandled Exception in %s!", name, exc_info=True, at=worker.place(line[0]))
    message = f"Unknown Error - no {worker.queue.name.capitalize()}QueueEntry instance"
    if row is not None:
        try:
            worker.queue.rollback()
            row = refresh(worker.queue, row)
            message = "Exception in {} while processing {}".format(name, row["filename"])
            worker.queue.execute(
                "UPDATE {table} SET fail_dt = %(now)s, inprogress = false, error = %(text)s WHERE id = %(id)s", now=clock.local(), text=message, id=row["id"]
            )
            worker.queue.commit()
        except (ObjectDeletedError, psycopg2.Error):
            worker.log.error("Exception while trying to handle exception in %s", name, exc_info=True, at=worker.place(line[1]))
    worker.log.error(message, at=worker.place(line[2]))


class IngestC(Worker):
    """service_ingest_queue.py after the rewrite."""

    def step(self) -> None:
        row: Row | None = None
        try:
            row = self.queue.pop()
            if row is None:
                self.nothing()
                return
            if self.options.fast_rebuild:
                self.taken("Ingesting %s - %s", row["filename"], row["id"])
            else:
                self.taken("Ingesting %s - %s (%d on queue)", row["filename"], row["id"], self.queue.length())
            if not self._deferred(row):
                self._ingest(row)
        except Exception:
            crashed(self, row)
            raise

    def _deferred(self, row: Row) -> bool:
        """A file that was modified just now waits for some seconds."""
        full = files.full_path(self.config, row)
        off = self.options.no_defer or row["no_defer"] or not self.config.strict or self.config.defer <= 0
        if off:
            return False
        wait = datetime.timedelta(seconds=self.config.defer)
        if clock.local() - datetime.datetime.fromtimestamp(os.path.getmtime(full)) >= wait:
            return False
        self.log.info("Deferring ingestion of recently modified file %s for %d seconds", row["filename"], self.config.defer, at=self.place(145))
        try:
            self.queue.execute("UPDATE {table} SET after = %(after)s, inprogress = false WHERE id = %(id)s", after=clock.utc() + wait, id=row["id"])
            self.queue.commit()
        except psycopg2.IntegrityError:  # the same file was queued again meanwhile
            self.log.error(
                "Likely Deferred file race condition in service_ingest_queue. Deleting current queue entryand logging exception for reference.",
                exc_info=True,
                at=self.place(155),
            )
            self.queue.rollback()
            self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"])
            self.queue.commit()
        return True

    def _ingest(self, row: Row) -> None:
        failure = failures.find(self.config, row["filename"])
        full = files.full_path(self.config, row)
        missing = self.config.strict and not files.readable(full)
        if missing or (failure is not None and failure.kind == "cannot_access"):
            message = f"Cannot access {full}"
            self.log.error(message, at="ingester:168")
            set_error(self.queue, row, message)
            return
        file_id = self.files.file_id(row["filename"])
        self.queue.commit()
        row = refresh(self.queue, row)
        if not (self._needed(row, file_id, full) or row["force"]):
            self._finish(row, "unchanged")
            return
        self.files.retire(file_id, row["path"])
        self.queue.commit()
        row = refresh(self.queue, row)
        self.log.info("Adding new DiskFile entry for file name %s - id %s", files.trimmed(row["filename"]), file_id, at="ingester:374")
        self.queue.commit()
        self.work(row, 0.5)
        row = refresh(self.queue, row)
        diskfile_id = self.files.add(file_id, row, full)
        self.queue.commit()
        self.work(row, 0.5)
        row = refresh(self.queue, row)
        header = None
        if failure is None and self.config.real and ".fits" in row["filename"]:
            try:
                header = fitsfile.primary(full)
            except fitsfile.NotFits as error:
                failure = failures.Failure("error", f"Failed to open astrodata object on file: {full}. {error}")
        if failure is None:
            self.files.add_header(diskfile_id, row["filename"], header)
            self.queue.commit()
            self._delete_failed(row)
        else:
            self._fail(row, failure)
        for destination in self.config.export_destinations:
            self._export(row, destination)
        if failure is None:
            self._finish(row, "done")

    def _needed(self, row: Row, file_id: int, full: str) -> bool:
        present = self.files.present(file_id, row["path"])
        if len(present) > 1:
            self.log.error(
                "Database Integrity Error - multiple diskfiles marked as present for file id %s at path %s. Aborting Ingest",
                file_id,
                row["path"],
                at="ingester:287",
            )
            return False
        if present and self.config.strict:
            return not self.files.unchanged(present[0], full, row["force_md5"])
        return True

    def _fail(self, row: Row, failure: failures.Failure) -> None:
        if failure.kind == "crash":
            raise RuntimeError(failure.text)
        self.log.error(failure.text, at="ingester:555")
        set_error(self.queue, row, failure.text)

    def _delete_failed(self, row: Row) -> None:
        """In the open transaction: a refused export below undoes it, though the log says it was done."""
        failed = self.queue.fetch(
            "SELECT id FROM {table} WHERE fail_dt <> %(never)s AND filename = %(f)s AND path = %(p)s",
            never=clock.FOR_EVER,
            f=row["filename"],
            p=row["path"],
        )
        for entry in failed:
            self.log.info("Deleting failed ingestqueue entry %d having successfully ingested file.", entry["id"], at="ingester:653")
            self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=entry["id"])

    def _export(self, row: Row, destination: str) -> None:
        self.log.info("Adding %s to exportqueue for destination: %s", row["filename"], destination, at="ingester:243")
        export = Queue(self.queue.connection, "C", "export")
        export.add(new_row("C", "export", row["filename"], row["path"], destination))

    def _finish(self, row: Row, outcome: str) -> None:
        files.note(self.queue, row, outcome)
        if not self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"]):
            raise ObjectDeletedError("Instance '{}' has been deleted.".format(row["id"]))
        self.queue.commit()
