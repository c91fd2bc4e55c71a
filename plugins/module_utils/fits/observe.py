# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a FITS host's queues and workers: one connection, one snapshot, a constant number of statements."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..connect.clock import local_timezone
from ..connect.postgres import Client, Postgres
from .errors import FitsError
from .queue import QueueState, judge
from .reading import QueueReader
from .tables import Schema, Table, read_schema
from .workers import Places, Workers, gather, last_lines, live_workers

DEFAULT_DATABASE = "fitsdata"
_TOOLS = ("psql", "pg_dump", "pg_restore", "pg_basebackup", "pgAdmin", "DBeaver", "fieldops.runbooks")
"""What names itself and takes no rows off a queue. A worker may be given any other name by its environment."""
_LOOKS, _BETWEEN_LOOKS = 4, 0.6
_SILENT = 5.0
"""An idle worker that has written nothing for so many seconds is one of B, which say it once: no look will tell more."""


class FitsState(NamedTuple):
    """What was read. ``moves`` is what ``watch`` saw: None where it was not asked for."""

    schema: Schema
    queues: Mapping[str, QueueState]
    moves: Mapping[str, Optional[bool]]


def places(params: Mapping[str, Any]) -> Places:
    """Worker evidence options of a module."""
    return Places(params.get("scripts_dir"), params.get("worker_user"), tuple(params["log_dir"]), tuple(params["lockfile_dir"]))


def _nothing() -> None:
    """Nothing more to read."""


class FitsHost:
    """A FITS host as one module run sees it."""

    def __init__(self, params: Mapping[str, Any], statement_timeout: int = 60000) -> None:
        self.places = places(params)
        self.others_stopped = bool(params.get("other_hosts_stopped"))
        self.timezone = local_timezone(override=params.get("timezone"))
        self.postgres = Postgres(params, DEFAULT_DATABASE, statement_timeout)
        try:
            self.schema = read_schema(self.postgres)
        except Exception:
            self.postgres.close()
            raise

    def close(self) -> None:
        self.postgres.close()

    def tables(self, queues: Sequence[str]) -> List[Table]:
        """The tables of the queues asked for, each of them readable."""
        tables = [self.schema.table(queue) for queue in dict.fromkeys(queues)]
        for table in tables:
            if not table.readable:
                raise FitsError("the database user may not read %s in %s: it needs SELECT" % (table.name, self.postgres.database))
        return tables

    def observe(self, queues: Sequence[str], names: Optional[Sequence[str]] = None, also: Callable[[], None] = _nothing) -> Dict[str, QueueState]:
        """Everything about the queues; looks again where a worker that says it is idle will say so anew in a moment.

        ``also`` reads more in the same snapshot, at each look.
        """
        for _again in range(_LOOKS - 1):
            states = self._look(queues, names, also)
            if not any(doubtful(state) for state in states.values()):
                return states
            time.sleep(_BETWEEN_LOOKS)
        return self._look(queues, names, also)

    def _look(self, queues: Sequence[str], names: Optional[Sequence[str]], also: Callable[[], None]) -> Dict[str, QueueState]:
        """Rows in one snapshot, between two looks at the processes: a worker that was there at either counts."""
        tables = self.tables(queues)
        before = live_workers(queues, self.places)
        lines = {queue: last_lines(queue, self.places, before[queue]) for queue in queues}
        read = {}
        with self.postgres.transaction(read_only=True):
            for table in tables:
                reader = QueueReader(self.postgres, self.schema, table, self.timezone)
                read[table.queue] = (reader.totals(names), reader.rows(names))
            clients = self.postgres.clients()
            also()
        after = live_workers(queues, self.places)
        unknown = [] if self.others_stopped else unknown_clients(clients)
        return {
            table.queue: QueueState(
                table,
                read[table.queue][0],
                read[table.queue][1],
                gather(table.queue, self.places, before[table.queue] + after[table.queue], lines[table.queue], clients, unknown),
                bool(names),
            )
            for table in tables
        }

    def watch(self, queues: Sequence[str], seconds: float) -> Dict[str, Optional[bool]]:
        """Whether rows move within some seconds; looks twice a second, and ends as soon as all of them have."""
        readers = {table.queue: QueueReader(self.postgres, self.schema, table, self.timezone) for table in self.tables(queues)}
        heads = {queue: reader.head() for queue, reader in readers.items()}
        moves: Dict[str, Optional[bool]] = {queue: (False if heads[queue] else None) for queue in readers}
        deadline = time.monotonic() + seconds
        while any(moved is False for moved in moves.values()) and time.monotonic() < deadline:
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
            for queue, reader in readers.items():
                if moves[queue] is False and reader.unchanged(heads[queue]) < len(heads[queue]):
                    moves[queue] = True
        return moves

    def workers_now(self, queue: str) -> Workers:
        """Workers of a queue right now, and what they say."""
        seen = live_workers([queue], self.places)[queue]
        return gather(queue, self.places, seen, last_lines(queue, self.places, seen))


def doubtful(state: QueueState) -> bool:
    """Whether a second look can tell more: rows in progress beside workers whose word that they are idle has grown old."""
    verdict = judge(state)
    late = set(state.workers.idle) - set(state.workers.asleep)
    return verdict.suspects > 0 and any((state.workers.last_lines[pid].age or 0.0) < _SILENT for pid in late)


def unknown_clients(clients: Sequence[Client]) -> List[str]:
    """Other sessions that could be workers: not from this node, and not a tool that names itself.

    A worker on another host that shares the database is no less live.
    """
    strangers = [client for client in clients if client.place != "here" and not client.application.startswith(_TOOLS)]
    if not strangers:
        return []
    where = sorted({client.address or "an address that this database user may not see" for client in strangers})
    return ["%d sessions on the database may be workers on other hosts: from %s" % (len(strangers), ", ".join(where))]


def seconds(name: str, value: float) -> float:
    """An option that is a time to wait, within reason."""
    if not 0 <= value <= 600:
        raise FitsError("%s must be 0 to 600 seconds, not %s" % (name, value))
    return value
