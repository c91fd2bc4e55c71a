# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue rows in PostgreSQL: reading what matters in a constant number of statements.

All comparisons of times and of infinity are made by the server: psycopg2 reads ``infinity`` as datetime.max, which is
also C's mark for "not failed".
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.postgres import Postgres, compose, identifier, raw
from .errors import FitsError
from .queue import Row, Totals
from .tables import STAMP, Schema, Table

_AGGREGATE = """
SELECT count(*),
       count(*) FILTER (WHERE plain AND due),
       count(*) FILTER (WHERE plain AND NOT due),
       extract(epoch FROM {now} - min(added) FILTER (WHERE plain AND isfinite(added)))::float8
  FROM (SELECT {added} AS added, {plain} AS plain, {due} AS due FROM {table} q WHERE {wanted}) AS s
"""

_ROWS = """
WITH errors AS ({errors})
SELECT q.id, q.xmin::text, q.{group}, {filename}, {path}, {destination}, q.inprogress, {failed}, {unpoppable}, {due},
       {fail_value}, {after}, {added_text}, {added_usable}, {backed_off},
       coalesce({failed_time} < done.entrytime, false),
       CASE WHEN isfinite({added}) THEN extract(epoch FROM {now} - {added})::float8 END, ({failed_time})::timestamptz(0)::text, {error},
       CASE WHEN count(*) OVER (PARTITION BY q.{group}) > 1 OR {failed_time} < done.entrytime THEN to_jsonb(q) END
  FROM {table} q LEFT JOIN (SELECT DISTINCT q.{group} AS g FROM {table} q WHERE NOT {plain}) AS odd ON odd.g = q.{group}
       LEFT JOIN errors ON {failed} AND errors.filename = {filename}
       LEFT JOIN LATERAL ({done}) AS done ON {failed}
 WHERE {wanted} AND ({all_rows} OR NOT {plain} OR odd.g IS NOT NULL)
 ORDER BY q.{group}, q.id
"""

_DONE = """
SELECT max(d.entrytime) AS entrytime FROM diskfile d
 WHERE d.filename = ANY (ARRAY[q.filename, q.filename || '.bz2', regexp_replace(q.filename, '\\.bz2$', '')])
   AND coalesce(d.path, '') = coalesce(q.path, '') AND d.present
"""

_ERRORS = """
SELECT e.filename, max(e.added) AS added, (array_agg(e.error ORDER BY e.added DESC))[1] AS error FROM queue_error e
 WHERE e.queue = '{name}' AND e.filename IN (SELECT q.filename FROM {name}queue q WHERE q.failed) GROUP BY e.filename
"""
_NO_ERRORS = "SELECT NULL::text AS filename, NULL::timestamp AS added, NULL::text AS error"


class QueueReader:
    """Builds the statements that fit one table and reads it. ``timezone`` is the services' local zone."""

    def __init__(self, postgres: Postgres, schema: Schema, table: Table, timezone: str) -> None:
        self.postgres = postgres
        self.table = table
        self.parts = _parts(schema, table)
        self.values: Dict[str, Any] = {"timezone": timezone, "stamp": STAMP, "names": None}

    def totals(self, names: Optional[Sequence[str]] = None) -> Totals:
        rows, ready, not_due, age = self._read(_AGGREGATE, names)[0]
        return Totals(rows, ready, not_due, age)

    def rows(self, names: Optional[Sequence[str]] = None) -> Tuple[Row, ...]:
        """Rows that are not plainly waiting, and all that share a file with one; every row of the named files."""
        return tuple(Row(*row) for row in self._read(_ROWS, names))

    def head(self, limit: int = 200) -> Dict[int, str]:
        """Version by id of the rows that a moving queue touches first: those in progress and those next in line."""
        statement = compose(
            "(SELECT q.id, q.xmin::text FROM {table} q WHERE q.inprogress LIMIT %(limit)s) UNION ALL"
            " (SELECT q.id, q.xmin::text FROM {table} q WHERE {plain} AND {due} ORDER BY {order} LIMIT %(limit)s)",
            **self.parts,
        )
        return dict(self.postgres.rows(statement, dict(self.values, limit=limit)))

    def unchanged(self, head: Mapping[int, str]) -> int:
        """How many of the rows of ``head`` are still there as they were."""
        statement = compose(
            "SELECT count(*) FROM {table} q JOIN unnest(%(ids)s::int8[], %(versions)s::text[]) AS h(id, v) ON q.id = h.id AND q.xmin::text = h.v",
            table=self.parts["table"],
        )
        return int(self.postgres.row(statement, {"ids": list(head), "versions": list(head.values())})[0])

    def _read(self, template: str, names: Optional[Sequence[str]]) -> List[Tuple[Any, ...]]:
        parts = dict(self.parts, all_rows=raw("true" if names else "false"), wanted=raw("true"))
        if names:
            if not self.table.has("filename"):
                raise FitsError("rows of the %s queue name no file in this generation; leave filename out" % self.table.queue)
            parts["wanted"] = raw("q.filename = ANY (%(names)s)")
        return self.postgres.rows(compose(template, **parts), dict(self.values, names=spellings(names or ())))


