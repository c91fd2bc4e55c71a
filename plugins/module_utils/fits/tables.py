# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which queues a FITS Storage database has, and of which generation each is.

Three generations are in the field (A: December 2020, B: January 2023, C: the rewrite of 2023 and later). They are told
apart by looking, never by version numbers, and unique constraints are read from the catalog because production
constraints may lag behind the code. Source: FitsStorage's ORM classes at the commits named in the facts of this system.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..connect.postgres import Postgres
from .errors import FitsError

STAMP = "9999-12-31T23:59:59.999999"
"""C's value of fail_dt for a row that has not failed: datetime.max, the only value that its pop accepts."""

QUEUES = ("ingest", "export", "preview", "calcache", "fileops", "reduce")
RESETTABLE = ("ingest", "export", "preview", "calcache")

_EXPECTED_UNIQUES = {
    ("ingest", "A"): (("filename", "inprogress", "failed"), ("filename", "path")),
    ("ingest", "B"): (("filename", "inprogress", "failed"), ("filename", "path")),
    ("ingest", "C"): (("filename", "path", "inprogress", "fail_dt"),),
    ("export", "A"): (("filename", "inprogress", "failed"), ("filename", "path", "destination")),
    ("export", "B"): (("filename", "inprogress", "failed", "destination"),),
    ("export", "C"): (("filename", "inprogress", "fail_dt", "destination"),),
}

_CATALOG = """
SELECT c.relname,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT json_agg((SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])))
          FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND NOT i.indisprimary AND i.indpred IS NULL AND i.indexprs IS NULL),
       has_table_privilege(c.oid, 'SELECT'),
       has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AND has_table_privilege(c.oid, 'INSERT')
  FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relname = ANY (%s)
"""


class Table(NamedTuple):
    """One queue table as it is in this database."""

    queue: str
    name: str
    generation: str
    columns: Tuple[str, ...]
    uniques: Tuple[Tuple[str, ...], ...]
    readable: bool = True
    writable: bool = True

    def has(self, column: str) -> bool:
        return column in self.columns

    @property
    def stamped(self) -> bool:
        """Failure is a time (C) and not a flag (A, B)."""
        return self.has("fail_dt")

    @property
    def group(self) -> str:
        """The column by which the pop keeps two rows of one thing apart, and by which rows are planned together."""
        return next(column for column in ("diskfile_id", "obs_hid", "filename", "id") if self.has(column))

    @property
    def after_is_local(self) -> bool:
        """Whether the pop compares ``after`` with local time: A's ingest and B's export do, the others use UTC."""
        return (self.queue, self.generation) in (("ingest", "A"), ("export", "B"))

    @property
    def added_is_local(self) -> bool:
        """Whether ``added`` is local time: in A, and in B but for its ingest queue."""
        return not self.stamped and (self.queue, self.generation) != ("ingest", "B")

    @property
    def after_inclusive(self) -> bool:
        return (self.queue, self.generation) == ("export", "B")

    @property
    def backs_off_in_progress(self) -> bool:
        """A's export keeps a row in progress after an ordinary failure and tries again by itself."""
        return (self.queue, self.generation) == ("export", "A")

    @property
    def lagging(self) -> Tuple[Tuple[str, ...], ...]:
        """Unique constraints that this generation's code expects and the database lacks."""
        expected = _EXPECTED_UNIQUES.get((self.queue, self.generation), ())
        have = {tuple(sorted(columns)) for columns in self.uniques}
        return tuple(columns for columns in expected if tuple(sorted(columns)) not in have)


class Schema(NamedTuple):
    """What the database has."""

    generation: str
    tables: Mapping[str, Table]
    has_diskfile: bool
    has_queue_error: bool

    def table(self, queue: str) -> Table:
        if queue not in self.tables:
            known = ", ".join(name for name in QUEUES if name in self.tables)
            raise FitsError("this database has no %s queue; it has: %s" % (queue, known))
        return self.tables[queue]


def read_schema(postgres: Postgres) -> Schema:
    """Ask the catalog, in one statement. Refuses, by name, what is not a FITS Storage database."""
    wanted = [queue + "queue" for queue in QUEUES] + ["diskfile", "queue_error"]
    found = {row[0]: row for row in postgres.rows(_CATALOG, (wanted,))}
    schema = build_schema(found)
    if schema is None:
        raise FitsError(
            "database %s is not a FITS Storage database: it has no table ingestqueue with the columns filename, inprogress and"
            " fail_dt (generation C) or failed (A, B). Pass login_db, or a login_user whose search_path has its schema." % postgres.database
        )
    return schema


def build_schema(found: Mapping[str, Sequence[Any]]) -> Optional[Schema]:
    """Pure part of ``read_schema``: catalog rows by table name in, schema out; ``None`` when it is something else."""
    queues = {queue: found[queue + "queue"] for queue in QUEUES if queue + "queue" in found}
    kinds = {queue: _kind(row[1]) for queue, row in queues.items()}
    if kinds.get("ingest") is None:
        return None
    flagged = "B" if _is_b(queues) else "A"
    generations = {queue: ("C" if kind == "stamp" else flagged) for queue, kind in kinds.items() if kind}
    tables: Dict[str, Table] = {}
    for queue, generation in generations.items():
        _name, columns, uniques, readable, writable = queues[queue]
        tables[queue] = Table(queue, queue + "queue", generation, tuple(columns), tuple(tuple(u) for u in uniques or ()), readable, writable)
    distinct = {generations[queue] for queue in ("ingest", "export") if queue in generations}
    readable_diskfile = "diskfile" in found and found["diskfile"][3]
    readable_errors = "queue_error" in found and found["queue_error"][3]
    return Schema(distinct.pop() if len(distinct) == 1 else "mixed", tables, readable_diskfile, readable_errors)


def _kind(columns: Sequence[str]) -> Optional[str]:
    if "inprogress" not in columns:
        return None
    return "stamp" if "fail_dt" in columns else "flag" if "failed" in columns else None


def _is_b(queues: Mapping[str, Sequence[Any]]) -> bool:
    """Among flag schemas: B's export queue has ``after``, B's ingest queue has ``header_fields``."""
    export = queues.get("export")
    if export is not None and "failed" in export[1]:
        return "after" in export[1]
    return "header_fields" in queues["ingest"][1]
