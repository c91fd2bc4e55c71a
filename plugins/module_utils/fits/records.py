# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the database has of some files: one statement for all of them, and one for each table of errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Sequence, Tuple

from ..connect.postgres import Postgres
from .filestate import DiskFile, Header
from .reading import queue_errors
from .tables import Schema

ROWS_SHOWN = 20
_UTC = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
_DISKFILES = """
SELECT d.id, d.filename, trim(both '/' from coalesce(d.path, '')), coalesce(d.present, false), coalesce(d.canonical, false),
       d.file_size, d.file_md5, d.data_md5, {lastmod}, {entrytime}, d.isfits, d.mdready, h.id, h.program_id, h.qa_state, h.engineering
  FROM (SELECT f.*, row_number() OVER (PARTITION BY f.filename ORDER BY coalesce(f.present AND f.canonical, false) DESC,
                                       coalesce(f.present, false) DESC, coalesce(f.canonical, false) DESC, f.id DESC) AS n
          FROM diskfile f WHERE f.filename = ANY (%(names)s)) AS d
       LEFT JOIN LATERAL (SELECT i.id, i.program_id, i.qa_state::text AS qa_state, i.engineering FROM header i
                           WHERE i.diskfile_id = d.id ORDER BY i.id DESC LIMIT 1) AS h ON true
 WHERE d.n <= %(limit)s ORDER BY d.filename, d.n
""".replace("{lastmod}", _UTC.format("d.lastmod")).replace("{entrytime}", _UTC.format("d.entrytime"))

Errors = Dict[str, List[Dict[str, str]]]


@dataclass
class Records:
    """Read anew at each look; by the file name that the rows hold."""

    diskfiles: Dict[str, List[DiskFile]] = field(default_factory=dict)
    errors: Dict[str, Errors] = field(default_factory=dict)

    def read(self, postgres: Postgres, schema: Schema, names: Sequence[str], error_limit: int) -> None:
        self.diskfiles = _diskfiles(postgres, names)
        if schema.has_queue_error and error_limit:
            self.errors = {queue: queue_errors(postgres, queue, names, error_limit) for queue in ("ingest", "export")}

    def of(self, spellings: Sequence[str]) -> Tuple[DiskFile, ...]:
        """The rows of one file under all its spellings, the best first."""
        rows = [row for name in spellings for row in self.diskfiles.get(name, [])]
        return tuple(sorted(rows, key=lambda row: (not row.good, not row.present, not row.canonical, -row.id)))

    def errors_of(self, queue: str, spellings: Sequence[str]) -> Tuple[Tuple[str, str], ...]:
        """Newest first."""
        stored = self.errors.get(queue, {})
        found = [(error["added"] or "", error["error"] or "") for name in spellings for error in stored.get(name, [])]
        return tuple(sorted(found, key=lambda error: error[0], reverse=True))


def _diskfiles(postgres: Postgres, names: Sequence[str]) -> Dict[str, List[DiskFile]]:
    found: Dict[str, List[DiskFile]] = {}
    for row in postgres.rows(_DISKFILES, {"names": list(names), "limit": ROWS_SHOWN}):
        header = Header(*row[12:16]) if row[12] is not None else None
        found.setdefault(row[1], []).append(DiskFile(*(*row[:12], header)))
    return found