def spellings(names: Sequence[str]) -> List[str]:
    """Queue rows keep ``.bz2``, people often leave it out: both are looked for."""
    found = {}
    for name in names:
        stem = name[:-4] if name.endswith(".bz2") else name
        found.update(dict.fromkeys((name, stem, stem + ".bz2")))
    return list(found)


def queue_errors(postgres: Postgres, queue: str, names: Sequence[str], limit: int) -> Dict[str, List[Dict[str, str]]]:
    """The newest errors of each file in queue_error (A, B), newest first; upstream writes each ingest failure twice."""
    statement = """
        SELECT filename, added, error FROM (
            SELECT filename, added::timestamp(0)::text AS added, error, row_number() OVER (PARTITION BY filename ORDER BY max(id) DESC) AS n
              FROM queue_error WHERE queue::text = %(queue)s AND filename = ANY (%(names)s)
             GROUP BY filename, added::timestamp(0), error) AS e
         WHERE n <= %(limit)s ORDER BY filename, n
    """
    found: Dict[str, List[Dict[str, str]]] = {}
    for name, added, error in postgres.rows(statement, {"queue": queue.upper(), "names": list(names), "limit": limit}):
        found.setdefault(name, []).append({"added": added, "error": error})
    return found


def _parts(schema: Schema, table: Table) -> Dict[str, Any]:
    """SQL for what differs between tables. Every text here is this file's own; identifiers are quoted."""
    stamped, has = table.stamped, table.has
    local_now, utc_now = "(now() AT TIME ZONE %(timezone)s)", "(now() AT TIME ZONE 'UTC')"
    infinite = "(q.after IS NULL OR q.after = 'infinity')" if has("after") else "false"
    if stamped:
        # A time of failure that lies ahead is no failure: somebody meant the stamp and missed it.
        failed = "coalesce(isfinite(q.fail_dt) AND q.fail_dt < %s + interval '1 day', false)" % local_now
        unpoppable = "(NOT %s AND q.fail_dt IS DISTINCT FROM %%(stamp)s::timestamp OR q.inprogress IS NULL OR %s)" % (failed, infinite)
        failed_time = "(CASE WHEN %s THEN q.fail_dt AT TIME ZONE %%(timezone)s END)" % failed
    else:
        failed, unpoppable = "(q.failed IS TRUE)", "(q.failed IS NULL OR q.inprogress IS NULL OR %s)" % infinite
        # A and B keep no time of failure on the row: the newest queue error is the only one that proves anything.
        failed_time = "(CASE WHEN q.failed THEN errors.added AT TIME ZONE %(timezone)s END)"
    operator = "<=" if table.after_inclusive else "<"
    due = "coalesce(q.after %s %s, false)" % (operator, local_now if table.after_is_local else utc_now) if has("after") else "true"
    added_clock = local_now if table.added_is_local else utc_now
    is_ingest = table.queue == "ingest" and has("filename") and schema.has_diskfile
    errors = _NO_ERRORS
    if table.queue in ("ingest", "export") and not stamped and schema.has_queue_error:
        errors = _ERRORS.replace("'{name}'", "'%s'" % table.queue.upper()).replace("{name}", table.queue)
    texts = {
        "plain": "(q.inprogress IS FALSE AND NOT %s AND NOT %s)" % (failed, unpoppable),
        "failed": failed,
        "unpoppable": unpoppable,
        "due": due,
        "failed_time": failed_time,
        "now": added_clock,
        "added": "q.added" if has("added") else "NULL::timestamp",
        "added_text": "to_jsonb(q.added) #>> '{}'" if has("added") else "NULL",
        "added_usable": "CASE WHEN isfinite(q.added) AND q.added < %s THEN to_jsonb(q.added) #>> '{}' END" % added_clock if has("added") else "NULL",
        "after": "to_jsonb(q.after) #>> '{}'" if has("after") else "NULL",
        "fail_value": "to_jsonb(q.%s)%s" % (("fail_dt", " #>> '{}'") if stamped else ("failed", "")),
        "filename": "q.filename" if has("filename") else "NULL",
        "path": "q.path" if has("path") else "NULL",
        "destination": "q.destination" if has("destination") else "NULL",
        "error": "q.error" if has("error") else "errors.error",
        "backed_off": "q.lastfailed IS NOT NULL" if has("lastfailed") else "false",
        "done": _DONE if is_ingest else "SELECT NULL::timestamptz AS entrytime",
        "errors": errors,
        "order": "q.sortkey DESC" if has("sortkey") else "q.filename DESC",
    }
    parts: Dict[str, Any] = {name: raw(text) for name, text in texts.items()}
    return dict(parts, table=identifier(table.name), group=identifier(table.group))
