# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little of upstream's selections that scripts and web pages are used with: `filename=`, `path=`, programs, flags."""

from __future__ import annotations

import re
from typing import Any

from .queues import Queue, Row

FLAGS = {
    "present": "diskfile.present",
    "notpresent": "NOT diskfile.present",
    "canonical": "diskfile.canonical",
    "engineering": "header.engineering",
    "notengineering": "NOT header.engineering",
    "CHECK": "header.qa_state = 'CHECK'",
    "includeengineering": "true",
    "science": "true",
}
KEYS = {
    "filename": "file.name = %(filename)s",
    "path": "diskfile.path = %(path)s",
    "progid": "header.program_id = %(progid)s",
    "date": "header.ut_datetime::date = %(date)s",
}
COLUMNS = (
    "diskfile.filename, diskfile.path, file.name, diskfile.compressed, diskfile.file_size, diskfile.data_size, diskfile.file_md5, diskfile.data_md5,"
    " diskfile.lastmod, diskfile.mdready, diskfile.entrytime, diskfile.present, diskfile.canonical, header.program_id, header.qa_state, header.engineering"
)


def find(queue: Queue, text: str, *conditions: str) -> list[Row]:
    """Diskfile rows that have a header row, which obslogs, miscfiles and broken files do not.

    `filename=` is compared with `file.name`: X.fits finds X.fits.bz2, and a name with .bz2 finds nothing. A part that
    is not understood is ignored, which makes the selection larger, not smaller.
    """
    where, values = list(conditions), {}
    for part in filter(None, text.split("/")):
        if part in FLAGS:
            where.append(FLAGS[part])
        elif (term := _term(part)) is not None:
            where.append(KEYS[term[0]])
            values[term[0]] = term[1]
    rows = queue.fetch(
        f"SELECT {COLUMNS} FROM header JOIN diskfile ON diskfile.id = header.diskfile_id"
        f" JOIN file ON file.id = diskfile.file_id WHERE {' AND '.join(where) or 'true'} ORDER BY header.ut_datetime",
        **values,
    )
    queue.commit()
    return rows


def unknown(text: str) -> list[str]:
    """The parts that are not understood."""
    return [part for part in text.split("/") if part and part not in FLAGS and _term(part) is None]


def _term(part: str) -> tuple[str, Any] | None:
    key, equals, value = part.partition("=")
    if equals:
        key = {"night": "date"}.get(key, key)
        return (key, value) if key in KEYS else None
    if re.fullmatch(r"\d{8}", part):
        return "date", part
    if part == "today":
        return "date", "now"
    return ("progid", part) if part[:3] in ("GN-", "GS-") else None
