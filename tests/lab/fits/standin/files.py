# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables file, diskfile and header, and the laboratory's ledger."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from typing import Any

from . import clock, fitsfile
from .queues import Queue, Row
from .settings import Settings

QA_STATES = {"BAD": "Fail", "CHECK": "CHECK", "USABLE": "Usable", "PASS": "Pass"}


def trimmed(filename: str) -> str:
    """`file.name` has no .bz2; diskfile and queues keep it."""
    return filename.removesuffix(".bz2")


def full_path(settings: Settings, row: Row) -> str:
    """Where the file of a queue row should be."""
    return os.path.join(settings.storage_root, row["path"] or "", row["filename"])


def readable(path: str) -> bool:
    """Upstream's test for a file that can be ingested."""
    return os.access(path, os.F_OK | os.R_OK) and os.path.isfile(path)


class Files:
    """Works in the session of a queue; the caller commits."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def file_id(self, filename: str) -> int:
        """Id of the file entry, made if there is none."""
        name = trimmed(filename)
        self._queue.execute("INSERT INTO file (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING", name=name)
        return int(self._queue.fetch("SELECT id FROM file WHERE name = %(name)s", name=name)[0]["id"])

    def present(self, file_id: int, path: str | None = None) -> list[Row]:
        """Present diskfiles of a file, at one path (as C asks) or anywhere (as A and B do)."""
        text = "SELECT * FROM diskfile WHERE file_id = %(file)s AND present"
        return self._queue.fetch(text + (" AND path = %(path)s" if path is not None else ""), file=file_id, path=path)

    def retire(self, file_id: int, path: str | None = None) -> None:
        """Mark older diskfiles as neither present nor canonical."""
        text = "UPDATE diskfile SET present = false, canonical = false WHERE file_id = %(file)s AND (present OR canonical)"
        self._queue.execute(text + (" AND path = %(path)s" if path is not None else ""), file=file_id, path=path)

    def unchanged(self, diskfile: Row, full: str, force_md5: bool) -> bool:
        """Does the file on disk still agree with its diskfile row?"""
        modified = datetime.datetime.fromtimestamp(os.path.getmtime(full))
        if not force_md5 and diskfile["lastmod"] is not None and diskfile["lastmod"].replace(tzinfo=None) == modified:
            return True
        return bool(diskfile["file_md5"] == _md5(full))

    def add(self, file_id: int, row: Row, full: str) -> int:
        """A new present and canonical diskfile, entered now (naive local time, as upstream writes it)."""
        columns: dict[str, Any] = {
            "file_id": file_id,
            "filename": row["filename"],
            "path": row["path"] or "",
            "present": True,
            "canonical": True,
            "entrytime": clock.local(),
            "compressed": row["filename"].endswith(".bz2"),
            "isfits": ".fits" in row["filename"],
            "fvwarnings": 0,
            "fverrors": 0,
            "mdready": True,
        }
        if readable(full):
            content = _content(full)
            columns.update(
                file_md5=_md5(full),
                file_size=os.path.getsize(full),
                lastmod=datetime.datetime.fromtimestamp(os.path.getmtime(full)),
                data_md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                data_size=len(content),
            )
        names = list(columns)
        text = "INSERT INTO diskfile ({}) VALUES ({}) RETURNING id".format(", ".join(names), ", ".join(f"%({name})s" for name in names))
        return int(self._queue.fetch(text, **columns)[0]["id"])

    def add_header(self, diskfile_id: int, filename: str, header: fitsfile.Header | None = None) -> None:
        """A header row, which only FITS files have. `header` is what was read from the file."""
        if ".fits" not in filename:
            return
        read = header or {}
        program = read.get("GEMPRGID")
        columns = {
            "diskfile_id": diskfile_id,
            "program_id": program,
            "engineering": header is not None and not re.match(r"G[NS]-20\d\d[AB]-", str(program)),
            "ut_datetime": _ut_datetime(read),
            "observation_id": read.get("OBSID"),
            "data_label": read.get("DATALAB"),
            "instrument": read.get("INSTRUME"),
            "object": read.get("OBJECT"),
            "qa_state": QA_STATES.get(str(read.get("RAWGEMQA")), "Undefined"),
        }
        names = ", ".join(columns)
        values = ", ".join(f"%({name})s" for name in columns)
        self._queue.execute(f"INSERT INTO header ({names}) VALUES ({values})", **columns)


def _ut_datetime(header: fitsfile.Header) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat("{}T{}".format(header["DATE-OBS"], header.get("TIME-OBS", "00:00:00")))
    except (KeyError, ValueError):
        return clock.utc()


def _content(full: str) -> bytes:
    """The uncompressed bytes; those on disk where that cannot be had."""
    try:
        return fitsfile.read(full)
    except fitsfile.NotFits:
        with open(full, "rb") as handle:
            return handle.read()


def note(queue: Queue, row: Row, outcome: str) -> None:
    """Write the ledger, in the transaction that takes the row off the queue."""
    text = (
        "INSERT INTO lab_processed (queue, filename, row_id, pid, at, path, destination, outcome) VALUES"
        " (%(queue)s, %(filename)s, %(id)s, %(pid)s, clock_timestamp(), %(path)s, %(destination)s, %(outcome)s)"
    )
    queue.execute(
        text, queue=queue.name, filename=row["filename"], id=row["id"], pid=os.getpid(), path=row["path"], destination=row.get("destination"), outcome=outcome
    )


def _md5(path: str) -> str:
    with open(path, "rb") as handle:
        return hashlib.md5(handle.read(), usedforsecurity=False).hexdigest()
