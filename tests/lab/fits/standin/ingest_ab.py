# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ingest service of generations A and B."""

from __future__ import annotations

import datetime
import os
import traceback

import psycopg2

from . import clock, failures, files, fitsfile
from .queues import Queue, Row, new_row
from .service import Worker


class FileProblem(Exception):
    """A file that makes upstream's ingest raise."""


class RowGone(Exception):
    """Someone deleted the row that this process works on."""


class NotPersisted(Exception):
    """Upstream's second set_error() after a collision: nothing catches it and the process dies."""


def set_error(queue: Queue, row: Row, error: BaseException, label: str) -> None:
    """One queue_error row and `failed`; on a collision with another failed row, this row is deleted and nothing told.

    Upstream merges its detached copy: a row that was deleted in the meantime comes back, with its old id, as failed.
    """
    queue.rollback()
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        queue.execute(
            "INSERT INTO queue_error (filename, path, added, queue, error) VALUES (%(filename)s, %(path)s, %(added)s, %(label)s, %(text)s)",
            filename=row["filename"],
            path=row["path"],
            added=clock.local(),
            label=label,
            text=text.strip(),
        )
        if not queue.execute("UPDATE {table} SET failed = true, inprogress = false WHERE id = %(id)s", id=row["id"]):
            queue.insert({**row, "failed": True, "inprogress": False})
        queue.commit()
    except psycopg2.IntegrityError:
        queue.rollback()
        gone = queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"]) == 0
        queue.commit()
        if gone:
            raise NotPersisted("Instance {} is not persisted".format(row["id"])) from None


class IngestAB(Worker):
    """service_ingest_queue.py before the rewrite."""

    def step(self) -> None:
        row = self.queue.pop()
        if row is None:
            self.nothing()
            return
        try:
            self._one(row)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - upstream logs whatever it is, and goes on
            set_error(self.queue, row, error, "INGEST")  # for the second time, if it came from _ingest()
            self.queue.rollback()
            self.log.error(
                "Exception: %s : %s ... %s",
                type(error),
                error,
                "".join(traceback.format_tb(error.__traceback__)),
                at=self.place(188 if self.config.generation == "A" else 203),
            )

    def _one(self, row: Row) -> None:
        if self.options.fast_rebuild:
            self.taken("Ingesting %s (id %s)", row["filename"], row["id"])
        else:
            self.taken("Ingesting %s, (%s in queue)", row["filename"], self.queue.length())
        if not self.options.no_defer and self._deferred(row):
            return
        try:
            outcome = self._ingest(row)
            if outcome == "done":
                for destination in self.config.export_destinations:
                    self._export(row, destination)
        except Exception as error:
            self.log.info("Problem Ingesting File - Rolling back", at=self.place(158))
            self.log.error(
                "Exception ingesting file %s: %s : %s ... %s", row["filename"], type(error), error, traceback.format_tb(error.__traceback__), at=self.place(159)
            )
            set_error(self.queue, row, error, "INGEST")
            raise
        files.note(self.queue, row, outcome)
        if not self.queue.execute("DELETE FROM {table} WHERE id = %(id)s", id=row["id"]):
            raise RowGone("Class 'builtins.NoneType' is not mapped")
        self.queue.commit()

    def _deferred(self, row: Row) -> bool:
        """A file that was modified just now waits for some seconds."""
        if not self.config.strict or self.config.defer <= 0:
            return False
        modified = datetime.datetime.fromtimestamp(os.path.getmtime(files.full_path(self.config, row)))
        wait = datetime.timedelta(seconds=self.config.defer)
        if clock.local() - modified >= wait:
            return False
        self.log.info("Deferring ingestion of recently modified file %s", row["filename"], at="ingestqueue:506")
        after = clock.due(self.config.generation, "ingest") + wait
        self.queue.execute("UPDATE {table} SET after = %(after)s, inprogress = false WHERE id = %(id)s", after=after, id=row["id"])
        self.queue.commit()
        return True

    def _ingest(self, row: Row) -> str:
        """`done`, `unchanged`, or `swallowed` for the errors that upstream only logs."""
        failure = failures.find(self.config, row["filename"])
        full = files.full_path(self.config, row)
        missing = self.config.strict and not files.readable(full)
        if missing or (failure is not None and failure.kind == "cannot_access"):
            self.log.error("cannot access %s", full, at="ingestqueue:427")
            self._mark_absent(row)
            return "swallowed"
        file_id = self.files.file_id(row["filename"])
        self.queue.commit()
        present = self.files.present(file_id)
        if len(present) > 1:
            raise FileProblem("Multiple rows were found for one()")
        if present and self.config.strict and not row["force"] and self.files.unchanged(present[0], full, row["force_md5"]):
            return "unchanged"
        self.files.retire(file_id)
        self.queue.commit()
        self.work(row, 0.5)
        if failure is not None and failure.kind != "astrodata":
            raise FileProblem(failure.text)
        diskfile_id = self.files.add(file_id, row, full)
        self.queue.commit()
        self.work(row, 0.5)
        header = None
        if failure is None and self.config.real and ".fits" in row["filename"]:
            try:
                header = fitsfile.primary(full)
            except fitsfile.NotFits as error:
                failure = failures.Failure("astrodata", str(error))
        if failure is not None:
            self.log.error("Failed to open astrodata object on file: %s. Giving up", full, at="ingestqueue:266")
            return "swallowed"
        self.files.add_header(diskfile_id, row["filename"], header)
        self.queue.commit()
        return "done"

    def _mark_absent(self, row: Row) -> None:
        """Looks the name up as it is, .bz2 and all, so that only uncompressed files are ever found."""
        changed = self.queue.execute(
            "UPDATE diskfile SET present = false FROM file WHERE file.id = file_id AND present AND name = %(name)s",
            name=row["filename"],
        )
        self.queue.commit()
        if changed:
            self.log.info("%s is present in diskfile but missing on the disk.", row["filename"], at="ingestqueue:206")

    def _export(self, row: Row, destination: str) -> None:
        generation = self.config.generation
        export = Queue(self.queue.connection, generation, "export")
        self.log.info("Adding file %s to %s to exportqueue", row["filename"], destination, at="exportqueue:89")
        if generation == "A" and already_there(export, row["filename"], row["path"], destination):
            self.log.info("Already have entry to export file %s to %s, ignoring", row["filename"], destination, at="exportqueue:97")
            return
        export.add(new_row(generation, "export", row["filename"], row["path"], destination))


def already_there(export: Queue, filename: str, path: str, destination: str) -> bool:
    """A looks before it adds to the export queue, in whatever state the row there is."""
    text = "SELECT id FROM {table} WHERE filename = %(f)s AND path = %(p)s AND destination = %(d)s"
    found = export.fetch(text, f=filename, p=path, d=destination)
    export.commit()
    return bool(found)
