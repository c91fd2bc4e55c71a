# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue rows in PostgreSQL: moving them between images."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Set, Tuple

from ..connect.postgres import Postgres, PostgresError, comma, compose, identifier, json_value, raw
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.undo import Store
from .errors import FitsError
from .queue import Token
from .tables import Table


class RowStore(Store):
    """Moves rows of one queue table from image to image, in one short transaction.

    ``recheck`` is called under the row locks, before anything is written; it raises to stop.
    """

    def __init__(self, postgres: Postgres, table: Table, recheck: Optional[Callable[[Sequence[Change]], None]] = None) -> None:
        self.postgres = postgres
        self.table = table
        self.recheck = recheck

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        statement = compose("SELECT q.id, to_jsonb(q), q.xmin::text FROM {table} q WHERE q.id = ANY (%(ids)s)", table=identifier(self.table.name))
        found = {row[0]: (row[1], Token(row[2])) for row in self.postgres.rows(statement, {"ids": [_id(change) for change in changes]})}
        return [found.get(_id(change), (None, None)) for change in changes]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        try:
            with self.postgres.transaction():
                ready = self._lock(changes)
                if self.recheck is not None:
                    self.recheck(ready)
                self._delete([_id(change) for change in ready if change.after is None])
                self._update([change.after for change in ready if change.before is not None and change.after is not None])
                self._insert([change.after for change in ready if change.before is None and change.after is not None])
        except PostgresError as exc:
            if exc.sqlstate.startswith("23"):
                raise FitsError("the queue changed while it was being mended, and nothing was written (%s). Run it again." % exc) from exc
            raise
        gone = Outcome(False, "the row, or the one that it makes way for, was taken, changed or removed since it was read: left alone")
        made = {id(change) for change in ready}
        return [Outcome(True) if id(change) in made else gone for change in changes]

    def _lock(self, changes: Sequence[Change]) -> List[Change]:
        """Lock the rows that are still as they were observed, and those for which others make way.

        A row that another session has locked is left alone, and so is one whose survivor is not there to be kept.
        """
        wanted = {_id(change): change.token.version for change in changes if change.before is not None}
        wanted.update((change.token.survivor, change.token.survivor_version) for change in changes if change.before is not None and change.token.survivor)
        locked: Set[int] = set()
        if wanted:
            statement = compose(
                "SELECT q.id FROM {table} q JOIN unnest(%(ids)s::int8[], %(versions)s::text[]) AS p(id, v)"
                " ON q.id = p.id AND q.xmin::text = p.v ORDER BY q.id FOR UPDATE OF q SKIP LOCKED",
                table=identifier(self.table.name),
            )
            rows = self.postgres.rows(statement, {"ids": list(wanted), "versions": list(wanted.values())})
            locked = {row[0] for row in rows}
        return [change for change in changes if change.before is None or {_id(change), change.token.survivor or _id(change)} <= locked]

    def _delete(self, ids: Sequence[int]) -> None:
        if ids:
            self.postgres.rows(compose("DELETE FROM {table} WHERE id = ANY (%(ids)s)", table=identifier(self.table.name)), {"ids": ids})

    def _update(self, images: Sequence[Any]) -> None:
        if not images:
            return
        columns = [column for column in ("inprogress", "failed", "fail_dt", "after", "error") if column in images[0]]
        sets = comma([compose("{c} = p.{c}", c=identifier(column)) for column in columns])
        statement = "UPDATE {table} q SET {sets} FROM jsonb_populate_recordset(NULL::{table}, %(images)s) p WHERE q.id = p.id"
        self.postgres.rows(compose(statement, table=identifier(self.table.name), sets=sets), {"images": json_value(list(images))})

    def _insert(self, images: Sequence[Any]) -> None:
        if images:
            # An id that the server generates must come back as it was; servers before 10 have no such columns.
            overriding = raw("OVERRIDING SYSTEM VALUE" if self.postgres.server_version >= 100000 else "")
            statement = "INSERT INTO {table} {overriding} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %(images)s)"
            self.postgres.rows(compose(statement, table=identifier(self.table.name), overriding=overriding), {"images": json_value(list(images))})


def _id(change: Change) -> int:
    return int((change.before or change.after or {})["id"])
