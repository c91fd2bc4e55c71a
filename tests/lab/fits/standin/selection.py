# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little of upstream's selections that the queue scripts are used with: `filename=`, `path=`, a program, flags."""

from __future__ import annotations

from typing import Any

from .queues import Queue, Row

FLAGS = {
    "present": "diskfile.present",
    "notpresent": "NOT diskfile.present",
    "canonical": "diskfile.canonical",
    "engineering": "header.engineering",
    "notengineering": "NOT header.engineering",
}


def find(queue: Queue, text: str) -> list[Row]:
    """Diskfile rows that have a header row, which obslogs, miscfiles and broken files do not.

    `filename=` is compared with `file.name`: X.fits finds X.fits.bz2, and a name with .bz2 finds nothing. A part that
    is not understood is ignored, which makes the selection larger, not smaller.
    """
    where: list[str] = ["true"]
    values: dict[str, Any] = {}
    for part in text.split("/"):
        key, _sep, value = part.partition("=")
        if part in FLAGS:
            where.append(FLAGS[part])
        elif key == "filename":
            where.append("file.name = %(filename)s")
            values["filename"] = value
        elif key == "path":
            where.append("diskfile.path = %(path)s")
            values["path"] = value
        elif key == "progid" or part[:3] in ("GN-", "GS-"):
            where.append("header.program_id = %(program)s")
            values["program"] = value or part
    rows = queue.fetch(
        "SELECT diskfile.filename, diskfile.path FROM header JOIN diskfile ON diskfile.id = header.diskfile_id"
        " JOIN file ON file.id = diskfile.file_id WHERE " + " AND ".join(where) + " ORDER BY header.ut_datetime",
        **values,
    )
    queue.commit()
    return rows
